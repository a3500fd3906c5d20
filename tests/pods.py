"""Pods of one step, as far as they are processes of this machine."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest import mock

from runners.kubeflow.pod.meeting import meet


def met(folder: Path, count: int = 2) -> list[str]:
    """What each of them is told of the others."""
    # Unlike a pod, a machine may not know its own name.
    with mock.patch("socket.gethostname", return_value="localhost"), ThreadPoolExecutor(count) as pool:
        return list(pool.map(partial(meet, folder, count=count), range(count)))
