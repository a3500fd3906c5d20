"""The page of all runs of a model: accuracy over the weeks, what was pushed, what was held back and why."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from statistics import mean

from msgspec import Struct

from edgeline.journal import parse_time
from edgeline.labels import format_count
from edgeline.report import timelines, words
from edgeline.report.compare import SECTIONS
from edgeline.report.decay import describe_cost, draw_decay, find_aged
from edgeline.report.drawing import MARKERS
from edgeline.report.facts import ServedSlice
from edgeline.report.page import Figure, render
from edgeline.report.timelines import Row
from edgeline.report.verdict import BADGES

_MOST_STEPS = 5  # with a time of their own in the chart


class Mark(Struct, frozen=True):
    """An action beside the pushes of runs: a change of production, or the exclusion of a span."""

    when: str  # UTC, ISO 8601
    action: str  # `push`, `rollout`, `promote`, `rollback` or `exclude`
    to_version: int | None = None
    from_version: int | None = None
    reason: str = ""
    span: str = ""
    tried: str = ""  # a sentence on the candidate that is tried since

    @property
    def sentence(self) -> str:
        """Returns the action in words."""
        if self.action == "exclude":
            return f"{self.span} was excluded"
        if self.tried:
            return f"{self.action}: {self.tried}"
        return f"{self.action} from version {self.from_version or words.UNKNOWN} to {self.to_version}"


def render_index(model: str, rows: Sequence[Row], changes: Sequence[Mark] = ()) -> str:
    """Renders the page.

    Args:
        model: Its name, for the title.
        rows: One for each run of the model, oldest first.
        changes: Those of production, oldest first; a `push` is no mark in the charts, which show its run.
    """
    dated = [(at, row) for row in rows if (at := _parse_moment(row.started_at)) is not None]
    aged = find_aged(rows)
    by_hand = [mark for mark in changes if mark.action != "push"]
    excluded = set().union(*(row.excluded for row in rows))
    exclusions = [Mark(span.when, "exclude", reason=span.reason, span=span.span) for span in excluded]
    marks = sorted((*by_hand, *exclusions), key=lambda mark: mark.when, reverse=True)

    return render(
        "index.html",
        model=model,
        sentence=_describe_production(model, rows, changes),
        figures=_list_figures(rows),
        rows=[(row, *BADGES[row.outcome]) for row in rows[::-1]],
        dated=dated if any(row.accuracy is not None for _, row in dated) else [],
        marks=marks,
        acts=[(at, mark.action) for mark in marks[::-1] if (at := _parse_moment(mark.when)) is not None],
        classes=_sort_classes(rows)[: len(MARKERS)],
        variants=list(dict.fromkeys(chain.from_iterable(row.sizes for row in rows[::-1])))[: len(MARKERS)],
        steps=_sort_steps(rows)[:_MOST_STEPS],
        sections=SECTIONS,
        compared=_make_comparable(rows),
        served=_select_served(rows),
        cost=describe_cost(aged),
        decay=draw_decay(aged) if aged else None,
        timelines=timelines,
    )


def _select_served(rows: Iterable[Row]) -> list[ServedSlice]:
    """Returns each version as the run that read most of its answers counted it, the newest first."""
    most: dict[int, ServedSlice] = {}
    for served in chain.from_iterable(row.served for row in rows):
        best = most.get(served.version)
        if best and served.drawn.before is None:  # it ended before it looked up the accuracy at the push
            served = replace(served, drawn=replace(served.drawn, before=best.drawn.before))
        if best is None or served.tally.answers >= best.tally.answers:
            most[served.version] = served
    return [most[version] for version in sorted(most, reverse=True)]


def _sort_classes(rows: Sequence[Row]) -> list[str]:
    """Returns the classes, those with the lowest mean recall first."""
    labels = set().union(*(row.recalls for row in rows))
    return sorted(labels, key=lambda it: (mean(row.recalls[it] for row in rows if it in row.recalls), it))


def _sort_steps(rows: Sequence[Row]) -> list[str]:
    """Returns the steps, those with the longest total time first."""
    spent: Counter[str] = Counter()
    for row in rows:
        spent.update(row.steps)
    return [step for step, _ in spent.most_common()]


def _make_comparable(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Returns what the page's script compares, newest run first, without lines that are equal in all runs."""
    texts: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        for section, lines in row.said.items():
            for what, text in lines.items():
                texts.setdefault((section, what), Counter())[text] += 1
    runs_with = Counter(chain.from_iterable(row.said for row in rows))
    alike = {key for key, counts in texts.items() if max(counts.values()) == runs_with[key[0]]}

    return [
        {
            "name": row.name,
            "outcome": BADGES[row.outcome][0],
            "slices": {
                "Accuracy" if it.kind == "overall" else f"Recall of {it.name}": [it.accuracy, it.low, it.high]
                for it in row.slices
                if it.accuracy is not None
            },
            "said": {
                section: {what: text for what, text in lines.items() if (section, what) not in alike}
                for section, lines in row.said.items()
            },
        }
        for row in rows[::-1]
    ]


def _parse_moment(text: str) -> datetime | None:
    try:
        at = parse_time(text)
    except ValueError:
        return None
    return at if 1900 < at.year < 2200 else None  # Python cannot format the days of axes beyond.


def _describe_production(model: str, rows: Sequence[Row], changes: Sequence[Mark]) -> str:
    pushed = [row for row in rows if row.outcome == "pushed"]
    # The run of a push has no such row if it was killed right after it, or is gone.
    newest = ("push", pushed[-1].version) if pushed else ()
    if changes and (changes[-1].action, changes[-1].to_version) != newest:
        last, what = changes[-1], f"Version {changes[-1].to_version} of {model} is in production"
        if last.tried:
            return f"{what}. Since {words.day(last.when)}, {last.tried}"
        change = f"{last.action} from version {last.from_version}" if last.from_version else last.action
        return f"{what}: {change} on {words.day(last.when)}."
    if not rows:
        return f"No run of {model} yet."
    if not pushed:
        return f"No run of {model} has pushed a version yet; runs so far: {len(rows)}."
    since = len(rows) - 1 - max(number for number, row in enumerate(rows) if row.outcome == "pushed")
    when = f"{format_count(since, 'run')} ago" if since else "by the last run"
    return (
        f"Version {pushed[-1].version} of {model} was pushed {when}, on {words.day(pushed[-1].started_at)}."
    )


def _list_figures(rows: Sequence[Row]) -> Iterator[Figure]:
    """Yields the newest model's accuracy, that of production on the same examples, and counts of runs."""
    newest = next((row for row in reversed(rows) if row.accuracy is not None), None)
    if newest and newest.accuracy is not None:
        name = f"{BADGES[newest.outcome][0]}, {newest.name}"
        yield Figure("Newest model", words.percent(newest.accuracy), name)
        if newest.before is not None:
            note = f"the newest model has {words.points(newest.accuracy - newest.before)} points"
            yield Figure("Production then", words.percent(newest.before), note)
    yield Figure("Runs", words.count(len(rows)))
    counted = Counter(row.outcome for row in rows)
    for outcome, (badge, _) in BADGES.items():
        if counted[outcome]:
            yield Figure(badge.capitalize(), words.count(counted[outcome]))
