"""Kubeflow's driver and launcher, as far as a step sees them: they run a compiled pipeline without a cluster.

They hand over documents of the form that the sources of both versions have, and that was seen on a cluster.
Each step gets a file system of its own, as a pod does: only its inputs are in it, and only its declared
outputs leave it, if the step ends well.
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
    """The exit code and the log of a step."""

    code: int
    log: str

    @property
    def sentence(self) -> str:
        return self.log.splitlines()[-1]


@dataclass
class Backend:
    """One run of one compiled pipeline."""

    pipeline: Path  # the YAML
    folder: Path  # with the object store, the claims and the file systems of the pods
    run: str  # its id
    version: Version = "2.0.5"  # of Kubeflow Pipelines, whose form is followed
    parameters: Mapping[str, Any] = field(default_factory=dict)  # of the pipeline
    results: dict[str, Ended] = field(default_factory=dict)
    outputs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spec, *platform = yaml.safe_load_all(self.pipeline.read_text())
        self.tasks = {find_step(name): task for name, task in self.spec["root"]["dag"]["tasks"].items()}
        executors = platform[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if platform else {}
        self.mounts = {label: config.get("pvcMount", []) for label, config in executors.items()}

    def go_on(self, until: str | None = None) -> None:
        """Runs each step whose upstream steps ended well, as a retried run does; up to one step if named."""
        for step in self.iterate_in_order():
            if until in self.results:
                return
            done = {name for name, result in self.results.items() if result.code == 0}
            if self.find_upstream(step) <= done:
                self.results[step] = self.run_step(step)

    def find_upstream(self, step: str) -> set[str]:
        """Returns the steps that a step waits for, by its inputs or for their end alone."""
        task = self.tasks[step]
        inputs = task.get("inputs", {}).get("artifacts", {}).values()
        producers = {find_step(each["taskOutputArtifact"]["producerTask"]) for each in inputs}
        return {*task.get("dependentTasks", ()), *producers}

    def iterate_in_order(self) -> Iterator[str]:
        """Yields the steps, each after those that it waits for."""
        done: set[str] = set()
        while len(done) < len(self.tasks):
            for step in self.tasks:
                if step not in done and done.issuperset(self.find_upstream(step)):
                    done.add(step)
                    yield step

    def run_step(self, step: str) -> Ended:
        """Runs driver, launcher and container of one step in this process."""
        pod = self.folder / "pods" / step
        shutil.rmtree(pod, ignore_errors=True)
        executor_input = self.make_executor_input(step, pod)
        for output in executor_input["inputs"].get("artifacts", {}).values():
            self._download(output["artifacts"][0]["uri"], pod)
        for output in executor_input["outputs"].get("artifacts", {}).values():
            _get_local_path(output["artifacts"][0]["uri"], pod).parent.mkdir(parents=True, exist_ok=True)
        log = io.StringIO()
        with contextlib.redirect_stderr(log):
            code = kubeflow_entry.main(self.make_arguments(step, executor_input), pod)
        if code == 0:
            self._upload(step, executor_input, pod)
        return Ended(code, log.getvalue())

    def make_arguments(self, step: str, executor_input: dict[str, Any]) -> list[str]:
        """Returns the container's arguments after `python -m runners.kubeflow.pod.entry`."""
        container = self._container(step)
        assert container["command"][:3] == ["python", "-m", "runners.kubeflow.pod.entry"]
        document = json.dumps(executor_input)
        filled = (argument.replace("{{$}}", document) for argument in container["args"])
        return [*container["command"][3:], *filled]

    def make_executor_input(self, step: str, pod: Path) -> dict[str, Any]:
        """Returns the executor input that the driver makes."""
        task = self.tasks[step]
        component = self.spec["components"][task["componentRef"]["name"]]
        task_inputs = self.tasks[step].get("inputs", {})
        inputs: dict[str, Any] = {}
        if parameters := task_inputs.get("parameters"):
            inputs["parameterValues"] = {k: self._get_value(step, spec) for k, spec in parameters.items()}
        if artifacts := task_inputs.get("artifacts"):
            inputs["artifacts"] = {
                name: {"artifacts": [self._make_input(**spec["taskOutputArtifact"])]}
                for name, spec in artifacts.items()
            }
        name = task["taskInfo"]["name"]
        folder = f"{OBJECT_STORE}/{self.spec['pipelineInfo']['name']}/{self.run}/{name}"
        file = pod / "tmp/kfp_outputs/output_metadata.json"
        definitions = deepcopy(component.get("outputDefinitions", {}).get("artifacts", {}))
        outputs: dict[str, Any] = {}
        if self.version == "2.17":
            folder += "/6f1e0d3c-52c6-4f6f-8d66-0b8f6d4f3a11"
            file = _get_local_path(folder, pod) / "output_metadata.json"
            definitions["executor-logs"] = {"artifactType": {"schemaTitle": "system.Artifact"}}
        for name, definition in definitions.items():
            artifact = {"uri": f"{folder}/{name}", "type": definition["artifactType"], "metadata": {}}
            if self.version == "2.17":
                artifact["name"] = name
            outputs[name] = {"artifacts": [artifact]}
        named_outputs = {"artifacts": outputs} if outputs else {}
        return {"inputs": inputs, "outputs": {**named_outputs, "outputFile": str(file)}}

    def _container(self, step: str) -> dict[str, Any]:
        label = self.spec["components"][step]["executorLabel"]
        return self.spec["deploymentSpec"]["executors"][label]["container"]

    def _get_value(self, step: str, spec: dict[str, Any]) -> Any:
        """Returns a parameter; paths on a claim of the step become paths in the folder for the claim."""
        if "componentInputParameter" in spec:
            name = spec["componentInputParameter"]
            default = self.spec["root"]["inputDefinitions"]["parameters"][name]["defaultValue"]
            value = self.parameters.get(name, default)
        else:
            value = spec["runtimeValue"]["constant"]
        text = json.dumps(value, sort_keys=True)
        for mount in self.mounts.get(self.spec["components"][step]["executorLabel"], ()):
            text = text.replace(mount["mountPath"], str(self.folder / "claims" / mount["constant"]))
        # All numbers are floats there, and those that are whole are written without a point.
        return json.loads(text, parse_float=_drop_point)

    def _make_input(self, producerTask: str, outputArtifactKey: str) -> dict[str, Any]:
        """Returns an artifact as it comes out of ML Metadata."""
        # 2.0.5 looks for a task by its name, and newer ones by its key.
        assert producerTask == self.tasks[find_step(producerTask)]["taskInfo"]["name"]
        producer = find_step(producerTask)
        item = self.outputs[producer, outputArtifactKey]
        metadata = {
            name: {"list": value} if isinstance(value, list) else value
            for name, value in item["metadata"].items()
        }
        metadata["display_name"] = outputArtifactKey
        if self.version == "2.17":
            metadata["store_session_info"] = "{}"
        number = 1 + list(self.outputs).index((producer, outputArtifactKey))
        return {"name": str(number), "type": {"instanceSchema": ""}, "uri": item["uri"], "metadata": metadata}

    def locate(self, uri: str) -> Path:
        """Returns the path at which the object store keeps a URI."""
        return self.folder / "objects" / uri.removeprefix("minio://")

    def _download(self, uri: str, pod: Path) -> None:
        # An object store has no empty folders.
        for file in (path for path in self.locate(uri).rglob("*") if path.is_file()):
            target = _get_local_path(uri, pod) / file.relative_to(self.locate(uri))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    def _upload(self, step: str, executor_input: dict[str, Any], pod: Path) -> None:
        output = json.loads(Path(executor_input["outputs"]["outputFile"]).read_text())
        for name, entry in executor_input["outputs"].get("artifacts", {}).items():
            if name == "executor-logs":
                continue
            artifact = entry["artifacts"][0]
            if name in output["artifacts"]:
                result = output["artifacts"][name]["artifacts"][0]
                artifact["uri"] = result.get("uri") or artifact["uri"]
                artifact["metadata"] = {**artifact["metadata"], **result.get("metadata", {})}
            local, stored = _get_local_path(artifact["uri"], pod), self.locate(artifact["uri"])
            stored.parent.mkdir(parents=True, exist_ok=True)
            if local.is_dir():
                shutil.copytree(local, stored)
            elif local.is_file():
                shutil.copyfile(local, stored)
            self.outputs[step, name] = artifact


def _drop_point(number: str) -> float:
    return int(float(number)) if float(number).is_integer() else float(number)


def _get_local_path(uri: str, pod: Path) -> Path:
    """Returns the path of a URI in a pod, by the rule of the launcher."""
    return pod / "minio" / uri.removeprefix("minio://")
