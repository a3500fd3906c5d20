"""Durable writes: content is synced to disk before anything refers to it, by one writer at a time."""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

from edgeline.errors import EdgelineError, WorkspaceLocked
from edgeline.failures import Meaning, explain
from edgeline.store.locations import open_without_links

_OF_PUSH_FOLDERS = tuple(
    Meaning(signs, "{doing} failed: {error}.", f"{why} Production was not changed.", do)
    for signs, why, do in (
        (
            "ENOSPC|EDQUOT|EFBIG",
            "There is no room left on the disk of {root}.",
            "Free some space there and run this again.",
        ),
        (
            "EROFS|EACCES|EPERM",
            "This user may not write to {root}, or it is mounted read-only.",
            "Give this user write access to it, or set push.destination to another folder.",
        ),
        ("", "The push folder {root} cannot be used.", "Remove the cause and run this again."),
    )
)


def write_file(path: Path, content: bytes) -> None:
    """Writes a new file with `content`; it is on the disk when this returns."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def copy_file(source: Path, target: Path) -> None:
    """Copies a file, never as a link; the copy is on the disk when this returns."""
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Syncs the names in a folder to disk; on Windows, which cannot, it does nothing."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems have no fsync of a folder
            raise
    finally:
        os.close(descriptor)


def sync_folders(top: Path) -> None:
    """Syncs the names in all folders from `top` down to disk, deepest first."""
    for folder, _, _ in os.walk(top, topdown=False):
        sync_folder(Path(folder))


def make_folders(path: Path) -> None:
    """Makes `path` and its missing parents; their names are on the disk when this returns."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)


def move(source: Path, target: Path) -> None:
    """Renames within one file system; the new name is on the disk when this returns."""
    os.rename(source, target)
    sync_folder(target.parent)


def _lock(file: BinaryIO) -> None:
    """Locks a file until it is closed, or raises BlockingIOError, on Windows PermissionError."""
    try:
        fcntl = import_module("fcntl")
    except ImportError:  # on Windows
        msvcrt = import_module("msvcrt")
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def only_writer(lock: Path, wait_s: float) -> Iterator[None]:
    """Holds the lock of a push folder; the system frees it when the process ends, however it ends.

    Raises WorkspaceLocked if another process held it for `wait_s` seconds.
    """
    with open(lock, "ab", opener=open_without_links) as file:
        end = time.monotonic() + wait_s
        while True:
            try:
                _lock(file)
                break
            except (BlockingIOError, PermissionError) as error:
                if time.monotonic() >= end:
                    raise WorkspaceLocked(
                        f"Another process has been writing to {lock.parent} for {wait_s:.0f} s.",
                        "Only one process at a time may push or change production.",
                        "Wait until it ends, or stop it, and run this again.",
                    ) from error
                time.sleep(0.01)
        yield


@contextmanager
def explain_errors(root: Path, doing: str) -> Iterator[None]:
    """Turns an OSError of a writer into an error with three parts; `doing` starts its sentence."""
    try:
        yield
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "")
        raise EdgelineError.from_problem(
            explain(_OF_PUSH_FOLDERS, code, root=root, doing=doing, error=error)
        ) from error
