"""What a Kubeflow backend hands to a step, put as TFX expects it, and what TFX puts out, put back.

The open-source driver and launcher differ from what TFX was written for, and from one another (KFP 2.0.5 to
2.17 are known):

- Input artifacts come without a type, with an empty one, or as `system.Artifact`.
- URIs name an object store; the launcher has copied the inputs to a local folder and takes outputs from one.
- Outputs come that no TFX component has: what the UI shows, and the launcher's own log. So does an input that
  only holds a step back (see `kubeflow/spec.py`).
- Input artifacts have properties of the store itself, and lists are wrapped.

Where a backend hands over what TFX expects, nothing is changed. All functions take the executor input or
output as the nested dictionaries of its JSON.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from errors import EdgelineError
from locations import LAUNCHER_FOLDERS
from records.steps import STEPS, step_of

Json = dict[str, Any]

# The stores' own notes on an artifact, which no step may pass on as if they were about its outputs.
_NOTES_OF_THE_STORE = ("display_name", "store_session_info")


class Locations:
    """Which local folder the launcher uses for a URI, and back; below `root`, which is `/` in a pod."""

    def __init__(self, root: Path) -> None:
        self._folders = {scheme: f"{root / name}/" for scheme, name in LAUNCHER_FOLDERS.items()}

    def local(self, uri: str) -> str:
        """The folder of a URI; what is no object store's stays as it is."""
        for scheme, folder in self._folders.items():
            if uri.startswith(scheme):
                return folder + uri.removeprefix(scheme)
        return uri

    def remote(self, path: str) -> str:
        """The URI of a folder; what is not below one of the launcher's stays as it is."""
        for scheme, folder in self._folders.items():
            if path.startswith(folder):
                return scheme + path.removeprefix(folder)
        return path


def artifacts(side: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    """Name and artifact of each input or output; a channel of ours never has more than one."""
    for name, listed in side.get("artifacts", {}).items():
        for artifact in listed.get("artifacts", ())[:1]:
            yield name, artifact


def run_id(executor_input: Json, step: str) -> str:
    """The id of the run, which stands before the step's name in the URIs of its outputs.

    Of a step without any, it is the one before the name of the step that an input is from.

    Raises:
        EdgelineError: No URI has it.
    """
    for side, steps in (("outputs", {step}), ("inputs", STEPS)):
        for _, artifact in artifacts(executor_input.get(side, {})):
            parts = urlsplit(artifact["uri"]).path.split("/")
            for before, part in reversed([*pairwise(parts[1:])]):
                if step_of(part) in steps:
                    return before
    raise EdgelineError(
        f"Neither the outputs of {step} nor its inputs are below a folder of a step's name.",
        "The id of the run is taken from there.",
        "Tell us the version of Kubeflow Pipelines: its way to name outputs is not known yet.",
    )


def take_foreign_outputs(executor_input: Json) -> dict[str, Json]:
    """Removes the outputs that TFX does not know, all of a `system.` type; returns them by name."""
    outputs = executor_input.get("outputs", {})
    foreign = {name: a for name, a in artifacts(outputs) if _title(a.get("type")).startswith("system.")}
    for name in foreign:
        del outputs["artifacts"][name]
    return foreign


def prepare(executor_input: Json, inputs_spec: Mapping[str, Any], locations: Locations) -> None:
    """Changes an executor input, its foreign outputs taken, so that TFX's runner can read its artifacts.

    `inputs_spec` has the component's input definitions, which have the type of each input.
    """
    declared = inputs_spec.get("artifacts", {})
    inputs, outputs = executor_input.get("inputs", {}), executor_input.get("outputs", {})
    if given := inputs.get("artifacts"):
        inputs["artifacts"] = {name: listed for name, listed in given.items() if name in declared}
    for name, artifact in artifacts(inputs):
        title = _title(artifact.get("type"))
        if not title or title.startswith("system."):
            artifact["type"] = declared[name]["artifactType"]
        artifact["metadata"] = {
            key: value["list"] if isinstance(value, dict) and list(value) == ["list"] else value
            for key, value in artifact.get("metadata", {}).items()
            if key not in _NOTES_OF_THE_STORE
        }
    names: set[str] = set()
    for _, artifact in (*artifacts(inputs), *artifacts(outputs)):
        # TFX makes an artifact's id of its name.
        if artifact.get("name", "") in ("", *names):
            artifact["name"] = artifact["uri"]
        names.add(artifact["name"])
        artifact["uri"] = locations.local(artifact["uri"])


def hand_back(executor_output: Json, locations: Locations, stamps: Mapping[str, Any]) -> None:
    """Gives what TFX's runner wrote the launcher's URIs, and each output the properties `stamps`."""
    for _, artifact in artifacts(executor_output):
        artifact["uri"] = locations.remote(artifact["uri"])
        artifact.setdefault("metadata", {}).update(stamps)


def _title(kind: Mapping[str, Any] | None) -> str:
    """The name of an artifact type, empty where there is none."""
    kind = kind or {}
    if title := kind.get("schemaTitle"):
        return str(title)
    schema = yaml.safe_load(kind.get("instanceSchema") or "")
    return str(schema.get("title", "")) if isinstance(schema, dict) else ""
