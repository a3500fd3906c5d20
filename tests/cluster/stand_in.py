"""A pipeline of four steps in place of the whole DAG: minutes less for each pod that is lost.

Real are KFP's driver and launcher, Argo and its pods, the image, and our entry point with TFX behind it, in
which the Trainer runs. What it trains is a stand-in, and the steps behind it only say the words of ours.
"""

from pathlib import Path
from typing import Any

from edgeline.records.outcome import Outcome

_TRAINING = Path(__file__).with_name("stand_in_training.py")
_MODEL = {"artifactType": {"instanceSchema": "title: tfx.Model\ntype: object\n"}}
_PAGE = {"artifactType": {"schemaTitle": "system.HTML", "schemaVersion": "0.0.1"}}
_TRAINER = {
    "command": [
        *("sh", "-c", 'printf %s "$TRAINING" > stand_in_training.py && exec "$@"', "sh"),
        *("python", "-m", "runners.kubeflow.pod.entry", "--records", "/tmp/shelf"),
        *(
            "--module",
            "trainer_module.workloads.photos",
            "--source",
            "data.photos.source",
            "--step",
            "Trainer",
        ),
    ],
    "args": [
        *("--executor_class_path", "stand_in_training.Training"),
        *("--json_serialized_invocation_args", "{{$}}"),
    ],
    "env": [{"name": "TRAINING", "value": _TRAINING.read_text(encoding="utf-8")}],
}
_SAID = (
    Outcome("done", step="Evaluator"),
    Outcome("done", step="Pusher"),
    Outcome("pushed", 1, ("Version 1 of shelf is in production.",), step="ReleaseGate"),
)


def pipeline(image: str, secret: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two documents of a package.

    Args:
        image: Ours.
        secret: A Secret of Kubernetes, whose `seconds` is how long a Trainer trains that starts from now on.
    """
    spec: dict[str, Any] = {
        "pipelineInfo": {"name": "shelf"},
        "schemaVersion": "2.1.0",
        "components": {},
        "deploymentSpec": {"executors": {}},
        "root": {"dag": {"tasks": {}}},
    }
    _add(spec, image, "Trainer", None, _TRAINER)
    before = "Trainer"
    for outcome in _SAID:
        _add(spec, image, outcome.step, before, {"command": ["printf", "%s\n", outcome.to_line()]})
        before = outcome.step
    seconds = {"secretName": secret, "keyToEnv": [{"secretKey": "seconds", "envVar": "TRAINING_S"}]}
    executors = {"Trainer": {"secretAsEnv": [seconds]}}
    return spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _add(spec: dict[str, Any], image: str, step: str, before: str | None, container: dict[str, Any]) -> None:
    """Adds a step, which gets the model of the one before it."""
    component = {
        "executorLabel": step,
        "outputDefinitions": {"artifacts": {"model": _MODEL, "page": _PAGE}},
    }
    task = {
        "taskInfo": {"name": step},
        "componentRef": {"name": step},
        "cachingOptions": {"enableCache": False},
    }
    if before is not None:
        given = {"taskOutputArtifact": {"producerTask": before, "outputArtifactKey": "model"}}
        component["inputDefinitions"] = {"artifacts": {"model": _MODEL}}
        task |= {"inputs": {"artifacts": {"model": given}}, "dependentTasks": [before]}
    spec["components"][step] = component
    spec["deploymentSpec"]["executors"][step] = {"container": {"image": image, **container}}
    spec["root"]["dag"]["tasks"][step] = task
