"""Alerts and records of runs whose pod was lost before it could report."""

import pytest

from edgeline.records.run import Run
from edgeline.report import archive
from edgeline.report.facts import Facts
from edgeline.store.locations import locate
from runners.shared.inputs import ROOT
from tests.runners.kubeflow.server import end_at, hang_up
from tests.runners.kubeflow.test_runs import OUTCOMES, fail, fail_at, get_run, succeed

WEBHOOK = ("--set", "alerts.webhook=$HOOK", "--set", "alerts.min_free_gb=0")
OUT_OF_MEMORY = fail_at("Trainer", message="OOMKilled (exit code 137)")

UNCHANGED = succeed(OUTCOMES["unchanged"])


@pytest.fixture
def terminal(server, edgeline, bucket):
    """A terminal whose cluster pushes to a bucket."""
    edgeline.write_settings(push=bucket)
    return edgeline


def write_record(bucket, run, outcome):
    """Writes the record of a run that a step leaves."""
    facts_run = Run(
        id=run, workload="shelf", engine="kubeflow", number=4, outcome=outcome, reasons=("It is full.",)
    )
    archive.write(locate(bucket) / "runs/shelf" / run, Facts(facts_run), "<!DOCTYPE html>")


def test_following_a_run_sends_one_alert_about_a_lost_pod(server, terminal, bucket, hook):
    server.next_story = OUT_OF_MEMORY
    assert terminal("submit", *WEBHOOK).code == 0 and hook.messages == []
    write_record(bucket, run := get_run(server), "running")  # as DataGate leaves it
    for _ in range(2):
        assert terminal("watch", run, *WEBHOOK).code == 1
    [message] = hook.messages
    assert "Failed: nothing was pushed" in message and "Trainer ran out of memory (OOMKilled" in message
    assert "To do: Raise kubeflow.steps.Trainer.memory_gb" in message
    record = archive.read(locate(bucket) / "runs/shelf" / run).run
    assert (record.outcome, record.number, [step.name for step in record.steps]) == ("failed", 4, ["Trainer"])


def test_an_alert_of_a_step_is_not_sent_again(server, terminal, bucket, hook):
    server.next_story = fail_at("Trainer", fail("It is full."))
    terminal("submit")
    write_record(bucket, get_run(server), "failed")
    assert terminal("watch", get_run(server), *WEBHOOK).code == 1
    assert hook.messages == []


@pytest.mark.parametrize("story", [UNCHANGED, end_at("Trainer", "FAILED", "CANCELED")])
def test_a_run_that_ended_well_or_that_a_person_ended_is_no_lost_one(server, terminal, bucket, hook, story):
    terminal.follow(story, *WEBHOOK)
    assert terminal.type("alert", "--store", bucket, *WEBHOOK).code == 0
    assert hook.messages == [] and not archive.read_all(locate(bucket) / "runs/shelf")


def test_a_timer_sends_an_alert_about_the_last_run_that_nobody_follows(server, terminal, bucket, hook):
    server.next_story = fail_at("ExampleGen", message="pod deleted")
    # Kubeflow Pipelines accepts no underscore; the name of the workload has one.
    (path := terminal.folder / "workload.yaml").write_text(
        f"name: my_shelf\nschema: {ROOT}/schema/shelf.pbtxt\n"
    )
    workload = "--workload", str(path)
    terminal.write_package("my_shelf")
    terminal("submit", *workload)
    server.runs[run := get_run(server)]["state"] = "FAILED"
    server.add_runs_of_others(run, 120)
    for _ in range(2):
        result = terminal.type("alert", "--store", bucket, *workload, *WEBHOOK)
        assert result.code == 0 and result.out.startswith("Failed: nothing was pushed")
    [message] = hook.messages
    assert "ExampleGen lost its pod: pod deleted." in message and f"retry {run}" in message


def test_a_timer_reports_a_cluster_that_does_not_answer_and_checks_the_rest(server, terminal, bucket, hook):
    write_record(bucket, "run-1", "failed")
    server.break_("healthz", hang_up)
    result = terminal.type("alert", "--store", bucket, *WEBHOOK)
    assert result.code == 1 and "outcome of the last run on the cluster is not known" in result.err
    assert "It is full." in hook.messages[0]


def test_a_store_that_does_not_answer_changes_no_exit_code(server, terminal, hook):
    terminal.write_settings(push="s3://no-such-bucket/push")
    result = terminal.follow(OUT_OF_MEMORY, "--json", *WEBHOOK)
    assert result.code == 1 and "was not recorded or alerted" in result.err
    assert result.json["reasons"] == ["Trainer ran out of memory (OOMKilled (exit code 137))."]
    assert hook.messages == []
