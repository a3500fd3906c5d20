"""How the pods of one step find one another: each leaves its address in a folder that all of them see.

Kubeflow Pipelines gives a pod no name that others could know beforehand. The first worker's address is the
meeting: a pod that was lost comes again with another one, and whoever had answered the old one answers anew.
"""

import socket
import time
from pathlib import Path

from errors import EdgelineError
from locations import whole
from trainer_module.workers import config_of, free_places

# A cluster that adds a node for a pod takes up to a quarter of an hour.
_WAIT_S = 1800.0
_LOOK_S = 0.5


def meet(folder: Path, index: int, count: int, wait_s: float = _WAIT_S) -> str:
    """TensorFlow's TF_CONFIG of one of `count` workers, as soon as all of them have come.

    Args:
        folder: This run's own, the same one for all.
        index: Of this worker; 0 decides who takes part.
        count: How many there are.
        wait_s: Seconds until it gives up.

    Raises:
        EdgelineError: The others did not come.
    """
    folder.mkdir(parents=True, exist_ok=True)
    [own] = free_places(socket.gethostbyname(socket.gethostname()), 1)
    end = time.monotonic() + wait_s
    while True:
        first = [own] if index == 0 else _read(folder / "0")
        _leave(folder / str(index), own, *(first if index else ()))
        answers = {other: _read(folder / str(other)) for other in range(1, count)}
        missing = [other for other, answer in answers.items() if answer[1:] != first] if first else [0]
        if index == 0:
            _leave(folder / "all", *(() if missing else (own, *(answer[0] for answer in answers.values()))))
        joined = _read(folder / "all")
        if joined[:1] == first and own in joined:
            return config_of(joined, index)
        if time.monotonic() > end:
            # Where all others have answered, the first is no longer there.
            absent = ", ".join(map(str, missing or [0]))
            raise EdgelineError(
                f"Worker {index} of {count} waited {wait_s / 60:.0f} min; worker {absent} did not come.",
                "What several pods do together begins when all of them are there.",
                "Look why its pod does not start, or lower trainer.workers or kubeflow.parallel_trials; if it"
                " was there and was lost, submit the run again.",
            )
        time.sleep(_LOOK_S)


def _leave(path: Path, *lines: str) -> None:
    if list(lines) != _read(path):
        with whole(path) as file:
            file.write("\n".join(lines).encode())


def _read(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
