"""The steps of a run on Kubeflow Pipelines, read from its tasks.

The API lists the nodes of the Argo workflow below the run: for the step `Trainer` a `Trainer-driver`, then
`Trainer` itself, which holds a pod called `executor` like that of every other step. A step that is served
from the cache has no pod, so it ends in the second in which it starts; its state is SUCCEEDED all the same.
"""

import graphlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

from edgeline.journal import parse_time
from edgeline.records.steps import STEPS, find_helped_step, find_step

State = Literal["waiting", "running", "done", "cached", "failed"]
# States of a run after which nothing happens any more.
ENDED = {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED", "ERROR"}
_DRIVER = "-driver"
_STATES: Mapping[str, State] = {
    "PENDING": "running",
    "RUNNING": "running",
    "CANCELING": "running",
    "SUCCEEDED": "done",
    "SKIPPED": "cached",
    "FAILED": "failed",
    "CANCELED": "failed",
}


@dataclass(frozen=True)
class Step:
    """One step of a run."""

    name: str  # as in `pipeline/dag.py`
    state: State  # `cached` where it was served from the cache
    seconds: float | None = None  # from the start of its last attempt to its end, once it has ended
    pods: tuple[str, ...] = ()  # ids of its pods, the last attempt last


def read_workload(spec: Mapping[str, Any] | None) -> str | None:
    """Returns the name of the workload of a pipeline as it was uploaded; None if there is no pipeline.

    A pipeline that Edgeline did not compile has no workload, and its own name is returned.
    """
    pipeline = _find_pipeline(spec or {})
    for executor in pipeline.get("deploymentSpec", {}).get("executors", {}).values():
        command = executor.get("container", {}).get("command", [])
        if "--records" in command:
            return str(command[command.index("--records") + 1]).rpartition("/")[2]
    name: str | None = pipeline.get("pipelineInfo", {}).get("name")
    return name


def order_steps(spec: Mapping[str, Any]) -> list[str]:
    """Returns the names of the steps in an order in which they can run, preferably that of the DAG.

    `spec` is the pipeline as it was uploaded.
    """
    tasks = _read_tasks(_find_pipeline(spec))
    rank_of = {name: number for number, name in enumerate(STEPS)}
    waiting = graphlib.TopologicalSorter({find_step(name): _find_upstream(tasks[name]) for name in tasks})
    waiting.prepare()
    order: list[str] = []
    ready: set[str] = set()
    while waiting.is_active():
        ready |= {*waiting.get_ready()}
        order.append(min(ready, key=lambda name: (rank_of.get(find_helped_step(name), len(rank_of)), name)))
        ready.remove(order[-1])
        waiting.done(order[-1])
    return order


def _find_pipeline(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the pipeline in what was uploaded: below `pipeline_spec`, where it has a platform part."""
    pipeline: Mapping[str, Any] = spec.get("pipeline_spec") or spec
    return pipeline


def _read_tasks(pipeline: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the tasks of a pipeline by name, in place of a group those in it."""
    components = pipeline.get("components", {})
    tasks = {}
    for name, task in pipeline.get("root", {}).get("dag", {}).get("tasks", {}).items():
        component = components.get(task.get("componentRef", {}).get("name"), {})
        tasks.update(component.get("dag", {}).get("tasks", {name: task}))
    return tasks


def _find_upstream(task: Mapping[str, Any]) -> set[str]:
    """Returns the steps that a task waits for, in its group if it has one."""
    sources = task.get("inputs", {}).get("artifacts", {}).values()
    outputs = (source["taskOutputArtifact"] for source in sources if "taskOutputArtifact" in source)
    producers = (output["producerTask"] for output in outputs)
    return {find_step(name) for name in (*task.get("dependentTasks", ()), *producers)}


def read_steps(run: Any, names: Sequence[str]) -> list[Step]:
    """Returns the steps of a `V2beta1Run`, in the order of `names`; a step without a task is waiting."""
    tasks = {find_step(task.display_name): task for task in _list_tasks(run) if task.display_name}
    return [_read_step(name, tasks.get(name), tasks.get(f"{name}{_DRIVER}")) for name in names]


def is_pending(run: Any) -> bool:
    """Tells whether a pod of the run should have begun, and has not."""
    return any(task.state == "PENDING" for task in _list_tasks(run))


def is_settled(run: Any) -> bool:
    """Tells whether a run and its tasks have ended; the server updates the run first, and its tasks later."""
    return run.state in ENDED and not any(task.state in ("PENDING", "RUNNING") for task in _list_tasks(run))


def take_tasks(run: Any, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Replaces the tasks of a run by the nodes of its Argo workflow, in place."""

    def make_task(node: Mapping[str, Any]) -> SimpleNamespace:
        own = [pod for pod in nodes if pod.get("type") == "Pod" and pod.get("boundaryID") == node["id"]]
        start, end = (parse_time(node[at]) if node.get(at) else None for at in ("startedAt", "finishedAt"))
        phase = str(node.get("phase")).upper()
        return SimpleNamespace(
            task_id=node["id"],
            display_name=node.get("displayName"),
            state="FAILED" if phase == "ERROR" else phase,
            start_time=start,
            end_time=end,
            child_tasks=[SimpleNamespace(pod_name=pod["id"]) for pod in own],
            state_history=None,
        )

    run.run_details = SimpleNamespace(task_details=[make_task(node) for node in nodes])


def compute_signature(run: Any) -> tuple[Any, ...]:
    """Returns a value that changes as soon as something happens in the run."""
    return (run.state, *sorted((task.task_id, str(task.state)) for task in _list_tasks(run)))


def _list_tasks(run: Any) -> Sequence[Any]:
    return (run.run_details.task_details if run.run_details else None) or ()


def _read_step(name: str, task: Any, driver: Any) -> Step:
    if task is None or task.state not in _STATES:
        has_begun = driver is not None and driver.state in _STATES
        state = _STATES[driver.state] if has_begun else "waiting"
        # If the driver is done, the step's own pod is about to start.
        return Step(name, "running" if state == "done" else state)
    state = _STATES[task.state]
    pods = tuple(child.pod_name for child in task.child_tasks or () if child.pod_name)
    # The end time is in year 1 or 1970 if the task has not ended.
    if state == "running" or task.end_time is None or task.end_time.year <= 1970:
        return Step(name, state, None, pods)
    if state == "done" and task.end_time == task.start_time:
        return Step(name, "cached", 0.0, pods)
    # A step that was retried keeps its first start time.
    starts = [entry.update_time for entry in task.state_history or () if entry.state == "RUNNING"]
    started = starts[-1] if len(starts) > 1 else task.start_time
    return Step(name, state, max(0.0, (task.end_time - started).total_seconds()), pods)
