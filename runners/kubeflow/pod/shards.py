"""Shards of examples that are in a store, and not where the launcher copies what a step reads."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from errors import EdgelineError
from records.shards import bring_back, move_to_store, remove_from_store
from records.steps import STEPS
from runners.kubeflow.pod.handover import Json, artifacts

_log = logging.getLogger("edgeline.kubeflow")


@contextmanager
def around(step: str, executor_input: Json, place: str | None) -> Iterator[None]:
    """Brings a step of Beam the shards that it reads, and moves those that ExampleGen makes to `place`.

    The URIs of `executor_input` are local. Who trains reads shards where they are.

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
    """Removes the shards of a run that has ended; raises nothing."""
    try:
        remove_from_store(place)
    except EdgelineError as error:
        _log.warning("The shards of the run are left in %s: %s", place, error.found)
