"""The lock of a workspace, which allows one run at a time; the system releases it when its holder dies."""

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from edgeline.errors import EdgelineError, WorkspaceLocked
from edgeline.journal import utc_now
from edgeline.records.json_file import UNREADABLE, JsonFile
from edgeline.workspace.runs import LOCK

# Half of the time that a systemd service of ours has.
_LONGEST_WAIT_S, _POLL_S = 12 * 3600, 1.0
# A command that asks whether a run goes on holds the lock for an instant.
_TRIES, _INSTANT_S = 3, 0.05


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock, and its run; `run` is None for one about to start, and for `gc`."""

    pid: int
    run: str | None
    host: str
    since: str


HOLDER = JsonFile[Holder](LOCK, Holder)


@dataclass(frozen=True)
class WorkspaceLock:
    """A held lock."""

    descriptor: int  # of the open file: a process that inherits it holds the lock too, until both have ended
    waited_s: float  # for another process
    since: str = field(default_factory=utc_now)

    def note(self, run: str | None = None) -> None:
        """Writes the holder into the lock's file, for the error message of the next process that wants it."""
        holder = Holder(os.getpid(), run, socket.gethostname(), self.since)
        with suppress(OSError):  # A full disk must not keep `gc` from freeing space.
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, HOLDER.to_bytes(holder), 0)


@contextmanager
def hold(workspace: Path, wait: Callable[[str], None] | None = None) -> Iterator[WorkspaceLock]:
    """Holds the workspace's lock; creates the workspace if it is missing.

    If another process holds it, `wait` is called with a description of that one, which then has 12 hours to
    end.

    Raises:
        WorkspaceLocked: Another process holds it, and there is no `wait`, or it did not end.
        EdgelineError: The workspace cannot be written to, or its file system has no locks.
    """
    path = workspace / HOLDER.name
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise EdgelineError(
            f"The workspace {workspace} cannot be written to ({error.strerror}: {error.filename}).",
            "Each run writes its steps, its log and its lock there.",
            "Make it writable, or pass another one with --workspace DIR.",
        ) from None
    try:
        lock = WorkspaceLock(descriptor, _lock(descriptor, workspace, wait))
        lock.note()
        yield lock
    finally:
        os.close(descriptor)


def _lock(descriptor: int, workspace: Path, wait: Callable[[str], None] | None) -> float:
    """Locks an open file; returns the seconds that it waited."""
    began, tries = None, 0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return 0.0 if began is None else time.monotonic() - began
        except BlockingIOError:
            tries += 1
            if tries < _TRIES:
                time.sleep(_INSTANT_S)
                continue

            holder = _describe_holder(workspace)
            if wait is None or (began is not None and time.monotonic() - began > _LONGEST_WAIT_S):
                raise WorkspaceLocked(
                    f"Another run holds the workspace {workspace}: {holder}.",
                    "Two runs would write the same steps.",
                    "Wait for it, or use another workspace with --workspace DIR.",
                ) from None
        except OSError as error:
            raise EdgelineError(
                f"The workspace {workspace} cannot be locked ({error.strerror}).",
                "Only the lock keeps two runs apart, and some network mounts have none.",
                "Mount it with locks, or pass another one with --workspace DIR.",
            ) from None
        if began is None:
            wait(holder)
            began = time.monotonic()
        time.sleep(_POLL_S)


@contextmanager
def hold_artifacts(workspace: Path, to_remove: bool = False) -> Iterator[None]:
    """Keeps the artifacts of past runs for a step that reads them, or from such steps while some are removed.

    The lock is that of the folder itself, so the workspace may be read-only, or have a run meanwhile. Raises
    WorkspaceLocked if some are to be removed, and a step reads them.
    """
    descriptor = os.open(workspace, os.O_RDONLY)
    try:
        with suppress(OSError):  # where folders have no locks, only a person can keep the two apart
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if to_remove else fcntl.LOCK_SH)
            except BlockingIOError:
                raise WorkspaceLocked(
                    f"`edgeline step` reads artifacts of the workspace {workspace}.",
                    "Nothing is removed from it meanwhile.",
                    "Wait for it to end.",
                ) from None
        yield
    finally:
        os.close(descriptor)


def _describe_holder(workspace: Path) -> str:
    try:
        holder = HOLDER.read(workspace)
        run = f"run {holder.run}" if holder.run else "a run that is about to start, or `edgeline gc`"
        return f"{run}, process {holder.pid} on {holder.host}, since {holder.since}"
    except UNREADABLE:
        return "a process that has not recorded its id yet"
