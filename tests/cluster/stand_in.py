"""A pipeline of four steps in place of the whole DAG, which saves minutes for each lost pod.

KFP's driver and launcher, Argo and its pods, the image, and our entry point with TFX are real; the Trainer
runs in them. Its training is a stand-in, and the later steps only print the lines of ours.
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
        *("--module", "trainer_module.workloads.photos", "--source", "data.photos.source"),
        *("--step", "Trainer"),
    ],
    "args": [
        *("--executor_class_path", "stand_in_training.Training"),
        *("--json_serialized_invocation_args", "{{$}}"),
    ],
    "env": [{"name": "TRAINING", "value": _TRAINING.read_text(encoding="utf-8")}],
}
_OUTCOMES = (
    Outcome("done", step="Evaluator"),
    Outcome("done", step="Pusher"),
    Outcome("pushed", 1, ("Version 1 of shelf is in production.",), step="ReleaseGate"),
)


def make_pipeline(image: str, secret: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the two documents of a package.

    Args:
        image: The image of the pods.
        secret: A Secret of Kubernetes, whose `seconds` is the training time of Trainers that start now.
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
    for outcome in _OUTCOMES:
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
        source = {"taskOutputArtifact": {"producerTask": before, "outputArtifactKey": "model"}}
        component["inputDefinitions"] = {"artifacts": {"model": _MODEL}}
        task |= {"inputs": {"artifacts": {"model": source}}, "dependentTasks": [before]}
    spec["components"][step] = component
    spec["deploymentSpec"]["executors"][step] = {"container": {"image": image, **container}}
    spec["root"]["dag"]["tasks"][step] = task
