"""Places where a run or its mirror cannot work, and runs that exclude the spans that they refused."""

import errno
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from data.spans import exclusions
from data.spans.exclusions import find_excluded_spans, read_decisions
from edgeline.errors import EdgelineError, Problem, UsageError
from edgeline.mlflow import updates
from edgeline.records.events import EventWriter, Failed
from edgeline.records.run import Artifact, Run
from edgeline.records.verdict import VERDICT, Finding, Verdict
from edgeline.workspace.runs import RunFolder, read_runs
from pipeline.workloads import find_workload
from runners.local.listeners import exclude_refused, make_listeners
from runners.local.run import _confirm_sample, run
from runners.shared.run_options import NamedSettings, RunOptions
from tests.runners.cli.process import add_week


def test_a_workspace_whose_path_is_a_pattern_is_refused(tmp_path, command):
    result = command("run", "--sample", "--workspace", "a*b")
    assert result.code == 2 and "has the character" in result.err and not list(tmp_path.iterdir())


@pytest.fixture
def options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    add_week(tmp_path / "photos")
    return RunOptions(NamedSettings("shelf", None, ()), tmp_path / "photos", tmp_path / "workspace")


def test_without_data_and_without_a_sample_there_is_nothing_to_train_on(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    with pytest.raises(UsageError, match="There are no examples to train on"):
        _confirm_sample(tmp_path / "workspace", find_workload("shelf"))


def test_a_run_goes_on_without_a_mirror_where_that_cannot_write(options, capsys):
    options.workspace.mkdir()
    (options.workspace / "mlflow").write_text("in the way")
    runs = []

    def start(arguments, *_):
        runs.append(Path(arguments[0]).name)
        return subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, start_new_session=True)

    assert run(options, make_listeners(), start) == 1
    assert runs == [read_runs(options.workspace)[-1].id]
    assert "MLflow lacks this run: File exists: " in capsys.readouterr().out


def test_a_run_whose_worker_cannot_be_started_is_recorded_with_the_reason(options):
    def start(*_):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    named = NamedSettings("shelf", None, ("registry.enabled=false", "trainer.epochs=3"))
    assert run(replace(options, named=named), (), start) == 1
    (record,) = read_runs(options.workspace)
    assert record.outcome == "failed" and record.reasons == ("Resource temporarily unavailable.",)
    assert record.changed == ("trainer.epochs",) and record.settings["trainer"]["epochs"] == 3


@pytest.mark.parametrize("outcome", ["refused", "held"])
def test_each_span_that_a_run_excludes_has_the_reason_that_names_it(tmp_path, outcome):
    spans = [f"span-0000{n}" for n in (1, 2, 3)]
    for span in spans:
        (tmp_path / span).mkdir()
    reasons = (f"{spans[1]} is dark.", "Nothing was exported.")
    findings = [Finding(text, spans=(span,)) for text, span in zip(reasons, spans[1:], strict=True)]
    VERDICT.write(tmp_path, Verdict.of("data", findings))
    record = Run(
        id="r",
        workload="shelf",
        outcome=outcome,
        data=str(tmp_path),
        reasons=reasons,
        blamed_spans=tuple(spans[1:]),
        artifacts=(Artifact("DataValidator", "verdict", str(tmp_path)),),
    )
    gate = SimpleNamespace(exclude_refused=True)
    settings, console = SimpleNamespace(gate=gate), Console(stderr=True)
    session = SimpleNamespace(settings=settings, console=console, record=record, goes_on=False)
    exclude_refused("ended", session)
    assert session.goes_on
    reasons_by_span = {name: each.reason for name, each in find_excluded_spans(tmp_path).items()}
    assert reasons_by_span == {spans[1]: f"Run r: {reasons[0]}", spans[2]: f"Run r: {reasons[1]}"}


def make_start(*spans):
    """Returns the start of a worker that refuses these spans."""

    def start(arguments, *_):
        EventWriter(RunFolder(Path(arguments[0])).events)(Failed(Problem("Bad.", spans=spans, exit_code=4)))
        return subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, start_new_session=True)

    return start


def test_an_exclusion_that_fails_after_another_one_does_not_deny_that(options, monkeypatch, capsys):
    blamed = "span-00001", *(add_week(options.data).name for _ in range(2))
    write = exclusions.append_entries

    def append(path, entries, why):
        if entries[0].span == "span-00002":
            raise EdgelineError("The disk is full.")
        write(path, entries, why)

    monkeypatch.setattr(exclusions, "append_entries", append)
    named = NamedSettings("shelf", None, ("gate.exclude_refused=true", "registry.enabled=false"))
    assert run(replace(options, named=named), make_listeners(), make_start(*blamed[:2])) == 4
    assert [each.span for each in read_decisions(options.data)] == ["span-00001"]
    output = capsys.readouterr().out
    assert "span-00001 is excluded" in output and "No other span was excluded: The disk is full." in output


def test_a_mirror_is_updated_once_after_the_run_that_goes_on_without_a_span(options, monkeypatch):
    newest = add_week(options.data).name
    (options.data / "span-00001" / "labels.csv").write_text("photo,label\n")
    counts = []
    monkeypatch.setattr(updates, "start", lambda *_, wait: "mirror")
    monkeypatch.setattr(updates, "finish", lambda _, place: counts.append(len(read_runs(place))) or "")
    named = NamedSettings("shelf", None, ("gate.exclude_refused=true", "data.window=1"))
    assert run(replace(options, named=named), make_listeners(), make_start(newest)) == 4
    assert counts == [2]
    assert all("kubeflow" not in each.settings for each in read_runs(options.workspace))


def test_a_listener_hears_of_each_moment_of_a_run(options, tmp_path):
    moments = []

    def listen(moment, session):
        moments.append((moment, session.problem.found if session.problem else session.record.outcome))

    assert run(options, [listen], make_start("span-00001")) == 4
    with pytest.raises(UsageError):
        run(replace(options, data=tmp_path / "away"), [listen], make_start())
    assert [moment for moment, _ in moments] == ["begun", "ended", "not begun"]
    assert moments[1][1] == "refused" and str(tmp_path / "away") in moments[2][1]
