"""Training in several processes at once, which TensorFlow joins to one: each is started here and watched.

None of them can be this process: TensorFlow takes its place among the others before it does anything else.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

from errors import EdgelineError

_ROOT = Path(__file__).resolve().parents[1]
_CONFIG = "TF_CONFIG"
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h: the signal that a process gets when its parent ends
# What TensorFlow says when a worker of another machine is gone.
_LOST = re.compile(r"Collective ops is aborted by.*?/task:(\d+)", re.DOTALL)


@dataclass(frozen=True)
class _Worker:
    name: str
    process: subprocess.Popen[bytes]
    pipe: Connection


def run(work: Callable[[], None], count: int) -> None:
    """Calls a module's function, or a partial of one, in `count` processes that TensorFlow joins.

    Where TF_CONFIG lists the workers of several machines, in one: this machine's.

    Raises:
        EdgelineError: What one of them raises, and when one dies. The others are ended then.
    """
    given = os.environ.get(_CONFIG)
    places = free_places("127.0.0.1", 0 if given else count)
    configs = [given] if given else [config_of(places, index) for index in range(count)]
    with ExitStack() as stack:
        workers = [stack.enter_context(_started(work, config)) for config in configs]
        _watch(workers)


def config_of(places: Sequence[str], index: int) -> str:
    """TF_CONFIG of the worker of that number, where the places are all workers' `host:port`."""
    return json.dumps({"cluster": {"worker": places}, "task": {"type": "worker", "index": index}})


def free_places(host: str, count: int) -> list[str]:
    """So many times `host:port`, each with a port of this machine that is free."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [f"{host}:{one.getsockname()[1]}" for one in sockets]


@contextmanager
def _started(work: Callable[[], None], config: str) -> Iterator[_Worker]:
    task = json.loads(config)["task"]
    ours, theirs = Pipe()
    command = [sys.executable, "-m", "trainer_module.workers", str(theirs.fileno()), str(os.getpid())]
    environment = {**os.environ, _CONFIG: config}
    with theirs:
        process = subprocess.Popen(command, cwd=_ROOT, env=environment, pass_fds=[theirs.fileno()])
    try:
        ours.send(work)
        yield _Worker(f"{task['type']} {task['index']}", process, ours)
    finally:
        process.kill()
        process.wait()
        ours.close()


def _watch(workers: Sequence[_Worker]) -> None:
    """Hands on what they log, until all have ended; raises what the first to fail had, and no echo of it."""
    going = {worker.pipe: worker for worker in workers}
    while going:
        for ready in wait(list(going)):
            assert isinstance(ready, Connection)
            try:
                said = ready.recv()
            except (EOFError, ConnectionError):
                worker = going.pop(ready)
                if code := worker.process.wait():
                    raise _gone(worker, code) from None
                continue
            if isinstance(said, logging.LogRecord):
                logging.getLogger(said.name).handle(said)
                continue
            for other in going.values():
                # What one says of another that died is no news.
                if other.pipe is not ready and (code := other.process.poll() or 0) < 0:
                    raise _gone(other, code) from None
            raise said


def _gone(worker: _Worker, code: int) -> EdgelineError:
    ended = signal.Signals(-code).name if code < 0 else f"code {code}"
    return EdgelineError(
        f"{worker.name} of the training ended with {ended}.",
        "The others cannot go on without its part of each batch, and were ended.",
        "Run the same command again: it goes on from the last checkpoint. SIGKILL usually means memory.",
    )


def _lost(task: str) -> EdgelineError:
    return EdgelineError(
        f"Worker {task} of the training can no longer be reached.",
        "The others cannot go on without its part of each batch.",
        "Its own log says why. Started again, all of them go on from the last checkpoint.",
    )


class _ToParent(logging.Handler):
    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.INFO)
        self.pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.pipe.send(record)


def main() -> None:
    """Does the work that the process which started this one sends, and ends when that one does."""
    pipe, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
    # No thread would do: TensorFlow holds the interpreter's lock while it waits for the other workers.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It ended before that.
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it decides what Ctrl-C means
    work = pipe.recv()
    progress = logging.getLogger("edgeline.progress")
    progress.setLevel(logging.INFO)
    progress.propagate = False  # the one that started it says it
    if json.loads(os.environ[_CONFIG])["task"]["index"] == 0:
        progress.addHandler(_ToParent(pipe))
    try:
        work()
    except EdgelineError as error:
        pipe.send(error)
    except Exception as error:
        logging.getLogger(__name__).exception("A worker failed")
        lost = _LOST.search(str(error))
        pipe.send(_lost(lost[1]) if lost else RuntimeError(f"{type(error).__name__}: {error}"))
    # At its end TensorFlow would wait for workers that have gone.
    sys.stdout.flush()
    sys.stderr.flush()
    pipe.close()
    os._exit(0)


if __name__ == "__main__":
    main()
