"""Files that a step shares with its executors, which are pods of their own."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgeline.records.steps import STEPS
from runners.kubeflow.pod.handover import Json, Locations, artifacts


@contextmanager
def share_with_executors(
    step: str, run: str, flags: Sequence[str], executor_input: Json, launcher: Locations
) -> Iterator[Locations]:
    """Copies a step's inputs to a shared folder, yields the locations there, and copies its outputs back.

    A step without executors on Kubernetes, by the `flags` of Beam, uses the launcher's folders. The URIs of
    `executor_input` are still those of the backend.
    """
    values = dict(flag.partition("=")[::2] for flag in flags)
    if "spill" not in STEPS[step].opens or not values.get("--spark_master", "").startswith("k8s://"):
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
