"""Shards of examples in an object store, outside the folders that the launcher copies for a step."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeline.errors import EdgelineError
from edgeline.records.shards import bring_back, move_to_store, remove_from_store
from edgeline.records.steps import STEPS
from runners.kubeflow.pod.handover import Json, artifacts

_log = logging.getLogger("edgeline.kubeflow")


@contextmanager
def move_shards(step: str, executor_input: Json, place: str | None) -> Iterator[None]:
    """Downloads the shards that a step of Beam reads, and afterwards moves those of ExampleGen to `place`.

    The URIs of `executor_input` are local. Training steps read shards from the store.

    Raises:
        EdgelineError: The store cannot be used.
    """
    if "spill" in STEPS[step].opens:
        for _, artifact in artifacts(executor_input.get("inputs", {})):
            for folder in Path(artifact["uri"]).glob("Split-*"):
                bring_back(folder)
    yield
    if step == "ExampleGen" and place:
        examples = dict(artifacts(executor_input["outputs"]))["examples"]["uri"]
        for folder in Path(examples).glob("Split-*"):
            move_to_store(folder, f"{place}/{folder.name}")


def remove(place: str) -> None:
    """Removes the shards of an ended run; never raises an error."""
    try:
        remove_from_store(place)
    except EdgelineError as error:
        _log.warning("The shards of the run remain in %s: %s", place, error.found)
