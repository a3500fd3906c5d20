"""The meeting of the pods of one step: each writes its address to a folder that all of them mount.

Kubeflow Pipelines gives a pod no name that others could know beforehand. The first worker's address
identifies the meeting: if its pod is lost, the new one has another address, and the others answer it again.
"""

import socket
import time
from pathlib import Path

from edgeline.errors import EdgelineError
from edgeline.store.locations import write_atomically
from trainer_module.training.workers import format_tf_config, free_places

# A cluster that adds a node for a pod takes up to a quarter of an hour.
_WAIT_S = 1800.0
_POLL_S = 0.5


def meet(folder: Path, index: int, count: int, wait_s: float = _WAIT_S) -> str:
    """Waits for all of `count` workers; returns TensorFlow's TF_CONFIG for the worker `index`.

    Worker 0 decides who takes part.

    Args:
        folder: That of the run's step, the same for all workers; worker 0 removes it afterwards.
        index: The number of this worker, from 0.
        count: The number of all workers.
        wait_s: Seconds until those that are missing are given up.

    Raises:
        EdgelineError: Other workers did not come in time.
    """
    [own] = free_places(socket.gethostbyname(socket.gethostname()), 1)
    end = time.monotonic() + wait_s
    while True:
        first = [own] if index == 0 else _read(folder / "0")
        _write(folder / str(index), own, *(first if index else ()))
        answers = {other: _read(folder / str(other)) for other in range(1, count)}
        missing = [other for other, answer in answers.items() if answer[1:] != first] if first else [0]
        if index == 0:
            _write(folder / "all", *(() if missing else (own, *(answer[0] for answer in answers.values()))))
        members = _read(folder / "all")
        if members[:1] == first and own in members:
            return format_tf_config(members, index)
        if time.monotonic() > end:
            # If all others have answered, it is the first that is missing.
            absent = missing or [0]
            who = f"worker{'s' if len(absent) > 1 else ''} {' and '.join(map(str, absent))}"
            raise EdgelineError(
                f"Worker {index} of {count} waited {wait_s / 60:.0f} min; {who} did not join.",
                "The step begins when all of its pods have joined.",
                "Find out why a pod does not start, or lower trainer.workers;"
                " if the pod started and was lost, submit the run again.",
            )
        time.sleep(_POLL_S)


def _write(path: Path, *lines: str) -> None:
    if list(lines) != _read(path):
        path.parent.mkdir(parents=True, exist_ok=True)  # a first worker that fails removes it
        with write_atomically(path) as file:
            file.write("\n".join(lines).encode())


def _read(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
