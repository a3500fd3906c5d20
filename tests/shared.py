"""Values that several test files need, made once for all processes of a session."""

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Value = TypeVar("Value")


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Value]) -> Value:
    """Calls `make` with a folder in one process of pytest-xdist, and returns its result in each."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / "value.pickle"
        if not file.exists():
            shutil.rmtree(folder, ignore_errors=True)  # a process that failed may have left it
            folder.mkdir()
            file.write_bytes(pickle.dumps(make(folder)))
        value: Value = pickle.loads(file.read_bytes())
        return value
