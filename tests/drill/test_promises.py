"""Each promise, with years that break it and years that keep it. A year is a record, so nothing runs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from drill import promises
from drill.record import ARMS, YEAR, Attempt, Limits, Score, Week, Year

LIMITS = Limits(0.85, 0.55, 0.02, 0.95)


def attempt(
    outcome: str = "pushed", *sentences: str, spans: Sequence[int] = (), trained: str = ""
) -> Attempt:
    code = {"pushed": 0, "unchanged": 0, "held": 3, "refused": 4, "failed": 1}[outcome]
    return Attempt(code, outcome, sentences, 30.0, tuple(f"span-{n:05d}" for n in spans), trained)


def week(number: int, accuracy: float = 0.95, **fields: Any) -> Week:
    """Makes a week whose model has this accuracy on its test of 1,000 photos, half of them damaged."""
    right = round(500 * accuracy)
    score = Score({"ok": right, "damaged": right}, {"ok": 500, "damaged": 500})
    name = fields.pop("model", f"week-{number:02d}")
    defaults = {
        "attempts": (attempt(spans=range(1, number + 1)),),
        "production": number,
        "arms": dict.fromkeys(ARMS, name),
        "scores": {name: {number: score}},
        "spans": tuple(f"span-{n:05d}" for n in range(1, number + 1)),
    }
    return Week(number, model=name, **{**defaults, **fields})


def year(*weeks: Week) -> Year:
    return Year(1, 1000, LIMITS, weeks=weeks)


def find_broken(*weeks: Week) -> list[str]:
    return [each.promise for each in promises.find_broken(year(*weeks))]


def test_quiet_weeks_break_nothing_and_the_record_reads_back_equal(tmp_path: Any) -> None:
    quiet = year(*(week(number) for number in range(1, 13)))
    assert not list(promises.find_broken(quiet))
    YEAR.write(tmp_path, quiet)
    assert YEAR.read(tmp_path) == quiet


@pytest.mark.parametrize(
    ("fields", "promise"),
    [
        ({"problems": ("labels.txt differs.",)}, "production_verifies"),
        ({"phone": ("A phone runs a version 2 of its own.",)}, "a_phone_ran_only_whole_releases"),
        ({"effects": ("refused",), "faults": ("corrupt",)}, "no_bad_week_was_trained_on"),
        ({"attempts": (attempt("failed", "No space."),)}, "no_good_week_was_lost"),
    ],
)
def test_a_problem_in_a_week_breaks_one_promise_alone(fields: dict[str, Any], promise: str) -> None:
    assert find_broken(week(1, **fields)) == [promise]


@pytest.mark.parametrize(("accuracy", "is_bad"), [(0.8, True), (0.84, False)])
def test_a_model_below_a_bound_beyond_chance(accuracy: float, is_bad: bool) -> None:
    assert ("no_bad_model_was_in_production" in find_broken(week(1, accuracy))) == is_bad


def test_a_model_that_is_blind_to_a_class() -> None:
    score = Score({"ok": 900, "damaged": 20}, {"ok": 900, "damaged": 100})
    blind = week(1, scores={"week-01": {1: score}})
    assert "recall of damaged 0.200 of 100 photos" in promises.no_bad_model_was_in_production(year(blind))


def test_a_good_week_that_no_run_reads() -> None:
    lost = {"span-00002": "Run x refused it."}
    weeks = week(1), week(2, excluded=lost), week(3, attempts=(attempt(spans=(1, 3)),))
    assert (
        promises.no_good_week_was_lost(year(*weeks)) == "span-00002 was good, and is lost: Run x refused it."
    )
    bad = replace(weeks[1], effects=("refused",), faults=("corrupt",), excluded={})
    assert not promises.no_good_week_was_lost(year(weeks[0], bad, weeks[2]))


def test_a_stop_that_names_something_else_than_its_cause() -> None:
    fields = {"faults": ("corrupt",), "effects": ("refused",), "causes": ("corrupt",), "spans": ()}
    good, bad = attempt("refused", "12 corrupt."), attempt("refused", "Label drifted.")
    assert not find_broken(week(1, attempts=(good,), **fields))
    assert find_broken(week(1, attempts=(bad,), **fields)) == ["every_stop_names_its_cause"]
    again = {"faults": ("twice",), "effects": ("refused",), "causes": ("duplicate",), "spans": ()}
    # The week before comes again with its own fault.
    assert not find_broken(week(1, attempts=(good,), **fields), week(2, attempts=(good,), **again))
    assert find_broken(week(1), week(2, attempts=(good,), **again)) == ["every_stop_names_its_cause"]
    # A copy of the copy has that fault too.
    copies = week(1, attempts=(good,), **fields), *(week(n, attempts=(bad,), **again) for n in (2, 3))
    assert find_broken(*copies) == ["every_stop_names_its_cause"]
    assert not find_broken(*copies[:1], *(replace(each, attempts=(good,)) for each in copies[1:]))
    # If a fault changes neither photos nor training, a held model counts as in a good week.
    clock = {"faults": ("clock-back",), "effects": ("recovers",), "causes": ("clock",)}
    worse, full = attempt("held", "Below production.", spans=(1, 2)), attempt("failed", "It went wrong.")
    assert not find_broken(week(1), week(2, attempts=(worse,), **clock))
    assert find_broken(week(1), week(2, attempts=(full, worse), **clock)) == ["every_stop_names_its_cause"]
    assert not find_broken(week(1), week(2, attempts=(worse,), ended="waits", **clock))
    waiting = attempt("held", "A new model waits until that canary has ended.", spans=(1, 2))
    assert not find_broken(week(1), week(2, attempts=(waiting,), ended="waits", **clock))


def test_a_bad_week_on_which_nothing_ran_is_refused_by_the_next_run() -> None:
    unread = {
        "faults": ("corrupt", "missed"),
        "effects": ("refused", "recovers"),
        "attempts": (),
        "spans": (),
    }
    refused = attempt("refused", "18 of 60 photos of span-00002 were quarantined: 18 corrupt.")
    full = {"faults": ("disk-full-push",), "effects": ("recovers",), "causes": ("disk is full",)}
    ran = week(3, attempts=(refused, attempt(spans=(1, 3))), spans=("span-00001", "span-00003"), **full)
    missed = week(2, causes=("corrupt", "span"), model="week-01", **unread)
    assert not find_broken(week(1), missed, ran)
    assert not promises.find_false_alarms(year(week(1), missed, ran))
    assert find_broken(week(1), week(2), ran)


def test_a_model_that_is_held_for_its_accuracy_is_no_stop_without_a_cause() -> None:
    dark = {"faults": ("dark-lens",), "effects": ("may",), "causes": ("brightness",)}
    held = attempt("held", "The accuracy is below.", spans=(1, 2))
    assert not find_broken(week(1), week(2, attempts=(held,), **dark))
    assert find_broken(week(1), week(2, attempts=(attempt("held", "No.", spans=(1, 2)),), **dark))


def test_a_week_that_gates_may_refuse_is_refused_by_the_next_run_if_none_read_it() -> None:
    unread = week(2, faults=("null-lane", "missed"), effects=("may", "recovers"), attempts=(), spans=())
    stops = attempt("refused", "lane"), attempt(spans=(1, 3))
    ran = week(3, attempts=stops, spans=("span-00001", "span-00003"))
    assert not promises.find_false_alarms(year(week(1), unread, ran))


def test_a_bad_week_whose_second_attempt_fails() -> None:
    fields = {"faults": ("corrupt",), "effects": ("refused",), "causes": ("corrupt",), "spans": ()}
    attempts = attempt("refused", "12 corrupt."), attempt("failed", "It went wrong.")
    assert find_broken(week(1, attempts=attempts, **fields)) == ["no_good_week_was_lost"]


def test_a_single_false_alarm_is_within_the_settings_and_several_are_not() -> None:
    def make_held(n: int, accuracy: float = 0.95) -> Week:
        stop = attempt("held", "Below production.", spans=range(1, n + 1), trained=f"week-{n:02d}")
        return week(n, accuracy, attempts=(stop,))

    quiet = [week(n) for n in range(1, 21)]
    assert not find_broken(*quiet, make_held(21))
    name = "false_alarms_are_as_rare_as_set"
    assert name not in find_broken(*quiet[:3], *(make_held(n, 0.8) for n in (4, 5, 6)))
    assert name in find_broken(*quiet[:3], *map(make_held, (4, 5, 6)))
    # Their eval split had photos of a week with a fault.
    quiet[1] = replace(quiet[1], faults=("dead-session",), effects=("may",))
    assert name not in find_broken(*quiet[:3], *map(make_held, (4, 5, 6)))


def test_a_loss_against_another_arm() -> None:
    first = week(1)
    later = week(2, 0.89, arms={**dict.fromkeys(ARMS, "week-02"), "never retrained": "week-01"})
    scored = {**later.scores, "week-01": {2: first.scores["week-01"][1]}}
    assert find_broken(first, replace(later, scores=scored)) == ["accuracy_stays_in_its_band"]


def test_sizes_that_grow_after_the_first_eight_weeks() -> None:
    weeks = [week(n, sizes={"database": 100.0 + n}) for n in range(1, 24)]
    assert not find_broken(*weeks)
    grown = [week(n, sizes={"database": 140.0}) for n in range(24, 29)]
    assert not promises.nothing_grows(year(*weeks, *grown[:4]))
    sentence = "database: 140 in the median of eight weeks, at most 115 in the first eight"
    assert promises.nothing_grows(year(*weeks, *grown)) == sentence


def test_weeks_that_kept_little_or_much_have_not_shrunk_or_grown() -> None:
    idle = [week(n, attempts=(), sizes={"page": 10.0}) for n in range(1, 13)]
    weeks = [week(n, sizes={"page": 90.0 + 40 * (n % 4 == 0)}) for n in range(13, 53)]
    assert not any(promises.nothing_grows(year(*idle, *weeks[:n])) for n in range(1, 41))


def test_weeks_that_kept_more_whole_runs_than_the_first_have_not_grown() -> None:
    ran = attempt("failed"), attempt(trained="week-01")
    killed = [week(n, attempts=ran, sizes={"workspace": 90.0}) for n in range(1, 16)]
    whole = [week(n, attempts=ran[1:], sizes={"workspace": 140.0}) for n in range(16, 40)]
    assert not promises.nothing_grows(year(*killed, *whole))


@pytest.mark.parametrize(
    ("bad", "ended", "is_broken"),
    [
        (1, "promote", True),
        (1, "waits", False),
        (1, "rollback", False),
        (0, "promote", False),
        (0, "waits", False),
        (0, "rollback", True),
    ],
)
def test_a_canary_has_to_end_as_it_served(bad: int, ended: str, is_broken: bool) -> None:
    weeks = week(1), week(2, candidate=1, bad=bad), week(3, ended=ended, bad=bad)
    assert ("every_canary_ends_as_it_served" in find_broken(*weeks)) == is_broken


@pytest.mark.parametrize("effect", ["may", "refused"])
def test_a_canary_is_not_judged_by_answers_to_photos_that_a_fault_changed(effect: str) -> None:
    fault = {"faults": ("flipped-labels",), "effects": (effect,), "causes": ("",)}
    opened = week(1), week(2, candidate=1)
    name = "every_canary_ends_as_it_served"
    assert name not in find_broken(*opened, week(3, ended="rollback", **fault))
    waiting = *opened, week(3, candidate=1, ended="waits", **fault)
    assert name not in find_broken(*waiting, week(4, ended="rollback"))
    assert name in find_broken(week(1), week(2, candidate=1, **fault), week(3, ended="rollback"))
    late = week(2, candidate=1, bad=1), week(3, candidate=1, bad=1, ended="waits", **fault)
    assert name not in find_broken(week(1), *late, week(4, candidate=1, bad=1, ended="waits"))


def test_a_canary_that_was_rolled_back_by_hand_breaks_no_promise() -> None:
    by_hand = {"faults": ("canary", "rollback"), "effects": ("recovers", "recovers")}
    assert not find_broken(week(1), week(2, candidate=1, **by_hand), week(3, ended="rollback"))
    # A rollback in a later week excuses no run that promotes a bad model.
    later = week(3, ended="promote", bad=1, faults=("rollback",), effects=("recovers",))
    assert "every_canary_ends_as_it_served" in find_broken(week(1), week(2, candidate=1, bad=1), later)


@pytest.mark.parametrize("bad", [0, 1])
def test_a_canary_may_wait_for_answers_in_three_good_weeks(bad: int) -> None:
    waiting = [week(n, candidate=1, bad=bad, ended="waits") for n in range(3, 7)]
    opened = [week(1), week(2, candidate=1, bad=bad), *waiting]
    assert not find_broken(*opened[:-1])
    assert find_broken(*opened) == ["every_canary_ends_as_it_served"]
    opened[3] = replace(opened[3], faults=("missed",), effects=("recovers",))
    assert not find_broken(*opened)


def test_a_bad_week_in_a_release_that_was_rolled_back_at_once() -> None:
    bad = {"faults": ("corrupt", "rollback"), "effects": ("refused", "recovers")}
    rolled_back = week(2, attempts=(attempt(spans=(1, 2)),), spans=("span-00001",), **bad)
    assert find_broken(week(1), rolled_back) == ["no_bad_week_was_trained_on"]
