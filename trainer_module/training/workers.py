"""Starts and watches several worker processes, which TensorFlow joins to one training.

This process cannot be one of them: TensorFlow has to join the others before it does anything else.
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
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

from edgeline.errors import EdgelineError, UsageError

_ROOT = Path(__file__).resolve().parents[2]
_CONFIG = "TF_CONFIG"
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h: the signal that a process gets when its parent ends
# Others notice that a worker's connections are closed before this process can see that it ended.
_SEEN_DEAD_S = 2.0
# TensorFlow's message when a worker on another machine is gone.
_LOST = re.compile(r"Collective ops is aborted by.*?/task:(\d+)", re.DOTALL)


@dataclass(frozen=True)
class _Worker:
    name: str
    process: subprocess.Popen[bytes]
    pipe: Connection


def run(work: Callable[[], None], count: int) -> None:
    """Calls a module's function, or a partial of one, in `count` processes that TensorFlow joins.

    If TF_CONFIG lists the workers of several machines, only one process is started: this machine's. Raises
    UsageError if it does not say which of its workers that is, and EdgelineError if a worker raised it, or
    died; the other workers are then killed.
    """
    own_config = _read_config(os.environ.get(_CONFIG) or "{}")
    places = free_places("127.0.0.1", 0 if own_config else count)
    configs = [own_config] if own_config else [format_tf_config(places, index) for index in range(count)]
    with ExitStack() as stack:
        workers = [stack.enter_context(_start_worker(work, config)) for config in configs]
        _watch(workers)


def _read_config(text: str) -> str | None:
    """Returns the text of a TF_CONFIG; None if it lists no workers, as where one machine trains."""
    try:
        config = json.loads(text)
        if not config.get("cluster"):
            return None
        config["cluster"][config["task"]["type"]][config["task"]["index"]]
    except (ValueError, AttributeError, KeyError, IndexError, TypeError):
        raise UsageError(
            f"The environment variable TF_CONFIG is {text[:200]!r}.",
            "It has to list the workers of the cluster, and to name this machine's task among them.",
            'Set it like {"cluster": {"worker": ["HOST:PORT"]}, "task": {"type": "worker", "index": 0}}.',
        ) from None
    return text


def format_tf_config(places: Sequence[str], index: int) -> str:
    """Returns the TF_CONFIG of the worker `index`; `places` are the `host:port` of all workers."""
    return json.dumps({"cluster": {"worker": places}, "task": {"type": "worker", "index": index}})


def free_places(host: str, count: int) -> list[str]:
    """Returns `count` addresses `host:port` with different free ports of this machine."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [f"{host}:{socket_.getsockname()[1]}" for socket_ in sockets]


@contextmanager
def _start_worker(work: Callable[[], None], config: str) -> Iterator[_Worker]:
    task = json.loads(config)["task"]
    own_end, worker_end = Pipe()
    command = [sys.executable, "-m", "trainer_module.training.workers"]
    command += [str(worker_end.fileno()), str(os.getpid())]
    environment = {**os.environ, _CONFIG: config}
    with worker_end:
        process = subprocess.Popen(command, cwd=_ROOT, env=environment, pass_fds=[worker_end.fileno()])
    try:
        own_end.send(work)
        yield _Worker(f"{task['type']} {task['index']}", process, own_end)
    finally:
        process.kill()
        process.wait()
        own_end.close()


def _watch(workers: Sequence[_Worker]) -> None:
    """Forwards the workers' log records until all have ended; raises the error of the first one to fail."""
    running = {worker.pipe: worker for worker in workers}
    while running:
        for ready in wait(list(running)):
            assert isinstance(ready, Connection)
            try:
                message = ready.recv()
            except (EOFError, ConnectionError):
                worker = running.pop(ready)
                if code := worker.process.wait():
                    raise _make_ended_error(worker, code) from None
                continue
            if isinstance(message, logging.LogRecord):
                logging.getLogger(message.name).handle(message)
                continue
            # The cause is a worker that died, not the error that another one raises about it.
            until = time.monotonic() + _SEEN_DEAD_S
            for other in (item for item in running.values() if item.pipe is not ready):
                with suppress(subprocess.TimeoutExpired):
                    if (code := other.process.wait(max(0.0, until - time.monotonic()))) < 0:
                        raise _make_ended_error(other, code) from None
            raise message


def _make_ended_error(worker: _Worker, code: int) -> EdgelineError:
    end = signal.Signals(-code).name if code < 0 else f"code {code}"
    return EdgelineError(
        f"{worker.name} of the training ended with {end}.",
        "The other workers cannot continue without its part of each batch, and were stopped.",
        "Run the same command again: it continues from the last checkpoint. SIGKILL usually means memory.",
    )


def _make_lost_error(task: str) -> EdgelineError:
    return EdgelineError(
        f"Worker {task} of the training can no longer be reached.",
        "The other workers cannot continue without its part of each batch.",
        "Look at its log, and start the training again: it continues from the last checkpoint.",
    )


class _ToParent(logging.Handler):
    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.INFO)
        self.pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.pipe.send(record)


def main() -> None:
    """Runs the function that the parent process sends; ends when the parent ends."""
    pipe = Connection(int(sys.argv[1]))
    parent = int(sys.argv[2])
    # A watching thread would hang: TensorFlow holds the interpreter's lock while it waits for other workers.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    work = pipe.recv()
    progress = logging.getLogger("edgeline.progress")
    progress.setLevel(logging.INFO)
    progress.propagate = False  # the parent logs it

    if json.loads(os.environ[_CONFIG])["task"]["index"] == 0:
        progress.addHandler(_ToParent(pipe))
    try:
        work()
    except EdgelineError as error:
        pipe.send(error)
    except Exception as error:
        logging.getLogger(__name__).exception("A worker failed")
        match = _LOST.search(str(error))
        pipe.send(_make_lost_error(match[1]) if match else RuntimeError(f"{type(error).__name__}: {error}"))
    # A normal exit would have TensorFlow wait for workers that are gone.
    sys.stdout.flush()
    sys.stderr.flush()
    pipe.close()
    os._exit(0)


if __name__ == "__main__":
    main()
