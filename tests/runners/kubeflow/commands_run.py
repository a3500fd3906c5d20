"""`edgeline kubeflow` as a person types it, against the small server, with a pipeline that needs no TFX."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from runners.cli import main as cli
from tests.runners.kubeflow.server import STEPS, Server, Story

ROOT = "minio://mlpipeline/v2"


@dataclass(frozen=True)
class Ended:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """A terminal in which commands are typed, with settings and a pipeline in `folder`.

    `capture` is the fixture that captures the output.
    """

    def __init__(self, server: Server, folder: Path, capture: Any) -> None:
        self.server, self.folder, self.capture = server, folder, capture
        self.package = folder / "pipeline.yaml"
        self.settings = folder / "settings.yaml"
        self.write_package()
        self.write_settings()

    def write_package(self, name: str = "shelf", epochs: int = 16, about: str = "") -> None:
        """Writes a pipeline of five steps, one behind the other, with the document of the platform."""
        command = ["python", "-m", "runners.kubeflow.pod.entry", "--records", f"/push/runs/{name}"]
        parameters = {"epochs": {"defaultValue": epochs}, "window": {"defaultValue": 8}}
        tasks = {
            step: {"taskInfo": {"name": step}, "dependentTasks": [before] if before else []}
            for before, step in zip((None, *STEPS), STEPS, strict=False)
        }
        spec = {
            "pipelineInfo": {
                "name": name.replace("_", "-"),
                "description": f"{name} in the image edgeline:1.{about}",
            },
            "root": {"dag": {"tasks": tasks}, "inputDefinitions": {"parameters": parameters}},
            "deploymentSpec": {"executors": {"Trainer": {"container": {"command": command}}}},
            "schemaVersion": "2.1.0",
        }
        platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}}
        self.package.write_text(yaml.safe_dump_all([spec, platform]))

    def write_settings(self, **kubeflow: Any) -> None:
        """Writes the settings of the cluster's side."""
        kubeflow = {
            "image": "edgeline:1",
            "pipeline_root": ROOT,
            "data": "pvc://edgeline/data",
            "push": "pvc://edgeline/push",
            "experiment": "weekly",
            "service_account": "edgeline",
            "host": self.server.url,
            **kubeflow,
        }
        self.settings.write_text(yaml.safe_dump({"kubeflow": kubeflow}))

    def __call__(self, command: str, *arguments: str) -> Ended:
        packages = ["--package", str(self.package)] if command in ("submit", "schedule") else []
        return self.type("kubeflow", command, *packages, *arguments)

    def follow(self, story: Story, *options: str) -> Ended:
        """Submits a run with this story, and follows it to its end."""
        self.server.next_story = story
        return self("submit", "--wait", *options)

    def type(self, *command: str) -> Ended:
        """Runs a command that takes the settings of the cluster's side."""
        code = cli.main([*command, "--settings", str(self.settings)])
        out, err = self.capture.readouterr()
        return Ended(code, out, err)
