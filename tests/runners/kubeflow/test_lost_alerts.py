"""The alerts on a run whose pod was lost before it could send one, and their place in its record."""

import json

import pytest

from edgeline.records.run import Run
from edgeline.report import archive
from edgeline.report.facts import Facts
from edgeline.store.locations import locate
from runners.shared.inputs import ROOT
from tests.runners.kubeflow.server import hang_up, until
from tests.runners.kubeflow.test_runs import SAID, failed, green, red, the_run

WEBHOOK = ("--set", "alerts.webhook=$HOOK", "--set", "alerts.min_free_gb=0")
OUT_OF_MEMORY = red("Trainer", message="OOMKilled (exit code 137)")

UNCHANGED = green(SAID["unchanged"])


@pytest.fixture
def cluster(server, edgeline, bucket):
    """A terminal whose cluster pushes to a bucket."""
    edgeline.write_settings(push=bucket)
    return edgeline


def record(bucket, run, outcome):
    """Writes the record that a step left of a run."""
    known = Run(
        id=run, workload="shelf", engine="kubeflow", number=4, outcome=outcome, reasons=("It is full.",)
    )
    archive.write(locate(bucket) / "runs/shelf" / run, Facts(known), "<!DOCTYPE html>")


def test_whoever_follows_a_run_tells_once_of_the_pod_that_could_not(server, cluster, bucket, hook):
    server.next_story = OUT_OF_MEMORY
    assert cluster("submit", *WEBHOOK).code == 0 and hook.messages == []
    record(bucket, run := the_run(server), "running")  # as DataGate leaves it
    for _ in range(2):
        assert cluster("watch", run, *WEBHOOK).code == 1
    [told] = hook.messages
    assert "Failed: nothing was pushed" in told and "Trainer ran out of memory (OOMKilled" in told
    assert "To do: Raise kubeflow.steps.Trainer.memory_gb" in told
    ended = archive.read(locate(bucket) / "runs/shelf" / run).run
    assert (ended.outcome, ended.number, [step.name for step in ended.steps]) == ("failed", 4, ["Trainer"])


def test_what_a_step_has_told_nobody_tells_again(server, cluster, bucket, hook):
    server.next_story = red("Trainer", failed("It is full."))
    cluster("submit")
    record(bucket, the_run(server), "failed")
    assert cluster("watch", the_run(server), *WEBHOOK).code == 1
    assert hook.messages == []


@pytest.mark.parametrize("story", [UNCHANGED, until("Trainer", "FAILED", "CANCELED")])
def test_a_run_that_ended_well_or_that_a_person_ended_is_no_lost_one(server, cluster, bucket, hook, story):
    server.next_story = story
    cluster("submit", "--wait", *WEBHOOK)
    assert cluster.type("alert", "--store", bucket, *WEBHOOK).code == 0
    assert hook.messages == [] and not archive.read_all(locate(bucket) / "runs/shelf")


def test_a_timer_tells_of_the_last_run_that_nobody_follows(server, cluster, bucket, hook):
    server.next_story = red("ExampleGen", message="pod deleted")
    # Kubeflow Pipelines takes no underscore; the name of the workload has one.
    (path := cluster.folder / "workload.yaml").write_text(
        f"name: my_shelf\nschema: {ROOT}/schema/shelf.pbtxt\n"
    )
    workload = "--workload", str(path)
    cluster.write_package("my_shelf")
    cluster("submit", *workload)
    server.runs[run := the_run(server)]["state"] = "FAILED"
    server.add_runs_of_others(run, 120)
    for _ in range(2):
        ended = cluster.type("alert", "--store", bucket, *workload, *WEBHOOK)
        assert ended.code == 0 and ended.out.startswith("Failed: nothing was pushed")
    [told] = hook.messages
    assert "ExampleGen lost its pod: pod deleted." in told and f"retry {run}" in told


def test_where_the_cluster_does_not_answer_the_timer_says_so_and_looks_at_the_rest(
    server, cluster, bucket, hook
):
    record(bucket, "run-1", "failed")
    server.break_("healthz", hang_up)
    ended = cluster.type("alert", "--store", bucket, *WEBHOOK)
    assert ended.code == 1 and "outcome of the last run on the cluster is not known" in ended.err
    assert "It is full." in hook.messages[0]


def test_a_store_that_does_not_answer_changes_no_exit_code_of_who_follows(server, cluster, hook):
    cluster.write_settings(push="s3://no-such-bucket/push")
    server.next_story = OUT_OF_MEMORY
    ended = cluster("submit", "--wait", "--json", *WEBHOOK)
    assert ended.code == 1 and "was not recorded or alerted" in ended.err
    assert json.loads(ended.out)["reasons"] == ["Trainer ran out of memory (OOMKilled (exit code 137))."]
    assert hook.messages == []
