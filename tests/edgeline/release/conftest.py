import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeline.release.store import Candidate
from tests.edgeline.release.candidates import make_candidate

MEMORY = Path("/dev/shm")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """In memory where the machine has such a place: on a disk these tests would mostly wait for its syncs."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path / "push"
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder) / "push"


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    return make_candidate(tmp_path / "first")
