import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeline.release import store
from edgeline.release.store import Candidate, Release
from tests.edgeline.release.candidates import make_candidate

MEMORY = Path("/dev/shm")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Returns a place in memory if there is one: on a disk these tests would mostly wait for its syncs."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path / "push"
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder) / "push"


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pushes three releases, whose candidates lie beside the push folder, for tests that copy it."""
    folder = tmp_path_factory.mktemp("base")
    for content in ("one", "two", "three"):
        store.push(folder / "push", "shelf", make_candidate(folder / content, content))
    return folder / "push"


@pytest.fixture
def copy(base: Path, root: Path) -> Path:
    """Copies the releases of `base` to the root."""
    return Path(shutil.copytree(base, root))


@pytest.fixture
def push(root: Path, tmp_path: Path) -> Callable[..., Release]:
    """Pushes models of these contents, with these settings; returns the last release."""

    def do(*contents: str, **settings: object) -> Release:
        for content in contents:
            candidate = make_candidate(tmp_path / content, content, 100, **settings)
            release = store.push(root, "shelf", candidate)
        return release

    return do


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    return make_candidate(tmp_path / "first")
