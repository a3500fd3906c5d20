"""A small file system of its own for a test, and what fills it to the last block."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mounted(folder: Path, kib: int = 256) -> Iterator[Path]:
    """Mounts a file system of so many KiB, which only root may."""
    folder.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    if not mount or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root and a kernel that permits it")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Writing more raises OSError, for an ordinary user too; Python ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(disk: Path) -> None:
    """Leaves no block free."""
    with pytest.raises(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(b"." * 4096):
            pass


def make_read_only(disk: Path) -> None:
    """Makes a folder that can be read, and not be written, not even by root."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
