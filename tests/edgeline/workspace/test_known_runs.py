"""The page of a local run, made from its record and from what its steps left."""

import shutil
from dataclasses import replace

import pytest

from edgeline.errors import Problem
from edgeline.records.ingest import INGEST, Excluded, Ingest, Span
from edgeline.records.run import Step
from edgeline.records.verdict import VERDICT, Verdict
from edgeline.report import archive
from edgeline.report.sources import Sources
from edgeline.workspace.known_runs import resolve_place, write_report
from edgeline.workspace.place import Place
from tests.conftest import make_workspace
from tests.outputs import leave, record_output, write_run


@pytest.fixture
def leave_run(tmp_path, make_run):
    """Writes runs that failed, each with the counts of its ingest."""

    def write(name, spans=2, **values):
        run = make_run(id=name, outcome="failed", exit_code=1, **values)
        folder = write_run(tmp_path, run)
        if spans:
            run = leave(folder, "ExampleGen", "quarantine", INGEST, ingest(spans))
        return run, folder

    return write


def ingest(spans):
    counts = tuple(Span(f"span-{n:05d}", n, rows=9, accepted=9) for n in range(1, spans + 1))
    return Ingest({"train": 7, "eval": 2}, {"ok": 9}, counts)


@pytest.mark.parametrize(("destination", "follows"), [(None, True), ("/releases", False)])
def test_the_releases_of_a_copied_workspace_are_its_own_unless_they_were_elsewhere(
    tmp_path, make_run, destination, follows
):
    push = destination or str(tmp_path / "first" / "push")
    make_workspace(tmp_path / "first", make_run, push=push, settings={"push": {"destination": destination}})
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    _, root, model = resolve_place(Place(tmp_path / "second", None))
    assert (root, model) == (str(tmp_path / "second" / "push") if follows else push, "shelf")


def write_page(run, folder):
    return write_report(run, folder)[0].read_text()


def test_the_record_of_the_run_is_on_the_page(leave_run):
    problem = Problem("The disk is full.", "Nothing could be written.", "Free some space.")
    steps = (Step("ExampleGen", "done", 3.0), Step("Trainer", "failed", 2.0))
    run, folder = leave_run(
        "20261005-091233", error=problem, steps=steps, settings={"trainer": {"epochs": 3}}
    )
    page = write_page(run, folder)
    assert write_report(run, folder)[0] == folder.path / "report.html"
    assert "The run failed in Trainer" in page
    for text in (problem.found, problem.why, problem.do, "trainer.epochs", "20261005-091233", "span-00002"):
        assert text in page


def test_folders_that_are_gone_are_left_out(leave_run):
    _, folder = leave_run("20261005-091233")
    leave(folder, "DataValidator", "verdict", VERDICT.name, b"{}")
    sources = Sources.of(record_output(folder, "Trainer", "model_run", "/gone"))
    assert sources.quarantine and sources.data_verdict and sources.model_run is None


@pytest.mark.parametrize("inferred", [b"\xff", None])
def test_a_schema_that_is_torn_or_gone_is_named_and_the_rest_is_shown(leave_run, inferred):
    run, folder = leave_run("20261005-091233")
    leave(folder, "StatisticsGen", "statistics", "some.txt", b"")
    leave(folder, "ImportSchemaGen", "schema", "schema.pbtxt", b'feature { name: "label" }')
    run = leave(folder, "SchemaGen", "schema", "schema.pbtxt" if inferred else "other.txt", inferred or b"")
    page = write_page(run, folder)
    assert "The schema of the window could not be read" in page
    assert "2 spans in the window" in page


def test_a_span_that_was_excluded_after_its_ingest_was_cached_is_on_the_record(leave_run):
    decision = Excluded("span-00003", "ana", "2026-10-05T09:00:00Z", "drill")
    run, folder = leave_run("20261005-091233", excluded_spans=(decision,))
    run = replace(run, spans=("span-00001",))
    write_report(run, folder)
    facts = archive.read(folder.path, run)
    assert facts is not None and facts.data is not None
    assert facts.data.excluded == (decision,)


def test_the_reason_of_a_gate_is_shown_only_beside_the_gate(leave_run):
    error = Problem("Far too dark.", "Nothing was trained.", "Fix the week.")
    run, folder = leave_run("20261005-091233", error=error, reasons=("Far too dark.",))
    run = replace(run, outcome="refused", exit_code=4)
    assert "Fix the week." in write_page(run, folder)
    verdict = Verdict("data", "fail", ("Far too dark.",))
    leave(folder, "DataValidator", "verdict", VERDICT, verdict)
    page = write_page(replace(folder.read(), outcome="refused", exit_code=4), folder)
    assert page.count("Far too dark.") == 1 and "Fix the week." not in page
