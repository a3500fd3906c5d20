"""Kubeflow's driver and launcher, as far as a step sees them: they run a compiled pipeline without a cluster.

What is handed over has the form that was read in the sources of both versions and seen on a cluster. Each
step gets a file system of its own, as a pod does: nothing but its inputs is in it, and nothing but its
declared outputs leaves it, and only when it ends well.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from edgeline.records.steps import find_step
from runners.kubeflow.pod import entry as kubeflow_entry

Version = Literal["2.0.5", "2.17"]
OBJECT_STORE = "minio://mlpipeline/v2"


@dataclass(frozen=True)
class Ended:
    """The end of a step."""

    code: int
    log: str

    @property
    def sentence(self) -> str:
        return self.log.splitlines()[-1]


@dataclass
class Backend:
    """One run of one compiled pipeline.

    Attributes:
        pipeline: The YAML.
        folder: Holds the object store, the claims and the file systems of the pods.
        run: The id of the run.
        version: Whose way to hand over is followed.
        parameters: What the run was given for parameters of the pipeline.
    """

    pipeline: Path
    folder: Path
    run: str
    version: Version = "2.0.5"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ended: dict[str, Ended] = field(default_factory=dict)
    outputs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spec, *platform = yaml.safe_load_all(self.pipeline.read_text())
        self.tasks = {find_step(name): task for name, task in self.spec["root"]["dag"]["tasks"].items()}
        executors = platform[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if platform else {}
        self.mounts = {label: config.get("pvcMount", []) for label, config in executors.items()}

    def go_on(self) -> None:
        """Runs each step whose upstream steps ended well, as a retried run does."""
        for step in self.in_order():
            if all(other in self.ended and self.ended[other].code == 0 for other in self.before(step)):
                self.ended[step] = self.run_step(step)

    def before(self, step: str) -> set[str]:
        """The steps that it waits for: by its inputs, or for their end alone."""
        task = self.tasks[step]
        made = [given["taskOutputArtifact"] for given in task.get("inputs", {}).get("artifacts", {}).values()]
        return {*task.get("dependentTasks", ()), *(find_step(source["producerTask"]) for source in made)}

    def in_order(self) -> Iterator[str]:
        """The steps, each after those that it waits for."""
        done: set[str] = set()
        while len(done) < len(self.tasks):
            for step in self.tasks:
                if step not in done and done.issuperset(self.before(step)):
                    done.add(step)
                    yield step

    def run_step(self, step: str) -> Ended:
        """Driver, launcher and container of one step, in this process."""
        pod = self.folder / "pods" / step
        shutil.rmtree(pod, ignore_errors=True)
        executor_input = self.executor_input(step, pod)
        for listed in executor_input["inputs"].get("artifacts", {}).values():
            self._download(listed["artifacts"][0]["uri"], pod)
        for listed in executor_input["outputs"].get("artifacts", {}).values():
            _local(listed["artifacts"][0]["uri"], pod).parent.mkdir(parents=True, exist_ok=True)
        log = io.StringIO()
        with contextlib.redirect_stderr(log):
            code = kubeflow_entry.main(self.arguments(step, executor_input), pod)
        if code == 0:
            self._upload(step, executor_input, pod)
        return Ended(code, log.getvalue())

    def arguments(self, step: str, executor_input: dict[str, Any]) -> list[str]:
        """The container's arguments after `python -m runners.kubeflow.pod.entry`."""
        container = self._container(step)
        assert container["command"][:3] == ["python", "-m", "runners.kubeflow.pod.entry"]
        handed = json.dumps(executor_input)
        return [
            *container["command"][3:],
            *(argument.replace("{{$}}", handed) for argument in container["args"]),
        ]

    def executor_input(self, step: str, pod: Path) -> dict[str, Any]:
        """Returns the input of an executor, as the driver makes it."""
        task = self.tasks[step]
        component = self.spec["components"][task["componentRef"]["name"]]
        given = self.tasks[step].get("inputs", {})
        inputs: dict[str, Any] = {}
        if parameters := given.get("parameters"):
            inputs["parameterValues"] = {name: self._value(step, spec) for name, spec in parameters.items()}
        if wired := given.get("artifacts"):
            inputs["artifacts"] = {
                name: {"artifacts": [self._input(**spec["taskOutputArtifact"])]}
                for name, spec in wired.items()
            }
        name = task["taskInfo"]["name"]
        folder = f"{OBJECT_STORE}/{self.spec['pipelineInfo']['name']}/{self.run}/{name}"
        file = pod / "tmp/kfp_outputs/output_metadata.json"
        definitions = deepcopy(component.get("outputDefinitions", {}).get("artifacts", {}))
        outputs: dict[str, Any] = {}
        if self.version == "2.17":
            folder += "/6f1e0d3c-52c6-4f6f-8d66-0b8f6d4f3a11"
            file = _local(folder, pod) / "output_metadata.json"
            definitions["executor-logs"] = {"artifactType": {"schemaTitle": "system.Artifact"}}
        for name, definition in definitions.items():
            artifact = {"uri": f"{folder}/{name}", "type": definition["artifactType"], "metadata": {}}
            if self.version == "2.17":
                artifact["name"] = name
            outputs[name] = {"artifacts": [artifact]}
        made = {"artifacts": outputs} if outputs else {}
        return {"inputs": inputs, "outputs": {**made, "outputFile": str(file)}}

    def _container(self, step: str) -> dict[str, Any]:
        label = self.spec["components"][step]["executorLabel"]
        return self.spec["deploymentSpec"]["executors"][label]["container"]

    def _value(self, step: str, given: dict[str, Any]) -> Any:
        """A parameter; where the step mounts a claim, its path becomes that of the folder for the claim."""
        if "componentInputParameter" in given:
            name = given["componentInputParameter"]
            default = self.spec["root"]["inputDefinitions"]["parameters"][name]["defaultValue"]
            value = self.parameters.get(name, default)
        else:
            value = given["runtimeValue"]["constant"]
        text = json.dumps(value, sort_keys=True)
        for mount in self.mounts.get(self.spec["components"][step]["executorLabel"], ()):
            text = text.replace(mount["mountPath"], str(self.folder / "claims" / mount["constant"]))
        # All numbers are floats there, and those that are whole are written without a point.
        return json.loads(text, parse_float=_without_point)

    def _input(self, producerTask: str, outputArtifactKey: str) -> dict[str, Any]:
        """An artifact as it comes out of ML Metadata."""
        # 2.0.5 looks for a task by its name, and newer ones by its key.
        assert producerTask == self.tasks[find_step(producerTask)]["taskInfo"]["name"]
        producer = find_step(producerTask)
        made = self.outputs[producer, outputArtifactKey]
        metadata = {
            name: {"list": value} if isinstance(value, list) else value
            for name, value in made["metadata"].items()
        }
        metadata["display_name"] = outputArtifactKey
        if self.version == "2.17":
            metadata["store_session_info"] = "{}"
        number = 1 + list(self.outputs).index((producer, outputArtifactKey))
        return {"name": str(number), "type": {"instanceSchema": ""}, "uri": made["uri"], "metadata": metadata}

    def stored(self, uri: str) -> Path:
        """Returns the path in the object store of a URI."""
        return self.folder / "objects" / uri.removeprefix("minio://")

    def _download(self, uri: str, pod: Path) -> None:
        # An object store knows no empty folder.
        for file in (path for path in self.stored(uri).rglob("*") if path.is_file()):
            target = _local(uri, pod) / file.relative_to(self.stored(uri))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    def _upload(self, step: str, executor_input: dict[str, Any], pod: Path) -> None:
        output = json.loads(Path(executor_input["outputs"]["outputFile"]).read_text())
        for name, listed in executor_input["outputs"].get("artifacts", {}).items():
            if name == "executor-logs":
                continue
            artifact = listed["artifacts"][0]
            if name in output["artifacts"]:
                made = output["artifacts"][name]["artifacts"][0]
                artifact["uri"] = made.get("uri") or artifact["uri"]
                artifact["metadata"] = {**artifact["metadata"], **made.get("metadata", {})}
            local, stored = _local(artifact["uri"], pod), self.stored(artifact["uri"])
            stored.parent.mkdir(parents=True, exist_ok=True)
            if local.is_dir():
                shutil.copytree(local, stored)
            elif local.is_file():
                shutil.copyfile(local, stored)
            self.outputs[step, name] = artifact


def _without_point(number: str) -> float:
    return int(float(number)) if float(number).is_integer() else float(number)


def _local(uri: str, pod: Path) -> Path:
    """The launcher's rule."""
    return pod / "minio" / uri.removeprefix("minio://")
