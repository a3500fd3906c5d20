"""The promises that a drill proves after each week: a function each, named for its promise.

Each takes the year up to that week, and returns how the promise was broken, or an empty text. They judge what
the year's record has, so a recorded year can be judged again.
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain, takewhile
from math import comb
from statistics import median

from drill.faults import COPIES, FAULTS
from drill.record import ARMS, KEPT, Attempt, Broken, Week, Year

_BAND = 0.05  # largest loss of production against the other arms
_GROWTH, _BASE_WEEKS = 1.2, 8  # of sizes; as many weeks are compared with as many
_MEASURED = ("workspace", "database", "page")
_UNLIKELY = 0.01
_WAITS = 4  # good weeks in which a canary may wait for answers: a phone has few in small weeks


def production_verifies(year: Year) -> str:
    """Every release is as pushed, and the one in production gives its golden answers."""
    return " ".join(year.weeks[-1].problems)


def a_phone_ran_only_whole_releases(year: Year) -> str:
    """A phone that follows the pointer, also in the middle of a push, runs one release that it names."""
    return " ".join(year.weeks[-1].phone)


def no_bad_model_was_in_production(year: Year) -> str:
    """No model in production breaks a bound on the hidden tests."""
    week = year.weeks[-1]
    fault = year.find_fault(week.model, week.number) if week.model else ""
    return fault and f"Version {week.production} ({week.model}) has {fault}."


def every_canary_ends_as_it_served(year: Year) -> str:
    """A candidate that serves badly is withdrawn, and one that serves well not, within four good weeks."""
    week = year.weeks[-1]
    before = year.weeks[-2] if len(year.weeks) > 1 else None
    if before is None or not week.ended:
        return ""
    is_bad = before.candidate == before.bad
    name = f"Version {before.candidate} served {'badly' if is_bad else 'well'}"
    # It answered the photos of the weeks after that which began it.
    open_in = list(takewhile(lambda item: item.candidate == before.candidate, year.weeks[-2::-1]))
    answered = (week, *open_in[:-1])
    is_told = all(item.is_good for item in answered)
    # A rollback by hand comes after what the run of its week did.
    by_hand = week.ended == "rollback" and "rollback" in before.faults
    is_wrong = week.ended == "promote" if is_bad else week.ended == "rollback" and is_told
    if is_wrong and not by_hand:
        return f"{name}, and its canary ended with a {week.ended}."
    waited = [item for item in answered if item.is_good and "missed" not in item.faults]
    is_late = week.ended == "waits" and len(waited) >= _WAITS
    return f"{name}, and phones still try it after {len(waited)} good weeks." if is_late else ""


def no_bad_week_was_trained_on(year: Year) -> str:
    """No release was made from a week that had to be refused."""
    week = year.weeks[-1]
    bad = {year.span(w.number) for w in year.weeks if "refused" in w.effects}
    pushed = set().union(*(item.spans for item in week.attempts if item.outcome == "pushed"))
    reached = sorted(bad & {*week.spans, *pushed})
    return f"A release was made from {', '.join(reached)}." if reached else ""


def no_good_week_was_lost(year: Year) -> str:
    """A week whose photos are good is read by the next run that trains, at the latest."""
    last = year.weeks[-1].last
    if last is None or last.outcome not in ("pushed", "unchanged", "held"):
        return _find_stuck(year)
    for week in year.weeks[-len(last.spans) :]:
        name = year.span(week.number)
        if week.is_good and name not in last.spans:
            why = next((w.excluded[name] for w in year.weeks if name in w.excluded), "no run read it")
            return f"{name} was good, and is lost: {why}"
    return ""


def _find_stuck(year: Year) -> str:
    """Returns what a week ended with that trained nothing: one without bad photos, or one that failed."""
    week = year.weeks[-1]
    if week.last is None or not (week.is_good or week.last.exit_code not in (0, 3, 4)):
        return ""
    if week.last.outcome == "refused" and _find_unread(year, week):
        return ""
    return f"The run ended {week.last.outcome or 'without a record'}: {_shorten(week.last)}"


def _find_unread(year: Year, week: Week) -> list[Week]:
    """Returns the bad weeks right before this one in which nothing ran: its run is the first to read them."""
    before = takewhile(lambda item: not item.attempts, year.weeks[: week.number - 1][::-1])
    return [item for item in before if not item.is_good]


def _find_copied(year: Year, week: Week) -> Iterator[Week]:
    """Yields the weeks that came again as this one, each with its own faults."""
    for name in COPIES.intersection(week.faults):
        copied = year.weeks[week.number - 1 - FAULTS[name].before]
        yield copied
        yield from _find_copied(year, copied)


def every_stop_names_its_cause(year: Year) -> str:
    """An attempt that a fault stopped says why in its words."""
    week = year.weeks[-1]
    others = [*_find_copied(year, week), *_find_unread(year, week)]
    causes = (*week.causes, *chain.from_iterable(other.causes for other in others))
    # The later ones run without the fault: what stops them is judged as in other weeks.
    stopped = week.attempts[:1] if week.causes else ()
    for attempt in stopped:
        if _is_judged(week, attempt):  # by its gates, as in a week without a fault: see false alarms
            continue
        text = " ".join(attempt.sentences)
        if attempt.outcome == "held" and "may" in week.effects:  # the accuracy of the models decides
            causes = (*causes, "accuracy|recall|answers|labels|is lost|SavedModel")
        if attempt.outcome == "held" and week.ended == "waits":
            causes = (*causes, "canary")
        # A killed parent says nothing; the next run, or `edgeline status`, does.
        if attempt.exit_code > 0 and not any(re.search(c, text, re.I) for c in causes):
            return f"{', '.join(week.faults)} ended {attempt.outcome}, and no sentence names it: {text[:300]}"
    return ""


def false_alarms_are_as_rare_as_set(year: Year) -> str:
    """Good models and data of good weeks are stopped no more often than `evaluation.confidence` says."""
    judged = [week for week in year.weeks if week.is_good and week.attempts]
    alarms = find_false_alarms(year)
    if not judged or judged[-1] != year.weeks[-1] or judged[-1] not in alarms:
        return ""
    count = len(judged)
    rate = 1 - year.limits.confidence
    chance = sum(comb(count, k) * rate**k * (1 - rate) ** (count - k) for k in range(len(alarms), count + 1))
    numbers = ", ".join(str(week.number) for week in alarms)
    text = f"{len(alarms)} of {count} good weeks were stopped ({numbers}), a chance of {chance:.4f}"
    return f"{text}: {_shorten(alarms[-1].attempts[0])}" if chance < _UNLIKELY else ""


def find_false_alarms(year: Year) -> list[Week]:
    """Returns the good weeks whose data was refused, or whose model was held though it is good.

    A model that was evaluated on photos of a week with a fault may rightly be held, and be good on others.
    """
    faulty = {year.span(week.number) for week in year.weeks if not week.is_good}

    def is_false(week: Week, attempt: Attempt) -> bool:
        is_judged = _is_judged(week, attempt) and not faulty.intersection(attempt.spans)
        is_held = is_judged and year.is_good(attempt.trained, week.model, week.number)
        return is_held or (attempt.outcome == "refused" and not _find_unread(year, week))

    return [w for w in year.weeks if w.is_good and any(is_false(w, a) for a in w.attempts)]


def _is_judged(week: Week, attempt: Attempt) -> bool:
    """Tells whether the worth of its model held an attempt back, in a week that does not touch that."""
    # Beside a canary of which too little came back, nothing is pushed.
    waits = week.ended == "waits" and any("canary" in sentence for sentence in attempt.sentences)
    return week.is_good and attempt.outcome == "held" and not waits


def accuracy_stays_in_its_band(year: Year) -> str:
    """Production is at most five points below each other arm, on the hidden tests of four weeks."""
    week = year.weeks[-1]
    now, *others = (year.accuracy(week.arms.get(arm, ""), *year.recent(week.number)) for arm in ARMS)
    best = max((accuracy for accuracy in others if accuracy is not None), default=0.0)
    if now is None or now >= best - _BAND:
        return ""
    return f"Production has {now:.3f}, and another arm {best:.3f} on the same photos."


def nothing_grows(year: Year) -> str:
    """Sizes of eight weeks, in their median, are within 1.2 of the largest of the first eight.

    The first are those from the eighth week on in which something ran: before, phones have run few versions,
    and a page has a table of each. A single week varies by a third, with how many of the runs that gc keeps
    were whole, and with the photos that a page shows. Weeks that keep more whole runs than any of the first
    are left out.
    """
    ran = [week for week in year.weeks[_BASE_WEEKS - 1 :] if week.attempts]
    first, later = ran[:_BASE_WEEKS], ran[_BASE_WEEKS:]
    most = max((_count_whole(year, week) for week in first), default=0)
    last = [week for week in later if _count_whole(year, week) <= most][-_BASE_WEEKS:]
    if len(last) < _BASE_WEEKS:
        return ""
    base, now = (
        {name: of([week.sizes.get(name, 0.0) for week in weeks]) for name in _MEASURED}
        for of, weeks in ((max, first), (median, last))
    )
    return "; ".join(
        f"{name}: {now[name]:,.6g} in the median of eight weeks, at most {base[name]:,.6g} in the first eight"
        for name in _MEASURED
        if 0 < base[name] * _GROWTH < now[name]
    )


def _count_whole(year: Year, week: Week) -> int:
    """Counts the runs that trained among those that gc kept at the end of a week."""
    attempts = list(chain.from_iterable(item.attempts for item in year.weeks[: week.number]))
    return sum(bool(attempt.trained) for attempt in attempts[-KEPT:])


PROMISES: tuple[Callable[[Year], str], ...] = (
    production_verifies,
    a_phone_ran_only_whole_releases,
    no_bad_model_was_in_production,
    every_canary_ends_as_it_served,
    no_bad_week_was_trained_on,
    no_good_week_was_lost,
    every_stop_names_its_cause,
    false_alarms_are_as_rare_as_set,
    accuracy_stays_in_its_band,
    nothing_grows,
)


def find_broken(year: Year) -> Iterator[Broken]:
    """Yields the promises that the last week of a year broke."""
    for promise in PROMISES:
        if sentence := promise(year):
            yield Broken(promise.__name__, sentence)


def find_first_broken(year: Year) -> tuple[Week, Broken] | None:
    """Returns the first promise that was broken, with its week."""
    return next(((week, broken) for week in year.weeks for broken in week.broken), None)


def _shorten(attempt: Attempt) -> str:
    return (attempt.sentences[0] if attempt.sentences else "it said nothing")[:300]
