"""The parts of a pipeline spec that TFX leaves out: outputs for the UI, and settings of the platform.

The pipeline spec is handled as nested dictionaries, with the names of its JSON. The resources of a pod are
written to the fields that every KFP 2 backend reads.
"""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from edgeline.records import steps
from edgeline.release.signing import KEY_VARIABLE
from pipeline.kubeflow_settings import DEFAULT_GPU_TYPE, KubeflowSettings, locate_mount, split_claim
from runners.kubeflow.groups import Spec, group_tasks
from runners.kubeflow.parameters import FIRST, PARAMETERS, escape, read_defaults, select_for_step, take_apart
from runners.kubeflow.pod.pages import CONFUSION, METRICS

_FIGURE_TYPES: Mapping[str, str] = {METRICS: "system.Metrics", CONFUSION: "system.ClassificationMetrics"}
# A cluster can count a step whose pod was lost as done. So the steps behind the gate also need its output,
# which it writes only if it ended well.
_GATE, _GATE_OUTPUT, _ADMISSION = "DataGate", "accepted_data", "gate"
_KINDS: Mapping[type, str] = {dict: "STRUCT", list: "LIST"}
# The program of a step's container.
ENTRY = "runners.kubeflow.pod.entry"
# The longest description that a backend promises to keep.
_MOST_CHARACTERS = 1024


def finish(
    spec: Spec,
    settings: KubeflowSettings,
    recorded: Mapping[str, Any],
    workers: int,
    meeting: str,
    description: str,
) -> tuple[Spec, Spec]:
    """Completes, in place, the pipeline spec that TFX compiled.

    Args:
        spec: As TFX compiled it; changed in place.
        settings: Of the cluster: resources, claims, secrets, retries.
        recorded: The default settings of a run, nested.
        workers: The number of pods of the Trainer.
        meeting: The folder in which these pods find one another; not used if there is only one.
        description: Cut to the length that backends keep.

    Returns:
        The spec, and the document beside it for Kubernetes, which is empty if nothing is set.
    """
    executors = spec["deploymentSpec"]["executors"]
    platform = {}
    spec["defaultPipelineRoot"] = settings.pipeline_root
    spec["pipelineInfo"]["description"] = description[:_MOST_CHARACTERS]
    spec["root"]["inputDefinitions"] = {
        "parameters": {
            name: {
                "parameterType": PARAMETERS[name].kind,
                "defaultValue": value,
                "description": f"{PARAMETERS[name].setting}: {PARAMETERS[name].description}",
                "isOptional": True,
            }
            for name, value in read_defaults(recorded).items()
        }
    }
    if workers > 1:
        _add_helpers(spec, "Trainer", workers, meeting)
    for name, task in spec["root"]["dag"]["tasks"].items():
        step = steps.find_helped_step(name)
        component = spec["components"][task["componentRef"]["name"]]
        label = component["executorLabel"]
        if name == step:
            _add_ui_outputs(component, steps.find_info(step))
        _require_gate(task, component, spec["components"])
        _drop_implied(task)
        # A step served from last week's cache would read no new data; see also compiler.py. kfp's client
        # drops `enable_caching` for a pipeline that is uploaded (kubeflow/pipelines#14253).
        task["cachingOptions"] = {"enableCache": False}
        if settings.retries and steps.find_info(step).repeatable:
            task["retryPolicy"] = {
                "maxRetryCount": settings.retries,
                "backoffDuration": f"{settings.retry_backoff_s}s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": "3600s",
            }
        command = executors[label]["container"]["command"]
        if ENTRY in command:  # the container of a custom step may have another
            command += ["--step", name, *_set_parameters(step, task, component)]
        if step == FIRST:
            command += ["--settings", escape(json.dumps(recorded, sort_keys=True))]
        _complete_container(step, executors[label]["container"], settings)
        if config := _make_kubernetes_config(step, settings):
            platform[label] = config
    _rename_gates(spec["root"]["dag"]["tasks"])
    if settings.groups:
        order = steps.select_steps(recorded["tune"]["max_trials"] > 0, recorded["steps"])
        group_tasks(spec, list(order))
        for group in spec["root"]["dag"]["tasks"].values():
            _drop_implied(group)
    document = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": platform}}}}
    return spec, document if platform else {}


def _add_helpers(spec: Spec, step: str, pods: int, meeting: str) -> None:
    """Adds helper tasks to a step, which read the same inputs; the step alone writes the outputs of all."""
    tasks, executors = spec["root"]["dag"]["tasks"], spec["deploymentSpec"]["executors"]
    task = tasks[step]
    component = spec["components"][task["componentRef"]["name"]]
    container = executors[component["executorLabel"]]["container"]
    options = ["--meeting", meeting, "--pods", str(pods), "--pod"]
    for number in range(1, pods):
        name = steps.name_helper(step, number)
        copy = deepcopy(container)
        copy["command"] += [*options, str(number)]
        executors[name] = {"container": copy}
        inputs = deepcopy(component["inputDefinitions"])
        spec["components"][name] = {"executorLabel": name, "inputDefinitions": inputs}
        tasks[name] = {**deepcopy(task), "taskInfo": {"name": name}, "componentRef": {"name": name}}
    container["command"] += [*options, "0"]


def _add_ui_outputs(component: Spec, info: steps.StepInfo) -> None:
    types: dict[str, str] = {name: _FIGURE_TYPES[name] for name in info.figures}
    if info.page:
        types[info.page_output] = "system.HTML"
    for output, title in types.items():
        artifacts = component.setdefault("outputDefinitions", {}).setdefault("artifacts", {})
        assert output not in artifacts, f"{output} is an output of the step's own"
        artifacts[output] = {"artifactType": {"schemaTitle": title, "schemaVersion": "0.0.1"}}


def _set_parameters(step: str, task: Spec, component: Spec) -> list[str]:
    """Sets the parameters of a step in the UI's form; returns the entry's options for those not shown."""
    inputs = task.get("inputs", {}).get("parameters", {})
    constants = {name: value["runtimeValue"]["constant"] for name, value in inputs.items()}
    shown, unshown = take_apart(step, constants)
    if inputs:
        declared = component["inputDefinitions"]["parameters"]
        kinds = {n: _KINDS.get(type(v), declared[n]["parameterType"]) for n, v in shown.items()}
        kinds |= {name: PARAMETERS[name].kind for name in select_for_step(step)}
        component["inputDefinitions"]["parameters"] = {
            n: {"parameterType": kind} for n, kind in kinds.items()
        }
        task["inputs"]["parameters"] = {
            **{name: {"runtimeValue": {"constant": value}} for name, value in shown.items()},
            **{name: {"componentInputParameter": name} for name in select_for_step(step)},
        }
    return ["--unshown", escape(json.dumps(unshown, sort_keys=True))] if unshown else []


def _require_gate(task: Spec, component: Spec, components: Spec) -> None:
    if _GATE not in task.get("dependentTasks", ()):
        return
    source = {"taskOutputArtifact": {"producerTask": _GATE, "outputArtifactKey": _GATE_OUTPUT}}
    sources = task.setdefault("inputs", {}).setdefault("artifacts", {})
    if source in sources.values():  # ML Metadata refuses a second event of an artifact that is read twice
        return
    sources[_ADMISSION] = source
    artifacts = component.setdefault("inputDefinitions", {}).setdefault("artifacts", {})
    artifacts[_ADMISSION] = deepcopy(components[_GATE]["outputDefinitions"]["artifacts"][_GATE_OUTPUT])


def _drop_implied(task: Spec) -> None:
    """Drops dependencies that an input implies, since the UI draws each as an edge of its own."""
    implied = {source["producerTask"] for source in _list_sources(task)}
    if remaining := [name for name in task.pop("dependentTasks", ()) if name not in implied]:
        task["dependentTasks"] = remaining


def _rename_gates(tasks: Spec) -> None:
    """Renames the tasks of the gates, so that the UI says what their failure means.

    Their keys are renamed too: before KFP 2.14 the backend takes the displayed name for the key.
    """
    for step in (step for step, info in steps.STEPS.items() if info.stops_as):
        name = steps.name_task(step)
        tasks[name] = {**tasks.pop(step), "taskInfo": {"name": name}}
        for source in (source for task in tasks.values() for source in _list_sources(task)):
            if source["producerTask"] == step:
                source["producerTask"] = name


def _list_sources(task: Spec) -> list[Spec]:
    """Returns the output and task that each input artifact of a task comes from."""
    inputs = task.get("inputs", {}).get("artifacts", {}).values()
    return [source["taskOutputArtifact"] for source in inputs]


def _complete_container(step: str, container: Spec, settings: KubeflowSettings) -> None:
    if settings.env:
        container["env"] = [{"name": name, "value": value} for name, value in sorted(settings.env.items())]
    placement = settings.placement(step)
    kind, count = placement.gpu_type or DEFAULT_GPU_TYPE, placement.gpu
    resources = {
        "cpuLimit": placement.cpu,
        "memoryLimit": placement.memory_gb,
        "accelerator": {"type": kind, "count": str(count)} if count else None,
    }
    if limits := {name: value for name, value in resources.items() if value}:
        container["resources"] = limits


def _make_kubernetes_config(step: str, settings: KubeflowSettings) -> Spec:
    placement = settings.placement(step)
    by_secret: dict[str, list[Spec]] = {}
    for name, place in sorted(settings.secrets.items()):
        if name == KEY_VARIABLE and step not in ("Pusher", _GATE):
            continue  # a step that has the key could release
        secret, _, key = place.partition("/")
        by_secret.setdefault(secret, []).append({"secretKey": key, "envVar": name})
    config = {
        "pvcMount": [
            {"constant": claim, "mountPath": locate_mount(claim)} for claim in _list_claims(step, settings)
        ],
        "secretAsEnv": [{"secretName": name, "keyToEnv": keys} for name, keys in by_secret.items()],
        "nodeSelector": {"labels": dict(placement.node_selector)} if placement.node_selector else None,
        "tolerations": [
            {key: value for key, value in toleration.model_dump().items() if value}
            for toleration in placement.tolerations
        ],
        "imagePullPolicy": settings.image_pull_policy,
        "imagePullSecret": [{"secretName": name} for name in settings.image_pull_secrets],
    }
    return {name: value for name, value in config.items() if value}


def _list_claims(step: str, settings: KubeflowSettings) -> Iterable[str]:
    """Returns the claims that a step mounts, each once: a pod that mounts one twice is refused."""
    locations = [getattr(settings, name) for name in steps.find_info(step).opens]
    if settings.push_in_every_step:
        locations.append(settings.push)
    claims = [split_claim(location) for location in locations if location]
    return dict.fromkeys(claim[0] for claim in claims if claim)
