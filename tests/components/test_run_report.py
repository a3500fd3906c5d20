"""The records of runs on a cluster: RunReport writes one at the end, DataGate where it stops a run."""

import json
import logging
from pathlib import Path

import pytest
from tfx.types.artifact import Artifact
from tfx.types.standard_artifacts import (
    ExampleStatistics,
    ModelBlessing,
    ModelEvaluation,
    ModelRun,
    PushedModel,
)

from components.artifacts import EdgeModels, Quarantine, RunReportPage, Verdict
from components.run_record import leave_record
from components.run_report import RunReport
from edgeline.errors import DataRefused, Problem, UsageError
from edgeline.records.outcome import Outcome
from edgeline.records.run import Run
from edgeline.records.source import Source
from edgeline.records.verdict import VERDICT
from edgeline.records.verdict import Verdict as VerdictRecord
from edgeline.release import store
from edgeline.release.signing import KEY_VARIABLE, PRIVATE, load_signing_key, make_pair
from edgeline.report import archive
from edgeline.workspace.closing import summarise
from runners.kubeflow.pod.run_end import record_end
from tests.components.steps import admit, artifact, execute
from tests.edgeline.release.candidates import forget_log, make_candidate, make_key, read_signed


def write_window(folder: Path, spans: int):
    """Writes the quarantine of a window, stamped as a cluster's entry point does."""
    folder.mkdir(parents=True)
    counted = [
        {"name": f"span-{n:05d}", "number": n, "rows": 100, "accepted": 90, "rejected": {"corrupt": 10}}
        for n in range(1, spans + 1)
    ]
    ingest = {"splits": {"train": 80, "eval": 10}, "classes": {"ok": 90}, "spans": counted, "window": "ab"}
    (folder / "ingest.json").write_text(json.dumps(ingest))
    quarantine = artifact(Quarantine, folder, step_started="2026-10-05T03:00:10+00:00")
    quarantine.set_float_custom_property("step_seconds", 12.5)
    return quarantine


def properties(run: str, place: object) -> dict[str, str]:
    return {
        "run": run,
        "model_name": "shelf",
        "data": "/data",
        "recorded": '{"seed": 20}',
        "source": Source("ab" * 20, "main").to_json(),
        "records": str(place),
    }


PASSED = VerdictRecord("data", "pass", ("All is well.",))
# Outputs of steps without any file.
NOTHING = {
    name: artifact(kind, Path("nowhere"))
    for name, kind in {
        "model_run": ModelRun,
        "evaluation": ModelEvaluation,
        "blessing": ModelBlessing,
        "edge_models": EdgeModels,
        "edge_verdict": Verdict,
    }.items()
}


def report(folder: Path, run: str, place: object, spans: int = 2, outcome: str = "pushed"):
    """Runs DataGate and RunReport; returns the output folder of the latter."""
    accepted = judge(folder / run, place, PASSED, run, spans)
    pushed = artifact(PushedModel, folder / run / "pushed")
    Path(pushed.uri).mkdir(parents=True)
    push = {"outcome": outcome, "version": 3 if outcome == "pushed" else 0, "reasons": ["So it is."]}
    Path(pushed.uri, "push.json").write_text(json.dumps(push))
    page = artifact(RunReportPage, folder / run / "report")
    execute(
        RunReport,
        {**NOTHING, "accepted_data": accepted, "pushed_model": pushed},
        {"report": page},
        folder,
        **properties(run, place),
    )
    return Path(page.uri)


def test_the_page_is_in_the_artifact_and_in_the_records(tmp_path):
    output = report(tmp_path, "run-1", tmp_path / "records")
    for name in ("report.html", "facts.json"):
        assert (output / name).read_bytes() == (tmp_path / "records" / "run-1" / name).read_bytes()
    facts = archive.read(output)
    assert (facts.run.id, facts.run.engine, facts.run.outcome) == ("run-1", "kubeflow", "pushed")
    assert (facts.run.version, facts.run.reasons) == (3, ("So it is.",))
    assert facts.run.settings == {"seed": 20} and facts.run.source == Source("ab" * 20, "main")
    assert "Version 3 of shelf went into production" in (output / "report.html").read_text()
    assert [span.name for span in facts.data.spans] == ["span-00001", "span-00002"]
    assert [gate.reasons for gate in facts.gates] == [("All is well.",)]
    # The times are those of the stamps.
    (step,) = facts.run.steps
    assert (step.name, step.seconds, step.started) == ("ExampleGen", 12.5, "2026-10-05T03:00:10+00:00")
    assert facts.run.started_at == step.started
    assert {output.output for output in facts.run.artifacts} >= {"quarantine", "statistics", "pushed_model"}


def test_without_a_place_for_records_the_page_is_in_the_artifact_with_addresses_outside_the_pod(tmp_path):
    missing = artifact(ExampleStatistics, Path("/minio/mlpipeline/v2/shelf/run-1/StatisticsGen/statistics"))
    leave_record({"statistics": missing}, Run(id="run-1", workload="shelf", outcome="pushed"), "", tmp_path)
    facts = archive.read(tmp_path)
    assert (tmp_path / "report.html").is_file() and facts.run.engine == "local"
    (output,) = facts.run.artifacts
    assert (output.step, output.uri) == (
        "StatisticsGen",
        "minio://mlpipeline/v2/shelf/run-1/StatisticsGen/statistics",
    )


@pytest.mark.parametrize("place", ["a-file", "nothing://known"])
def test_records_that_cannot_be_written_are_a_warning(tmp_path, caplog, place):
    (tmp_path / "a-file").write_text("no folder")
    with caplog.at_level(logging.WARNING, logger="edgeline.report"):
        output = report(tmp_path, "run-1", tmp_path / place if place == "a-file" else place)
    assert caplog.text
    assert (output / "report.html").is_file()


def judge(folder: Path, place: object, record: VerdictRecord, run: str = "run-9", spans: int = 2) -> Artifact:
    """Runs DataGate; returns its output."""
    VERDICT.write(folder / "found", record)
    push = str(place).removesuffix("/runs/shelf")
    return admit(folder, write_window(folder / "quarantine", spans), push=push, **properties(run, place))[1]


def refuse(folder: Path, place: object) -> None:
    with pytest.raises(DataRefused, match="Far too dark"):
        judge(folder, place, VerdictRecord("data", "fail", ("Far too dark.",)))


def test_a_run_that_goes_on_leaves_a_record_in_case_it_never_ends_or_fails_in_a_later_step(tmp_path):
    judge(tmp_path, tmp_path / "records", PASSED)
    facts = archive.read(tmp_path / "records" / "run-9")
    assert facts.run.outcome == "running" and facts.data and facts.run.reasons == ()
    page = (tmp_path / "records" / "run-9" / "report.html").read_text()
    assert "The run is in progress." in page

    # A step that fails later ends that record, and keeps what it knew.
    problem = Problem("No room on the disk.")
    record_end("run-9", str(tmp_path / "records"), Outcome.of_problem(problem, "Trainer"), problem)
    facts = archive.read(tmp_path / "records" / "run-9")
    assert (facts.run.outcome, facts.run.reasons) == ("failed", ("No room on the disk.",))
    assert facts.data and facts.run.steps[-1].name == "Trainer"
    assert "failed in Trainer" in (tmp_path / "records" / "run-9" / "report.html").read_text()


@pytest.mark.parametrize(
    ("key", "production", "message"),
    [
        ("no key", {}, "EDGELINE_SIGNING_KEY .*private key"),
        ("", {"rollback_epoch": 2}, r"push\.rollback_epoch is 0.*Set push\.rollback_epoch=2"),
        ("", {"signing_key": make_key()}, r"shelf in production is signed.*push\.key=FILE"),
    ],
)
def test_what_the_pusher_would_refuse_is_refused_before_the_training(
    tmp_path, monkeypatch, key, production, message
):
    monkeypatch.setenv(KEY_VARIABLE, key)
    store.push(tmp_path / "push", "shelf", make_candidate(tmp_path / "made", **production))
    with pytest.raises(UsageError, match=message):
        judge(tmp_path, tmp_path / "push/runs/shelf", PASSED)
    assert not (tmp_path / "accepted").exists()


def test_a_step_that_fails_after_the_push_does_not_say_that_nothing_was_pushed(tmp_path):
    place = str(tmp_path / "push/runs/shelf")
    judge(tmp_path, place, PASSED)
    store.push(tmp_path / "push", "shelf", make_candidate(tmp_path / "made", run="run-9"))
    problem = Problem("No room on the disk.")
    record_end("run-9", place, Outcome.of_problem(problem, "RunReport"), problem)
    facts = archive.read(tmp_path / "push/runs/shelf/run-9")
    assert summarise(facts.run) == "Failed after version 1 of shelf was pushed."
    page = (tmp_path / "push/runs/shelf/run-9/report.html").read_text()
    assert "failed in RunReport, after version 1 was pushed" in page


def test_a_run_whose_data_is_refused_leaves_its_record_before_it_ends(tmp_path):
    refuse(tmp_path, tmp_path / "records")
    facts = archive.read(tmp_path / "records" / "run-9")
    assert facts.run.outcome == "refused"
    assert facts.gates[0].reasons == ("Far too dark.",)
    page = (tmp_path / "records" / "run-9" / "report.html").read_text()
    assert "The data was refused" in page and "Far too dark." in page


def test_a_run_whose_data_is_refused_renews_the_pointer_as_every_run_does(tmp_path, monkeypatch):
    make_pair(tmp_path)
    key, push = load_signing_key(str(tmp_path / PRIVATE)), tmp_path / "push"
    store.push(push, "shelf", make_candidate(tmp_path / "made", signing_key=key))
    forget_log(push, key)
    monkeypatch.setenv(KEY_VARIABLE, (tmp_path / PRIVATE).read_text())
    refuse(tmp_path, push / "runs/shelf")
    assert read_signed(push)[0].log is not None and store.verify(push, "shelf") == []


def test_data_is_refused_also_where_no_record_can_be_left(tmp_path):
    (tmp_path / "a-file").write_text("no folder")
    refuse(tmp_path, tmp_path / "a-file")
