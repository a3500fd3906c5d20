from dataclasses import replace

import pytest

from edgeline.alerts.troubles import Situation, _check_end
from edgeline.errors import Problem
from edgeline.records.events import EventWriter, Planned, StepChanged
from edgeline.records.run import Step
from edgeline.records.verdict import PUSH, VERDICT, Finding, Push, Verdict
from edgeline.report.facts import Facts
from edgeline.workspace import closing
from edgeline.workspace.known_runs import write_report
from edgeline.workspace.runs import RunFolder
from runners.local.conclusion import conclude, find_release
from tests.outputs import leave

DATA_PASS = Verdict("data", "pass", ("150 of 150 photos were accepted.",))
FEW, NONE = ("Lane 7 has 3 photos.",), ("There was no production model to compare with.",)
NO_BASELINE = Verdict("evaluation", "no_baseline", NONE, FEW)
EDGE_FAIL = Verdict("edge", "fail", ("fp16 is 6.1 MB; at most 5.0 MB is allowed.",), FEW)
OUTPUTS = {"ModelValidator": "blessing", "Pusher": "pushed_model"}
OUTPUTS |= {"DataValidator": "verdict", "EdgeValidator": "verdict"}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "runs" / "20261005-091233"
    path.mkdir(parents=True)
    return RunFolder(path)


@pytest.fixture
def end(folder, make_run):
    """Returns the record of a run that these outputs of steps, and perhaps a problem, ended."""
    folder.write(make_run())

    def end(problem=None, *warnings, **outputs):
        for step, content in outputs.items():
            file = VERDICT if isinstance(content, Verdict) else PUSH
            leave(folder, step, OUTPUTS[step], file, content)
        return conclude(make_run(), folder, problem, warnings)

    return end


def test_a_push_without_a_baseline_says_both(end):
    push = Push("pushed", 1, ("Version 1 of shelf went into production.",))
    run = end(DataValidator=DATA_PASS, ModelValidator=NO_BASELINE, Pusher=push)
    assert (run.outcome, run.exit_code, run.error) == ("pushed", 0, None)
    assert run.reasons == (
        "Version 1 of shelf went into production.",
        "150 of 150 photos were accepted.",
        "There was no production model to compare with.",
    )
    assert run.warnings == ("Lane 7 has 3 photos.",)


def test_a_model_that_was_held_back_ends_with_3_and_the_reasons_of_the_gate(end):
    gate = Problem(EDGE_FAIL.reasons[0], "It was not pushed.", "Look.", exit_code=3)
    outputs = {"DataValidator": DATA_PASS, "EdgeValidator": EDGE_FAIL}
    run = end(gate, "span-00007 is dark.", **outputs, Pusher=Push("held", reasons=EDGE_FAIL.reasons))
    assert (run.outcome, run.exit_code) == ("held", 3)
    assert run.reasons == ("fp16 is 6.1 MB; at most 5.0 MB is allowed.",)
    assert run.warnings == ("span-00007 is dark.", "Lane 7 has 3 photos.")


def test_an_error_after_a_gate_that_failed_says_why_and_what_to_do(folder, end):
    error = Problem("The disk is full.", "Nothing can be written.", "Free some space.")
    run = end(error, EdgeValidator=EDGE_FAIL)
    assert (run.outcome, run.reasons) == ("failed", ("The disk is full.",))
    lines = [line for line, _ in closing.describe_end(run, folder, None)]
    assert lines[-2:] == ["  Nothing can be written.", "  Free some space."]
    page = write_report(run, folder)[0].read_text()
    assert all(part in page for part in (error.found, error.why, error.do, EDGE_FAIL.reasons[0]))


@pytest.mark.parametrize(
    ("exit_code", "outcome", "sentence"),
    [
        (1, "failed", "The run failed in ReleaseGate, after version 3 was pushed."),
        (130, "interrupted", "after version 3 was pushed; the same command resumes it."),
    ],
)
def test_a_run_that_ends_after_its_push_does_not_say_that_nothing_was_pushed(
    folder, end, exit_code, outcome, sentence
):
    EventWriter(folder.events)(StepChanged(Step("ReleaseGate", "failed")))
    error = Problem("The store cannot be reached.", exit_code=exit_code)
    run = end(error, Pusher=Push("pushed", 3, ("Version 3 of shelf went into production.",)))
    assert (run.outcome, run.exit_code, run.version, run.error) == (outcome, exit_code, 3, error)
    assert closing.summarise(run) == f"{outcome.capitalize()} after version 3 of shelf was pushed."
    assert sentence in write_report(run, folder)[0].read_text()
    troubles = _check_end(Facts(run), Situation("shelf", (), None, "", (), folder.path, ""))
    assert [trouble.what for _, trouble in troubles] == [closing.summarise(run)] * (outcome == "failed")


def test_a_store_that_is_away_at_the_end_hides_nothing_of_a_run(make_run):
    assert find_release(make_run(push="nosuch://bucket/push")) is None


def test_a_dag_that_ends_without_a_verdict_has_failed_with_the_step_that_was_running(folder, end):
    write_event = EventWriter(folder.events)
    write_event(Planned(("ExampleGen", "Trainer", "Pusher")))
    write_event(StepChanged(Step("ExampleGen", "done", 2.0)))
    write_event(StepChanged(Step("Trainer", "running")))
    run = end()
    assert (run.outcome, run.exit_code) == ("failed", 1)
    assert [step.state for step in run.steps] == ["done", "failed", "queued"]


def test_the_spans_that_failed_verdicts_blame_stand_in_the_record_or_else_those_of_the_error(end):
    error = Problem("It is bad.", "w", "d", ("span-00001",), exit_code=4)
    assert end(error).blamed_spans == ("span-00001",)
    run = end(
        error,
        ModelValidator=Verdict("evaluation", "pass", spans=("span-00009",)),
        DataValidator=Verdict("data", "fail", ("Too dark.",), spans=("span-00002", "span-00003")),
        EdgeValidator=Verdict("edge", "fail", ("Too large.",), spans=("span-00003",)),
    )
    assert run.blamed_spans == ("span-00002", "span-00003")
    assert run.reasons == ("Too dark.", "Too large.")


def test_a_sentence_on_the_model_and_its_files_is_said_once_and_names_them(end):
    lost = Finding("Lane 7 is lost.", "evaluation.group_right_after=null", "lane 7")
    files = [replace(lost, sentence=f"It has lost {n}.", file=n) for n in ("fp32", "fp16", "dynamic", "int8")]
    verdicts = {
        "ModelValidator": Verdict.of("evaluation", [lost]),
        "EdgeValidator": Verdict.of("edge", files),
    }
    run = end(Problem("Held.", exit_code=3), **verdicts)
    assert run.reasons == ("Lane 7 is lost. So it is with its files: fp32, fp16, dynamic, int8.",)
