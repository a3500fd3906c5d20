"""Steps that lost their pod and count as done on the cluster, from answers of a real API server."""

import base64
import gzip
import json

import pytest

from edgeline.records.outcome import Outcome
from runners.kubeflow.outcome import conclude
from runners.kubeflow.run_steps import is_settled, read_steps
from tests.runners.kubeflow.server import STEPS, Story, end_at, status
from tests.runners.kubeflow.test_run_steps import ANSWERS, read_answer
from tests.runners.kubeflow.test_runs import (
    LAUNCHER,
    OUTCOMES,
    PUSHED,
    conclude_story,
    fail,
    fail_at,
    get_run,
    make_log,
    make_logs,
    shows,
    succeed,
)

NO_MODEL = (
    "I1120 18:44:39.006098      12 driver.go:775] parent DAG input parameters: map[], artifacts: map[]\n"
    "F1120 18:44:39.064541      12 main.go:76] KFP driver: driver.Container(pipelineName=shelf, runID=4a2c,"
    ' task="Pusher", component="Pusher", dagExecutionID=5, componentSpec) failed: failed to'
    " resolve inputs: failed to resolve input artifact model with spec task_output_artifact:{"
    'producer_task:"Trainer" output_artifact_key:"model"}: cannot find output artifact key "model" in'
    ' producer task "Trainer"\n'
)
ASKED_TO_STOP = fail("the pod was asked to stop (SIGTERM) before the step was done.")
ALL_DONE = make_logs(**dict.fromkeys(STEPS, Outcome("done", reasons=("It took 3.0 s.",))))
LOST_TRAINER = end_at("Pusher", "UNPREPARED", "FAILED", logs={**ALL_DONE, "Pusher-driver": NO_MODEL})
LOST_LAST_STEP = succeed(logs={**ALL_DONE, **make_logs(ReleaseGate=ASKED_TO_STOP)})


def replay(server, name, is_packed=False):
    """Lets the server give the answers of a real one about a run; returns the run.

    With `is_packed`, its nodes are packed, and its tasks end before the Trainer.
    """
    document = json.loads((ANSWERS / f"{name}.json").read_text())
    run = document["run"]
    run["run_details"]["task_details"] = document["tasks"]
    nodes = {node["id"]: node for node in document["nodes"]}
    manifest = json.dumps({"status": {"nodes": nodes}})
    if is_packed:
        packed = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
        manifest = json.dumps({"status": {"compressedNodes": packed}})
        tasks = [task for task in document["tasks"] if task["display_name"] in ("root", "ExampleGen")]
        run["run_details"]["task_details"] = [task | {"state": "RUNNING"} for task in tasks]
    server.break_(f"v2beta1/runs/{run['run_id']}$", status(200, run))
    runtime = {"pipeline_runtime": {"workflow_manifest": manifest}}
    server.break_(f"v1beta1/runs/{run['run_id']}$", status(200, runtime))
    for node, text in document["logs"].items():
        server.break_(f"nodes/{node}/log$", status(200, text, "text/plain"))
    return read_answer(name)[0]


@pytest.mark.parametrize("name", ["pushed", "held", "trainer_failed", "counted_as_done"])
def test_the_steps_of_a_run_whose_workflow_is_packed_are_read_from_its_nodes(server, cluster, name):
    whole = replay(server, name, is_packed=True)
    run = cluster.get_run(whole.run_id)
    assert is_settled(run)
    steps = ["ExampleGen", "Trainer", "Pusher", "ReleaseGate"]
    assert read_steps(run, steps) == read_steps(whole, steps)


def test_a_lost_trainer_is_found_in_the_log_of_the_driver_that_missed_its_model(server, cluster):
    run = replay(server, "counted_as_done")
    step_names = ["Trainer", "Evaluator", "Pusher", "ReleaseGate"]
    steps = read_steps(run, step_names)
    assert [step.state for step in steps] == ["done", "failed", "waiting", "waiting"]
    outcome = conclude(cluster, run.run_id, run.state, steps, "shelf", None)
    assert outcome.reasons == ("Trainer was counted as done but left no model: its pod was lost.",)
    assert (outcome.outcome, outcome.exit_code) == ("failed", 1)
    assert f"edgeline kubeflow retry {run.run_id}" in outcome.do and "new run" in outcome.do


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (LOST_TRAINER, "Trainer was counted as done but left no model: its pod was lost."),
        (LOST_LAST_STEP, "ReleaseGate was counted as done but had not ended"),
        # The driver's log is gone, or is that of an unknown version.
        (
            end_at("Pusher", "UNPREPARED", "FAILED", logs={**ALL_DONE, **make_logs(Trainer=ASKED_TO_STOP)}),
            "Trainer was counted as done but had not ended: its pod was lost.",
        ),
        # No node is red.
        (
            Story(
                [("FAILED", dict.fromkeys(STEPS[:3], "SUCCEEDED"))],
                logs={**ALL_DONE, "Trainer": f"{LAUNCHER}epoch 3\n"},
            ),
            "Trainer was counted as done but had not ended: its pod was lost.",
        ),
    ],
    ids=["red", "green", "without the driver's log", "without a red node"],
)
def test_watch_names_the_lost_step_and_retry_makes_it_in_a_new_run_that_is_pushed(
    server, edgeline, story, reason
):
    lost = edgeline.follow(story)
    assert lost.code == 1 and reason in lost.out and shows("retry", get_run(server), lost.out)

    server.next_story = PUSHED
    again = edgeline("retry", get_run(server), "--wait")
    assert again.code == 0, again.err
    assert reason in again.err and "replaces it" in again.err
    assert "Pushed version 7" in again.out
    first, second = server.runs.values()
    keys = ("experiment_id", "pipeline_version_reference", "runtime_config", "service_account")
    assert {name: second[name] for name in keys} == {name: first[name] for name in keys}
    assert not server.count(":retry")


def test_retry_without_waiting_names_the_run_that_replaces_the_lost_one(server, edgeline):
    edgeline.follow(LOST_TRAINER)
    lost = get_run(server)
    result = edgeline("retry", lost, "--json")
    _, new = server.runs
    assert (result.code, result.json["run"]) == (0, new) and new in result.json["url"]
    result = edgeline("retry", lost)
    assert "with the same pipeline and settings: http" in result.out
    assert shows("watch", list(server.runs)[-1], result.out)


def test_a_run_of_a_pipeline_that_was_never_uploaded_is_started_again_with_its_spec(server, edgeline):
    edgeline.follow(LOST_TRAINER)
    run = server.runs[get_run(server)]
    [version] = server.versions.values()
    del run["pipeline_version_reference"]
    run["pipeline_spec"] = version["pipeline_spec"]
    run["runtime_config"]["parameters"] = {"span": 7}
    assert edgeline("retry", run["run_id"]).code == 0
    retry = list(server.runs.values())[-1]
    assert retry["pipeline_spec"] == version["pipeline_spec"]
    assert retry["runtime_config"] == {
        "pipeline_root": run["runtime_config"]["pipeline_root"],
        "parameters": {"span": 7},
    }


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "F1120 18:44:39.064541  12 main.go:76] KFP driver: failed: no route\n",
            "KFP driver: failed: no route",
        ),
        # Its input comes from no step.
        (NO_MODEL.replace("Trainer", "Elsewhere"), "KFP driver: "),
    ],
)
def test_a_driver_that_fails_for_another_reason_is_started_again_in_the_same_run(
    server, edgeline, log, reason
):
    story = end_at("Pusher", "UNPREPARED", "FAILED", logs={**ALL_DONE, "Pusher-driver": log})
    story.retried = PUSHED
    lost = edgeline.follow(story)
    assert lost.code == 1 and f"Pusher failed: {reason}" in lost.out
    again = edgeline("retry", get_run(server), "--wait")
    assert again.code == 0, again.err
    assert server.count(":retry") == 1


def test_a_gate_that_was_never_prepared_has_stopped_nothing(edgeline):
    result = edgeline.follow(end_at("ReleaseGate", "UNPREPARED", "FAILED", logs=ALL_DONE))
    assert result.code == 1 and "ReleaseGate failed" in result.out


@pytest.mark.parametrize(("step", "code"), [("Trainer", 137), ("DataGate", 2)])
def test_a_pod_that_was_asked_to_stop_is_lost_also_if_its_log_is_gone(edgeline, step, code):
    result = edgeline.follow(fail_at(step, message=f"Error (exit code {code})"))
    assert result.code == 1
    assert f"{step} lost its pod, which was asked to stop: Error (exit code {code})." in result.out
    assert "edgeline kubeflow retry" in result.out


def test_a_green_run_that_pushed_is_not_started_again(server, edgeline):
    logs = make_logs(Trainer=ASKED_TO_STOP, ReleaseGate=OUTCOMES["pushed"])
    edgeline.follow(succeed(logs={**ALL_DONE, **logs}))
    result = edgeline("retry", get_run(server))
    assert result.code == 1 and "has not failed" in result.err
    assert len(server.runs) == 1


def conclude_both(server, cluster, worker_state, worker):
    """Returns the outcome of a run whose Trainer failed beside a second pod, from the logs of both."""
    missed = fail("Worker 1 of the training can no longer be reached.")
    outcomes = {"Trainer": missed, "Trainer-worker-1": worker}
    states = {"Trainer": "failed", "Trainer-worker-1": worker_state}
    frame = {name: {"failed": "FAILED", "done": "SUCCEEDED"}[state] for name, state in states.items()}
    logs = {name: make_log(name, outcome) for name, outcome in outcomes.items()}
    return conclude_story(server, cluster, Story([("FAILED", frame)], logs), states)


def test_each_failed_pod_of_a_training_has_its_reason(server, cluster):
    full = fail("The disk is full.", do="Free some space.")
    outcome = conclude_both(server, cluster, "failed", full)
    assert outcome.reasons == (
        "Trainer failed: Worker 1 of the training can no longer be reached.",
        "Trainer-worker-1 failed: The disk is full.",
    )
    assert "retry run-1" in outcome.do and "Free some space." in outcome.do


def test_a_second_pod_that_was_lost_and_counts_as_done_is_named(server, cluster):
    outcome = conclude_both(server, cluster, "done", ASKED_TO_STOP)
    assert outcome.reasons == ("Trainer-worker-1 was counted as done but had not ended: its pod was lost.",)
    assert "a new run" in outcome.do
