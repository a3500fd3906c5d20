"""Small file systems for tests, and limits on what can be written."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mount_disk(folder: Path, kib: int = 256) -> Iterator[Path]:
    """Mounts a file system of `kib` KiB, which only root may do."""
    folder.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    if not mount or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root and a kernel that permits it")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Makes larger files raise OSError, also for an ordinary user; Python ignores the signal for it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(disk: Path) -> None:
    """Fills a disk to its last block."""
    with pytest.raises(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(b"." * 4096):
            pass


def make_read_only(disk: Path) -> None:
    """Makes a disk read-only, also for root."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
