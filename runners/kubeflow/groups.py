"""The tasks of a compiled pipeline in groups, which the UI of Kubeflow Pipelines draws as one box each.

A group is a pipeline of its own below the root: what its tasks read from outside are its inputs, and what
other groups read from them are its outputs. It begins when the groups that it reads from have ended.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from edgeline.records.steps import find_helped_step, find_step

# The groups, each with its first step in the order of the DAG.
_GROUPS = {"ExampleGen": "Data", "Transform": "Train", "EdgeConverter": "Edge", "Pusher": "Release"}

Spec = dict[str, Any]


def group_tasks(spec: Spec, order: Sequence[str]) -> None:
    """Moves the tasks of a pipeline spec into groups, in place; the steps are in their `order` in the DAG."""
    tasks, components = spec["root"]["dag"]["tasks"], spec["components"]
    owners = {task: _find_group(task, order) for task in tasks}
    groups: Spec = {}
    for group in _GROUPS.values():
        groups[group] = {"taskInfo": {"name": group}, "componentRef": {"name": group}, "inputs": {}}
        components[group] = {"dag": {"tasks": {}, "outputs": {"artifacts": {}}}}

    for name, task in tasks.items():
        group = owners[name]
        inputs = task.get("inputs", {})
        declared = components[task["componentRef"]["name"]]

        for argument, source in inputs.get("artifacts", {}).items():
            output = source["taskOutputArtifact"]
            if (owner := owners[output["producerTask"]]) != group:
                kind = declared["inputDefinitions"]["artifacts"][argument]
                passed = _pass_out(components[owner], output, kind)
                outside = {"taskOutputArtifact": {"producerTask": owner, "outputArtifactKey": passed}}
                _pass_in(groups[group], components[group], "artifacts", {passed: outside}, kind)
                inputs["artifacts"][argument] = {"componentInputArtifact": passed}

        for argument, source in inputs.get("parameters", {}).items():
            if parameter := source.get("componentInputParameter"):
                kind = declared["inputDefinitions"]["parameters"][argument]
                _pass_in(groups[group], components[group], "parameters", {parameter: dict(source)}, kind)

        waits_for = task.pop("dependentTasks", [])
        if within := [other for other in waits_for if owners[other] == group]:
            task["dependentTasks"] = within
        if others := {owners[other] for other in waits_for} - {group}:
            groups[group]["dependentTasks"] = sorted({*groups[group].get("dependentTasks", ()), *others})
        components[group]["dag"]["tasks"][name] = task
    spec["root"]["dag"]["tasks"] = groups


def _find_group(task: str, order: Sequence[str]) -> str:
    before = order[: order.index(find_helped_step(find_step(task))) + 1]
    # A custom step may come before the first one.
    return ["Data", *(_GROUPS[step] for step in before if step in _GROUPS)][-1]


def _pass_out(component: Spec, output: Spec, kind: Spec) -> str:
    """Makes the output of a task an output of its group too; returns its name there."""
    task, key = output["producerTask"], output["outputArtifactKey"]
    selector = {"producerSubtask": task, "outputArtifactKey": key}
    component["dag"]["outputs"]["artifacts"][f"{task}-{key}"] = {"artifactSelectors": [selector]}
    definitions = component.setdefault("outputDefinitions", {"artifacts": {}})
    definitions["artifacts"][f"{task}-{key}"] = deepcopy(kind)
    return f"{task}-{key}"


def _pass_in(group: Spec, component: Spec, kinds: str, source: Spec, kind: Spec) -> None:
    """Gives a group an input, `artifacts` or `parameters`, from its source."""
    group["inputs"].setdefault(kinds, {}).update(source)
    definitions = component.setdefault("inputDefinitions", {}).setdefault(kinds, {})
    definitions.update({name: deepcopy(kind) for name in source})
