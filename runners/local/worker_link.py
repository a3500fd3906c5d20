"""The parent's side of the worker process: starts it, follows its events, and makes sure that it ends."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from edgeline.end_signals import handle_end_signals
from edgeline.errors import Problem
from edgeline.records.events import Event, EventReader, Failed, StepChanged
from edgeline.workspace.runs import RunFolder
from runners.local.deaths import describe_death
from runners.shared.code import ROOT, resolve_python_path

POLL_S = 0.1
# A worker has this many seconds after SIGTERM to remove its temporary folders.
GRACE_S = 8.0


class WorkerProcess(Protocol):
    """The parts of `subprocess.Popen` that a worker is followed and ended by."""

    pid: int
    returncode: int | None
    stdin: IO[bytes] | None

    def poll(self) -> int | None:
        """Returns the exit code; None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the exit code. Raises subprocess.TimeoutExpired."""

    def terminate(self) -> None:
        """Sends SIGTERM."""


# Starts a worker with these arguments, output, environment and inherited descriptor. It leads a group of
# its own, so that Ctrl-C reaches only its parent, which then ends the group.
StartWorker = Callable[[list[str], IO[bytes], Mapping[str, str], int], WorkerProcess]


def start_worker(
    arguments: list[str], log: IO[bytes], environment: Mapping[str, str], lock: int
) -> "subprocess.Popen[bytes]":
    """Starts a worker in a new Python, as a `StartWorker` does.

    Args:
        arguments: The folder of the run, and the step if only one is to run.
        log: Gets all output; open for appending.
        environment: All variables of the worker, not only changed ones.
        lock: The descriptor of the workspace's lock, which the worker inherits and so holds, too.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "runners.local.worker", *arguments],
        # Imports of the project win over modules of the same name in the person's current folder.
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        pass_fds=(lock,),
        start_new_session=True,
    )


def run_worker(
    folder: RunFolder,
    lock: int,
    handle: Callable[[Event], None],
    step: str | None = None,
    start: StartWorker = start_worker,
) -> Problem | None:
    """Runs the DAG of a recorded run, or one step, in a process of its own.

    Args:
        folder: Has the record of the run; the worker's output goes to its log.
        lock: The descriptor of the workspace's lock, which the worker inherits.
        handle: Called with each event of the worker, in this thread.
        step: The only step to run; None for the whole DAG.
        start: Starts the worker.

    Returns:
        The problem that ended it; None if every step ended well.

    Raises:
        KeyboardInterrupt: This process was asked to end; the worker has ended by then.
    """
    reader = EventReader(folder.events)
    problem = None
    current = None
    # The worker starts in another folder.
    python_path = os.pathsep.join(filter(None, (str(ROOT), resolve_python_path())))
    # TensorFlow would take all memory of a GPU at once, but other processes here need a part of it.
    defaults = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    environment = defaults | os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": python_path}
    # With this variable the processes of each run would compile TensorFlow's sources again, 12 s each.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    # Signals do not raise: an exception inside `subprocess` can lose the worker, or leave a lock of its own
    # taken, for which the next wait would wait for ever.
    signals: list[int] = []
    with (
        folder.log.open("ab") as log,
        handle_end_signals(lambda number, frame: signals.append(number)),
        _make_temporary_folder(lock) as temporary,
    ):
        arguments = [str(folder.path), *([step] if step else [])]
        worker = start(arguments, log, environment | {"TMPDIR": temporary}, lock)
        try:
            while not signals:
                with suppress(subprocess.TimeoutExpired):
                    worker.wait(POLL_S)
                code = worker.poll()
                for event in reader:
                    handle(event)
                    if isinstance(event, Failed):
                        problem = problem or event.problem
                    elif isinstance(event, StepChanged):
                        current = event.step.name if event.step.state == "running" else None
                if code is not None:
                    is_silent = problem is None and code != 0
                    return describe_death(code, current, folder.log) if is_silent else problem
            raise KeyboardInterrupt
        finally:
            _end(worker, signals)


@contextmanager
def _make_temporary_folder(lock: int) -> Iterator[str]:
    """Makes a folder for the temporary files of the worker and its libraries, and removes it afterwards.

    It is named after the workspace's lock: the lock's holder may remove what a killed run left. It is not in
    the workspace, because the path of a socket in it has at most 107 bytes.
    """
    inode = os.fstat(lock)
    prefix = f"edgeline-{inode.st_dev:x}-{inode.st_ino:x}-"
    for leftover in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield folder


def _end(worker: WorkerProcess, signals: list[int]) -> None:
    """Ends the worker, first with SIGTERM, and then kills what is left of its group."""
    if worker.poll() is None:
        worker.terminate()
        until = time.monotonic() + GRACE_S
        while worker.poll() is None and time.monotonic() < until and len(signals) < 2:  # A second Ctrl-C.
            time.sleep(POLL_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    if worker.stdin is not None:
        worker.stdin.close()
