"""What TFX leaves out of a pipeline for Kubeflow: what the UI shows, and what the platform has to know.

Works on the pipeline spec as nested dictionaries, with the names that its JSON has. The measures of a pod
are written in the fields that every KFP 2 backend reads.
"""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from pipeline.kubeflow_settings import DEFAULT_GPU_TYPE, KubeflowSettings, mount_path, split_claim
from records.steps import STEPS, StepInfo, helped, helper, task_of
from release.signing import KEY_VARIABLE
from runners.kubeflow.parameters import FIRST, PARAMETERS, defaults, of_step, take_apart
from runners.kubeflow.pod.pages import CONFUSION, METRICS, PAGE

_UI_TYPES = {PAGE: "system.HTML", METRICS: "system.Metrics", CONFUSION: "system.ClassificationMetrics"}
# A cluster can count a step as done whose pod was lost. So what the gate lets begin also needs its output,
# which it leaves only when it ended well.
_GATE, _GATE_OUTPUT, _ADMISSION = "DataGate", "accepted_data", "gate"
_KINDS: Mapping[type, str] = {dict: "STRUCT", list: "LIST"}
# The longest description that a backend promises to keep.
_MOST_CHARACTERS = 1024

Spec = dict[str, Any]


def finish(
    spec: Spec,
    settings: KubeflowSettings,
    recorded: Mapping[str, Any],
    pods: Mapping[str, int],
    meeting: str,
    description: str,
) -> tuple[Spec, Spec]:
    """Completes, in place, the pipeline spec that TFX compiled.

    `recorded` are the settings of a run by default. Some steps have several `pods` each, which find one
    another in the folder `meeting`.

    Returns it, and the document that goes beside it for Kubernetes; the latter empty where nothing is set.
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
            for name, value in defaults(recorded).items()
        }
    }
    for step, count in pods.items():
        _add_helpers(spec, step, count, meeting)
    for name, task in spec["root"]["dag"]["tasks"].items():
        step = helped(name)
        component = spec["components"][task["componentRef"]["name"]]
        label = component["executorLabel"]
        if name == step:
            _add_ui_outputs(component, STEPS[step])
        _need_gate(task, component, spec["components"])
        _drop_implied(task)
        # A step that is served from the cache of last week looks at nothing; see also compiler.py.
        task["cachingOptions"] = {"enableCache": False}
        if settings.retries and STEPS[step].repeatable:
            task["retryPolicy"] = {
                "maxRetryCount": settings.retries,
                "backoffDuration": f"{settings.retry_backoff_s}s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": "3600s",
            }
        command = executors[label]["container"]["command"]
        command += ["--step", name, *_set_parameters(step, task, component)]
        if step == FIRST:
            command += ["--settings", json.dumps(recorded, sort_keys=True)]
        _complete_container(step, executors[label]["container"], settings)
        if config := _kubernetes_config(step, settings):
            platform[label] = config
    _say_what_red_means(spec["root"]["dag"]["tasks"])
    beside = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": platform}}}}
    return spec, beside if platform else {}


def _add_helpers(spec: Spec, step: str, pods: int, meeting: str) -> None:
    """Gives a step tasks beside it, which read what it reads; it alone puts out what comes of all."""
    tasks, executors = spec["root"]["dag"]["tasks"], spec["deploymentSpec"]["executors"]
    task = tasks[step]
    component = spec["components"][task["componentRef"]["name"]]
    container = executors[component["executorLabel"]]["container"]
    together = ["--meeting", meeting, "--pods", str(pods), "--pod"]
    for number in range(1, pods):
        name = helper(step, number)
        beside = deepcopy(container)
        beside["command"] += [*together, str(number)]
        executors[name] = {"container": beside}
        inputs = deepcopy(component["inputDefinitions"])
        spec["components"][name] = {"executorLabel": name, "inputDefinitions": inputs}
        tasks[name] = {**deepcopy(task), "taskInfo": {"name": name}, "componentRef": {"name": name}}
    container["command"] += [*together, "0"]


def _add_ui_outputs(component: Spec, info: StepInfo) -> None:
    for shown in (*([PAGE] if info.page else ()), *info.figures):
        artifacts = component.setdefault("outputDefinitions", {}).setdefault("artifacts", {})
        assert shown not in artifacts, f"{shown} is an output of the step's own"
        artifacts[shown] = {"artifactType": {"schemaTitle": _UI_TYPES[shown], "schemaVersion": "0.0.1"}}


def _set_parameters(step: str, task: Spec, component: Spec) -> list[str]:
    """Has a step get its parameters as a UI shows them; returns options of the entry for the others."""
    given = task.get("inputs", {}).get("parameters", {})
    shown, unshown = take_apart(
        step, {name: each["runtimeValue"]["constant"] for name, each in given.items()}
    )
    if given:
        declared = component["inputDefinitions"]["parameters"]
        kinds = {n: _KINDS.get(type(v), declared[n]["parameterType"]) for n, v in shown.items()}
        kinds |= {name: PARAMETERS[name].kind for name in of_step(step)}
        component["inputDefinitions"]["parameters"] = {
            n: {"parameterType": kind} for n, kind in kinds.items()
        }
        task["inputs"]["parameters"] = {
            **{name: {"runtimeValue": {"constant": value}} for name, value in shown.items()},
            **{name: {"componentInputParameter": name} for name in of_step(step)},
        }
    return ["--unshown", json.dumps(unshown, sort_keys=True)] if unshown else []


def _need_gate(task: Spec, component: Spec, components: Spec) -> None:
    if _GATE not in task.get("dependentTasks", ()):
        return
    given = {"taskOutputArtifact": {"producerTask": _GATE, "outputArtifactKey": _GATE_OUTPUT}}
    sources = task.setdefault("inputs", {}).setdefault("artifacts", {})
    if given in sources.values():  # of an artifact that is read twice, ML Metadata refuses the second event
        return
    sources[_ADMISSION] = given
    artifacts = component.setdefault("inputDefinitions", {}).setdefault("artifacts", {})
    artifacts[_ADMISSION] = deepcopy(components[_GATE]["outputDefinitions"]["artifacts"][_GATE_OUTPUT])


def _drop_implied(task: Spec) -> None:
    """Leaves only the order that no input implies, since the UI draws each as an edge of its own."""
    implied = {source["producerTask"] for source in _sources(task)}
    if left := [name for name in task.pop("dependentTasks", ()) if name not in implied]:
        task["dependentTasks"] = left


def _say_what_red_means(tasks: Spec) -> None:
    """Renames the tasks of the gates: keys too, since before KFP 2.14 the name shown is taken for it."""
    for step in (step for step, info in STEPS.items() if info.stops_as):
        name = task_of(step)
        tasks[name] = {**tasks.pop(step), "taskInfo": {"name": name}}
        for source in (source for task in tasks.values() for source in _sources(task)):
            if source["producerTask"] == step:
                source["producerTask"] = name


def _sources(task: Spec) -> list[Spec]:
    """Which output of which task each input artifact of a task is."""
    given = task.get("inputs", {}).get("artifacts", {}).values()
    return [source["taskOutputArtifact"] for source in given]


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
    if given := {name: value for name, value in resources.items() if value}:
        container["resources"] = given


def _kubernetes_config(step: str, settings: KubeflowSettings) -> Spec:
    placement = settings.placement(step)
    by_secret: dict[str, list[Spec]] = {}
    for name, place in sorted(settings.secrets.items()):
        if name == KEY_VARIABLE and step not in ("Pusher", _GATE):
            continue  # whoever has it can release
        secret, _, key = place.partition("/")
        by_secret.setdefault(secret, []).append({"secretKey": key, "envVar": name})
    config = {
        "pvcMount": [{"constant": each, "mountPath": mount_path(each)} for each in _claims(step, settings)],
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


def _claims(step: str, settings: KubeflowSettings) -> Iterable[str]:
    """The claims of what a step opens, each once: a pod that mounts one twice is refused."""
    locations = [getattr(settings, name) for name in STEPS[step].opens]
    locations += [settings.push] if settings.push_in_every_step else []
    found = [split_claim(location) for location in locations if location]
    return dict.fromkeys(claim[0] for claim in found if claim)
