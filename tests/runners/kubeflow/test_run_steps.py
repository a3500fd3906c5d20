"""Steps and pods, read from answers of a real API server (`answers/`)."""

import json
from pathlib import Path

import kfp_server_api
import pytest

from edgeline.records.steps import STEPS
from runners.kubeflow.pods import Pod, explain_ending, find_troubles, read_pods
from runners.kubeflow.run_steps import compute_signature, is_pending, order_steps, read_steps

ANSWERS = Path(__file__).parent / "answers"
NAMES = ["ExampleGen", "Trainer", "Pusher"]


class _Response:
    def __init__(self, document):
        self.data = json.dumps(document)


def read_answer(name, old="", new=""):
    """Returns the run as kfp's client has it, and the nodes of its workflow; a word may be another one."""
    document = json.loads((ANSWERS / f"{name}.json").read_text().replace(old, new))
    run = document["run"]
    run["run_details"]["task_details"] = document["tasks"]
    return kfp_server_api.ApiClient().deserialize(_Response(run), "V2beta1Run"), document["nodes"]


@pytest.mark.parametrize(
    ("name", "run_state", "states"),
    [
        # A step has several tasks.
        ("pushed", "SUCCEEDED", {"ExampleGen": "done", "Pusher": "done", "ReleaseGate": "done"}),
        ("held", "FAILED", {"ExampleGen": "done", "Pusher": "done", "ReleaseGate": "failed"}),
        # For the server, a step from the cache has succeeded too.
        ("served_from_the_cache", "SUCCEEDED", {"ExampleGen": "cached", "Pusher": "cached"}),
        ("trainer_failed", "FAILED", {"ExampleGen": "done", "Trainer": "failed", "Pusher": "waiting"}),
    ],
)
def test_the_state_of_each_step_is_read_from_the_tasks_of_a_run(name, run_state, states):
    run, _ = read_answer(name)
    assert run.state == run_state
    assert {step.name: step.state for step in read_steps(run, list(states))} == states


def test_a_gate_is_the_same_step_under_a_name_that_says_what_red_means():
    run, nodes = read_answer("held")
    other_run, other_nodes = read_answer("held", "ReleaseGate", "held-if-red")
    assert read_steps(other_run, ["ReleaseGate"]) == read_steps(run, ["ReleaseGate"])
    assert read_pods(other_nodes) == read_pods(nodes)
    gate = {"taskOutputArtifact": {"producerTask": "refused-if-red"}}
    tasks = {"refused-if-red": {}, "Transform": {"inputs": {"artifacts": {"gate": gate}}}}
    assert order_steps({"root": {"dag": {"tasks": tasks}}}) == ["DataGate", "Transform"]


def test_steps_come_in_the_order_of_the_plan_with_their_own_time_and_wait_at_first():
    names = ["ExampleGen", "Transform", "Pusher", "ReleaseGate"]
    steps = read_steps(read_answer("pushed")[0], names)
    assert [step.name for step in steps] == names
    assert steps[0].seconds == 9.0  # without that of its driver
    assert steps[1].state == "waiting" and steps[1].seconds is None


def test_a_retried_step_takes_as_long_as_its_last_attempt():
    run, _ = read_answer("trainer_failed")
    [task] = [task for task in run.run_details.task_details if task.display_name == "Trainer"]
    first = task.state_history[0]
    later = kfp_server_api.V2beta1RuntimeStatus(update_time=task.end_time, state="RUNNING")
    task.state_history = [first, later]
    [step] = read_steps(run, ["Trainer"])
    assert step.seconds == 0.0


def test_a_run_that_has_not_begun_has_no_steps():
    run, _ = read_answer("pushed")
    run.run_details = None
    assert [step.state for step in read_steps(run, NAMES)] == ["waiting"] * 3


def test_any_change_of_a_task_changes_the_signature():
    run, _ = read_answer("waiting_for_an_image")
    before = compute_signature(run)
    assert is_pending(run) and compute_signature(read_answer("waiting_for_an_image")[0]) == before
    next(task for task in run.run_details.task_details if task.state == "PENDING").state = "RUNNING"
    assert compute_signature(run) != before and not is_pending(run)


def test_the_plan_follows_artifacts_and_order_alone():
    tasks = {
        "A": {"dependentTasks": ["B"]},
        "B": {"inputs": {"artifacts": {"x": {"taskOutputArtifact": {"producerTask": "C"}}}}},
        "C": {"inputs": {"parameters": {"z": {"runtimeValue": {"constant": 1}}}}},
    }
    spec = {"root": {"dag": {"tasks": tasks}}}
    assert order_steps(spec) == ["C", "B", "A"]
    assert order_steps({"pipeline_spec": spec, "platform_spec": {}}) == ["C", "B", "A"]
    assert order_steps({}) == []


def test_independent_steps_come_in_the_order_of_the_dag():
    names = tuple(STEPS)
    tasks = {name: {} for name in sorted(names)} | {"Transform": {"dependentTasks": ["DataGate"]}}
    assert order_steps({"root": {"dag": {"tasks": tasks}}}) == list(names)


def test_pods_are_known_by_their_step():
    pods = read_pods(read_answer("held")[1])
    own = [(pod.step, pod.runs_step, pod.phase) for pod in pods if pod.step]
    assert own == [
        ("ExampleGen", False, "Succeeded"),
        ("ExampleGen", True, "Succeeded"),
        ("Pusher", False, "Succeeded"),
        ("Pusher", True, "Succeeded"),
        ("ReleaseGate", False, "Succeeded"),
        ("ReleaseGate", True, "Failed"),
    ]
    assert pods[-1].ended_by_itself and pods[-1].message == "Error (exit code 1)"
    # Newer versions of Argo put the template into the name.
    workflow, number = pods[-1].id.rsplit("-", 1)
    assert pods[-1].name == f"{workflow}-system-container-impl-{number}"


def test_an_image_that_cannot_be_pulled_is_reported_with_its_step():
    [trouble] = find_troubles(read_pods(read_answer("waiting_for_an_image")[1]))
    problem = trouble.problem
    assert problem.found.startswith("Trainer's pod does not start: ") and trouble.hopeless
    assert "localhost/not-there:7" in problem.found
    assert "image" in problem.why and "kubeflow.image" in problem.do


# Messages of Kubernetes 1.34 with their remedies.
MESSAGES = [
    (
        'Unschedulable: 0/1 nodes: persistentvolumeclaim "edgeline" not found. not found',
        "kubectl apply",
        True,
    ),
    ('CreateContainerConfigError: secret "no-such-secret" not found', "kubeflow.secrets", True),
    ("Unschedulable: 0/1 nodes: 1 Insufficient nvidia.com/gpu. no new claims,", "device plugin", False),
    ("Unschedulable: 0/3 nodes are available: 3 node(s) had untolerated taint {gpu: }.", "tolerations", True),
    ("Unschedulable: something that nobody has seen yet", "kubectl describe pod", False),
]


def make_pod(message, phase="Pending", step="Trainer"):
    return Pod("shelf-1-2", "shelf-1-x-2", step, True, phase, message)


@pytest.mark.parametrize(("message", "advice", "hopeless"), MESSAGES)
def test_a_cause_that_keeps_a_pod_from_starting_is_reported_with_its_remedy(message, advice, hopeless):
    [trouble] = find_troubles([make_pod(message)])
    assert advice in trouble.problem.do and trouble.hopeless == hopeless


def test_a_pod_that_is_just_starting_is_no_trouble():
    assert not list(find_troubles([make_pod("ContainerCreating"), make_pod("PodInitializing"), make_pod("")]))
    assert not list(find_troubles([make_pod("ImagePullBackOff: again", phase="Running")]))


@pytest.mark.parametrize(
    ("message", "step", "found", "do"),
    [
        ("OOMKilled (exit code 137)", "Trainer", "Trainer ran out of memory", "steps.Trainer.memory_gb"),
        ("OOMKilled", "Trainer-worker-1", "Trainer-worker-1 ran out of memory", "steps.Trainer.memory_gb"),
        ("Step exceeded its deadline", "Trainer", "Trainer was stopped", "not stopped on purpose"),
    ],
)
def test_a_pod_that_was_ended_from_outside_says_how_and_what_to_do(message, step, found, do):
    pod = make_pod(message, "Failed", step)
    ending = explain_ending(pod)
    assert not pod.ended_by_itself and ending.found.startswith(found) and do in ending.do
