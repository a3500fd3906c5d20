"""The outcome of a step in the last line of its log, and that of a run as its exit code and headline."""

from dataclasses import replace

import pytest

from edgeline.errors import DataRefused, HeldBack, Problem, UsageError
from edgeline.records.outcome import INTERRUPTED_EXIT, Outcome, find_outcome

HELD = Outcome("held", 6, ("Accuracy is 0.81.", "int8 is too large."), "Look.", "ReleaseGate", 3)


def test_an_outcome_is_one_line_of_ascii_and_read_from_the_log_as_it_was():
    reason = 'a "quote", \u2028 a line, \x85 and\n\x1b[2J'
    outcome = Outcome("failed", reasons=(reason, "\udcff.jpg"), step="ReleaseGate")
    line = outcome.to_line()
    assert line.isascii() and line.splitlines() == [line]
    result = find_outcome(["epoch 1", line, "I1120 launcher_v2.go:151] publish success."], "ReleaseGate")
    assert result == replace(outcome, reasons=(reason, r"\udcff.jpg"))


def test_the_last_outcome_of_the_step_counts_also_after_an_unfinished_line_of_another_process():
    first, other = Outcome("failed", step="ReleaseGate"), Outcome("done", step="Trainer")
    log = [first.to_line(), f"epoch 3/3 [====] {HELD.to_line()}", other.to_line()]
    assert find_outcome(log, "ReleaseGate") == HELD


@pytest.mark.parametrize(
    "line",
    [
        "Held back: Accuracy is 0.81.",
        'edgeline: {"outcome": "pushed", "version": 1}',
        'edgeline: {"outcome": "won", "step": "ReleaseGate"}',
        'edgeline: {"outcome": "pushed", "version": 1, "step": "Trainer"}',
        HELD.to_line()[:-1],
        f"edgeline: {'[' * 100_000}",
    ],
)
def test_a_line_without_an_outcome_of_the_step_is_none(line):
    assert find_outcome([line], "ReleaseGate") is None


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (UsageError.exit_code, "failed"),
        (HeldBack.exit_code, "held"),
        (DataRefused.exit_code, "refused"),
        (INTERRUPTED_EXIT, "interrupted"),
    ],
)
def test_the_exit_code_of_an_error_is_that_of_its_outcome(code, word):
    outcome = Outcome.of_problem(Problem("It is bad.", do="Fix it.", exit_code=code))
    assert (outcome.outcome, outcome.exit_code) == (word, code)
    assert (outcome.reasons, outcome.do) == (("It is bad.",), "Fix it.")


def test_only_what_ended_well_exits_with_0():
    words = ("done", "pushed", "unchanged", "held", "refused", "failed", "interrupted", "killed")
    assert {word for word in words if Outcome(word).exit_code == 0} == {"done", "pushed", "unchanged"}


@pytest.mark.parametrize(
    ("word", "stays", "headline"),
    [
        ("pushed", "", "Pushed version 3 of shelf to s3://b"),
        ("unchanged", "version 3 stays", "Nothing new to push: version 3 stays."),
        ("held", "version 3 stays", "Held back: the model was trained and not pushed; version 3 stays."),
        ("refused", "version 3 stays", "Data refused: nothing was trained or pushed; version 3 stays."),
        ("failed", "version 3 stays", "Failed: nothing was pushed; version 3 stays."),
        # It may have pushed before.
        ("failed", "", "Failed."),
        ("killed", "x", "Killed: the same command continues after the finished steps."),
    ],
)
def test_a_headline_says_what_is_in_production_as_far_as_that_is_known(word, stays, headline):
    assert Outcome(word, 3).headline("shelf", "s3://b", stays) == headline
