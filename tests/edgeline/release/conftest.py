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
    """In memory where the machine has such a place: on a disk these tests would mostly wait for its syncs."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path / "push"
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder) / "push"


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A push folder with three releases, whose candidates lie beside it, for tests that copy it."""
    folder = tmp_path_factory.mktemp("base")
    for content in ("one", "two", "three"):
        store.push(folder / "push", "shelf", make_candidate(folder / content, content))
    return folder / "push"


@pytest.fixture
def pushed(base: Path, root: Path) -> Path:
    """The root, with the releases of `base`."""
    return Path(shutil.copytree(base, root))


@pytest.fixture
def push(root: Path, tmp_path: Path) -> Callable[..., Release]:
    """Pushes models of these contents, with these settings; returns the last release."""

    def do(*contents: str, **settings: object) -> Release:
        for content in contents:
            made = make_candidate(tmp_path / content, content, 100, **settings)
            release = store.push(root, "shelf", made)
        return release

    return do


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    return make_candidate(tmp_path / "first")
