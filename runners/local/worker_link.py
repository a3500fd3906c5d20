"""The parent's end of the worker process: starts it, follows its events, and makes sure that it ends."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runners.shared.events import Event, EventReader
from runners.shared.inputs import ROOT
from runners.shared.runs import RunFolder

POLL_S = 0.1
# What a worker gets after SIGTERM to leave no temporary folder behind.
GRACE_S = 8.0


def run_worker(folder: RunFolder, lock: int, handle: Callable[[Event], None]) -> int:
    """Runs the DAG of a recorded run in a process of its own, and hands each of its events to `handle`.

    The run's log gets all that it prints; it too holds the descriptor of the workspace's lock.

    Returns:
        The exit code, or minus the number of the signal that ended the process.

    Raises:
        KeyboardInterrupt: This process was asked to end; the worker has ended then.
    """
    reader = EventReader(folder.events)
    python_path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    # TensorFlow would take all memory of a GPU at once, from which other processes here need a part.
    defaults = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    environment = defaults | os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": python_path}
    # Else the processes of each run compile TensorFlow's sources again, 12 s each.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with folder.log.open("ab") as log, _end_signals() as asked, _temporary_folder(lock) as temporary:
        worker = subprocess.Popen(
            [sys.executable, "-m", "runners.local.worker", str(folder.path)],
            # Relative imports of the project win over whatever lies in the folder that the person stands in.
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment | {"TMPDIR": temporary},
            pass_fds=(lock,),
            # A group of its own: Ctrl-C reaches this process alone, which then ends all of the group.
            start_new_session=True,
        )
        try:
            while not asked:
                with suppress(subprocess.TimeoutExpired):
                    worker.wait(POLL_S)
                ended = worker.returncode is not None
                for event in reader:
                    handle(event)
                if ended:
                    return worker.returncode
            raise KeyboardInterrupt
        finally:
            _end(worker, asked)


@contextmanager
def _temporary_folder(lock: int) -> Iterator[str]:
    """A folder for what the worker, which ends without tidying up, and its libraries leave behind.

    It is named after the workspace's lock: whoever holds that may remove what a killed run left. It is not in
    the workspace, because the path of a socket in it has at most 107 bytes.
    """
    inode = os.fstat(lock)
    prefix = f"edgeline-{inode.st_dev:x}-{inode.st_ino:x}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield folder


def _end(worker: "subprocess.Popen[bytes]", asked: list[int]) -> None:
    """Ends the worker, politely first, and then whatever is left of its group."""
    if worker.poll() is None:
        worker.terminate()
        until = time.monotonic() + GRACE_S
        while worker.poll() is None and time.monotonic() < until and len(asked) < 2:  # A second Ctrl-C.
            time.sleep(POLL_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    if worker.stdin is not None:
        worker.stdin.close()


@contextmanager
def _end_signals() -> Iterator[list[int]]:
    """The signals that end a run, as they come.

    Ctrl-C, SIGTERM (a service manager), SIGQUIT (our image), SIGHUP (a closed terminal). They are noted and
    not raised: an exception in the midst of `subprocess` can lose the worker or leave a lock of its own
    taken, for which the next wait would wait for ever.
    """
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
    # What `nohup` or a shell's background told this process to ignore stays ignored.
    heeded = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, frame: asked.append(number)) for number in heeded}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
