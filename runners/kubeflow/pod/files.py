"""Files that the launcher does not copy: shards in an object store, and those that executors share."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgeline.errors import EdgelineError
from edgeline.records.shards import bring_back, move_to_store, remove_from_store
from edgeline.records.steps import find_info
from runners.kubeflow.pod.handover import Json, Locations, artifacts

_log = logging.getLogger("edgeline.kubeflow")


@contextmanager
def move_shards(step: str, executor_input: Json, place: str | None) -> Iterator[None]:
    """Downloads the shards that a step of Beam reads, and afterwards moves those of ExampleGen to a store.

    Training steps read shards from the store.

    Args:
        step: The step's name in the DAG; most steps neither read nor write shards, and nothing happens.
        executor_input: In the form of TFX, with local URIs.
        place: The URL of the run's folder in an object store; None leaves the shards where they are.

    Raises:
        EdgelineError: The store cannot be used.
    """
    if "spill" in find_info(step).opens:
        for _, artifact in artifacts(executor_input.get("inputs", {})):
            for folder in Path(artifact["uri"]).glob("Split-*"):
                bring_back(folder)
    yield
    if step == "ExampleGen" and place:
        examples = dict(artifacts(executor_input["outputs"]))["examples"]["uri"]
        for folder in Path(examples).glob("Split-*"):
            move_to_store(folder, f"{place}/{folder.name}")


def remove_shards(place: str) -> None:
    """Removes the shards of an ended run; never raises an error."""
    try:
        remove_from_store(place)
    except EdgelineError as error:
        _log.warning("The shards of the run remain in %s: %s", place, error.found)


@contextmanager
def share_with_executors(
    step: str, run: str, flags: Sequence[str], executor_input: Json, launcher: Locations
) -> Iterator[Locations]:
    """Copies a step's inputs to a shared folder, yields the locations there, and copies its outputs back.

    A step without executors on Kubernetes uses the launcher's folders.

    Args:
        step: The step's name in the DAG.
        run: The id of the run; with the step, it names the shared folder.
        flags: Beam's, `--name=value` each; the Spark master and the folder for spilled data are among them.
        executor_input: Its URIs are still those of the backend.
        launcher: The launcher's folders in this pod.
    """
    values = dict(flag.partition("=")[::2] for flag in flags)
    if "spill" not in find_info(step).opens or not values.get("--spark_master", "").startswith("k8s://"):
        yield launcher
        return
    place = Path(values["--spark_spill"], f"{run}-{step}")
    shutil.rmtree(place, ignore_errors=True)  # A killed attempt may have left files.
    shared = Locations(place)
    inputs, outputs = (
        [artifact["uri"] for _, artifact in artifacts(executor_input.get(side, {}))]
        for side in ("inputs", "outputs")
    )
    try:
        for uri in inputs:
            _copy(launcher.local(uri), shared.local(uri))
        yield shared
        for uri in outputs:
            _copy(shared.local(uri), launcher.local(uri))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _copy(source: str, target: str) -> None:
    if Path(source).is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif Path(source).exists():
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
