"""The steps of a run on Kubeflow Pipelines, read from its tasks.

The API lists the nodes of the Argo workflow below the run: for the step `Trainer` a `Trainer-driver`, then
`Trainer` itself, which holds a pod called `executor` like that of every other step. A step that is served
from the cache has no pod, so it ends in the second in which it starts; its state is SUCCEEDED all the same.
"""

import graphlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from records.steps import STEPS, helped, step_of

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


def plan(spec: Mapping[str, Any]) -> list[str]:
    """The names of the steps in an order in which they can run: that of the DAG as far as it is known.

    The pipeline is as it was uploaded; one with a platform part has the pipeline below `pipeline_spec`.
    """
    spec = spec.get("pipeline_spec") or spec
    tasks = spec.get("root", {}).get("dag", {}).get("tasks", {})
    known = {name: number for number, name in enumerate(STEPS)}
    waiting = graphlib.TopologicalSorter({step_of(name): _upstream(tasks[name]) for name in tasks})
    waiting.prepare()
    order: list[str] = []
    ready: set[str] = set()
    while waiting.is_active():
        ready |= {*waiting.get_ready()}
        order.append(min(ready, key=lambda name: (known.get(helped(name), len(known)), name)))
        ready.remove(order[-1])
        waiting.done(order[-1])
    return order


def _upstream(task: Mapping[str, Any]) -> set[str]:
    found = set(task.get("dependentTasks", []))
    inputs = task.get("inputs", {})
    for source in [*inputs.get("artifacts", {}).values(), *inputs.get("parameters", {}).values()]:
        for kind in ("taskOutputArtifact", "taskOutputParameter"):
            found |= {source[kind]["producerTask"]} if kind in source else set()
    return {step_of(name) for name in found}


def read_steps(run: Any, names: Sequence[str]) -> list[Step]:
    """The steps of a `V2beta1Run`, in the order of `names`; those that nothing is known of are waiting.

    Without names it is what the run itself shows.
    """
    tasks = {step_of(task.display_name): task for task in _tasks(run) if task.display_name}
    found = [name.removesuffix(_DRIVER) for name in tasks if name.endswith(_DRIVER)]
    names = names or [name for name in found if name != "root"]
    return [_step(name, tasks.get(name), tasks.get(f"{name}{_DRIVER}")) for name in names]


def is_pending(run: Any) -> bool:
    """Whether a pod of the run has not begun, though it should."""
    return any(task.state == "PENDING" for task in _tasks(run))


def is_settled(run: Any) -> bool:
    """Whether all of a run has ended; the server writes down the run first, and its tasks after."""
    return run.state in ENDED and not any(task.state in ("PENDING", "RUNNING") for task in _tasks(run))


def signature(run: Any) -> tuple[Any, ...]:
    """What differs as soon as something has happened in the run."""
    return (run.state, *sorted((task.task_id, str(task.state)) for task in _tasks(run)))


def _tasks(run: Any) -> Sequence[Any]:
    return (run.run_details.task_details if run.run_details else None) or ()


def _step(name: str, task: Any, driver: Any) -> Step:
    if task is None or task.state not in _STATES:
        begun = driver is not None and driver.state in _STATES
        state = _STATES[driver.state] if begun else "waiting"
        # Its driver is done and its pod not there yet.
        return Step(name, "running" if state == "done" else state)
    state = _STATES[task.state]
    pods = tuple(child.pod_name for child in task.child_tasks or () if child.pod_name)
    # The API says year 1 or 1970 where it has not ended.
    if state == "running" or task.end_time is None or task.end_time.year <= 1970:
        return Step(name, state, None, pods)
    if state == "done" and task.end_time == task.start_time:
        return Step(name, "cached", 0.0, pods)
    # A step that was retried keeps its first start time.
    starts = [entry.update_time for entry in task.state_history or () if entry.state == "RUNNING"]
    started = starts[-1] if len(starts) > 1 else task.start_time
    return Step(name, state, max(0.0, (task.end_time - started).total_seconds()), pods)
