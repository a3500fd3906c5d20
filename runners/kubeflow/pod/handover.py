"""The conversion of a Kubeflow backend's executor input to the form of TFX, and of TFX's output back.

The open-source driver and launcher differ from those that TFX was written for, and from one another (KFP
2.0.5 to 2.17 are known):

- Input artifacts have no type, an empty one, or `system.Artifact`.
- URIs name an object store; the launcher copies inputs to a local folder, and takes outputs from one.
- There are outputs that no TFX component has: those that the UI shows, and the launcher's own log. There is
  also an input that only delays a step (see `kubeflow/spec.py`).
- Input artifacts have properties of the store itself, and lists are wrapped.

An input that already has the form of TFX is not changed. All functions take the executor input or output as
the nested dictionaries of its JSON.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from edgeline.errors import EdgelineError
from edgeline.records.steps import STEPS, find_step
from edgeline.store.locations import LAUNCHER_FOLDERS

Json = dict[str, Any]

# Properties that the store adds to an artifact. A step must not copy them to its outputs.
_STORE_PROPERTIES = ("display_name", "store_session_info")


class Locations:
    """The mapping between URIs and the launcher's local folders below `root`, which is `/` in a pod."""

    def __init__(self, root: Path) -> None:
        self._folders = {scheme: f"{root / name}/" for scheme, name in LAUNCHER_FOLDERS.items()}

    def local(self, uri: str) -> str:
        """Returns the local folder of a URI; a URI outside object stores is returned unchanged."""
        for scheme, folder in self._folders.items():
            if uri.startswith(scheme):
                return folder + uri.removeprefix(scheme)
        return uri

    def remote(self, path: str) -> str:
        """Returns the URI of a local folder; a path outside the launcher's folders is returned unchanged."""
        for scheme, folder in self._folders.items():
            if path.startswith(folder):
                return scheme + path.removeprefix(folder)
        return path


def artifacts(side: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    """Yields name and artifact of each input or output; our channels never have more than one artifact."""
    for name, listed in side.get("artifacts", {}).items():
        if entries := listed.get("artifacts"):
            yield name, entries[0]


def read_run_id(executor_input: Json, step: str, own: Collection[str] = ()) -> str:
    """Returns the id of the run, which stands before the step's name in the URIs of its outputs.

    For a step without outputs, it is the part before the name of the step that an input comes from. It is
    empty for a custom step that has neither.

    Args:
        executor_input: As the backend passes it, with URIs of its own.
        step: The name of the step, or of one of its helpers.
        own: The names of the workload's custom steps.

    Raises:
        EdgelineError: No URI has it.
    """
    for side, steps in (("outputs", {step}), ("inputs", {*STEPS, *own})):
        for _, artifact in artifacts(executor_input.get(side, {})):
            parts = urlsplit(artifact["uri"]).path.split("/")
            for before, part in reversed([*pairwise(parts[1:])]):
                if find_step(part) in steps:
                    return before
    if step in own:
        return ""
    raise EdgelineError(
        f"Neither the outputs of {step} nor its inputs are in a folder that is named after a step.",
        "The name of the folder above it is the id of the run.",
        "Report the version of Kubeflow Pipelines: its names of outputs are not supported yet.",
    )


def take_foreign_outputs(executor_input: Json) -> dict[str, Json]:
    """Removes the outputs that TFX does not know, all of a `system.` type; returns them by name."""
    outputs = executor_input.get("outputs", {})
    foreign = {name: a for name, a in artifacts(outputs) if _read_title(a.get("type")).startswith("system.")}
    for name in foreign:
        del outputs["artifacts"][name]
    return foreign


def prepare(executor_input: Json, inputs_spec: Mapping[str, Any], locations: Locations) -> None:
    """Changes an executor input, without its foreign outputs, so that TFX's runner can read its artifacts.

    Args:
        executor_input: Changed in place: types, metadata, names and URIs of its artifacts.
        inputs_spec: The component's input definitions; an input that it lacks is removed.
        locations: The local folders that its URIs name afterwards.
    """
    declared = inputs_spec.get("artifacts", {})
    inputs, outputs = executor_input.get("inputs", {}), executor_input.get("outputs", {})
    if listed := inputs.get("artifacts"):
        inputs["artifacts"] = {name: channel for name, channel in listed.items() if name in declared}
    for name, artifact in artifacts(inputs):
        title = _read_title(artifact.get("type"))
        if not title or title.startswith("system."):
            artifact["type"] = declared[name]["artifactType"]
        artifact["metadata"] = {
            key: value["list"] if isinstance(value, dict) and list(value) == ["list"] else value
            for key, value in artifact.get("metadata", {}).items()
            if key not in _STORE_PROPERTIES
        }
    names: set[str] = set()
    for _, artifact in (*artifacts(inputs), *artifacts(outputs)):
        # TFX derives an artifact's id from its name, so each needs a name of its own.
        if artifact.get("name", "") in ("", *names):
            artifact["name"] = artifact["uri"]
        names.add(artifact["name"])
        artifact["uri"] = locations.local(artifact["uri"])


def hand_back(executor_output: Json, locations: Locations, stamps: Mapping[str, Any]) -> None:
    """Restores the launcher's URIs in the output of TFX's runner, and adds stamps to its artifacts.

    Args:
        executor_output: Changed in place.
        locations: The same that `prepare` got.
        stamps: Properties that each artifact gets: when the step started, and how long it took.
    """
    for _, artifact in artifacts(executor_output):
        artifact["uri"] = locations.remote(artifact["uri"])
        artifact.setdefault("metadata", {}).update(stamps)


def _read_title(kind: Mapping[str, Any] | None) -> str:
    """Returns the name of an artifact type; an empty text if there is none."""
    kind = kind or {}
    if title := kind.get("schemaTitle"):
        return str(title)
    schema = yaml.safe_load(kind.get("instanceSchema") or "")
    return str(schema.get("title", "")) if isinstance(schema, dict) else ""
