"""The faults that strike a run while it goes on: kills at an instant, and a disk that is full in one step."""

import os
import resource
import signal
import socket
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from drill.forks import Fork
from edgeline.records.events import EventReader, StepChanged

_STEPS = {"disk-full-ingest": "ExampleGen", "disk-full-training": "Trainer", "disk-full-push": "Pusher"}
_ALMOST_NOTHING = 4096
_GONE_WITHIN_S = 30.0


def list_children(pid: int) -> list[int]:
    """Returns the processes that a process started and that still run."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def make_harm(name: str, runs: Path, instant: float) -> "Harm | None":
    """Returns what a fault does to a run that goes on; None for a fault of another kind.

    Args:
        name: The name of the fault, a key of `drill.faults.FAULTS`.
        runs: The folder of the runs, whose newest tells which step goes on.
        instant: The second of the run at which a kill strikes.
    """
    if name in _STEPS:
        return _DiskFull(_STEPS[name], runs)
    if name in ("kill-worker", "kill-parent"):
        return _Kill(name == "kill-worker", instant)
    return None


def refuse_everybody(server: socket.socket) -> int:
    """Answers each request to a listening socket with 401, as a server does after a login expired."""

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        do_POST = do_GET

    with HTTPServer(server.getsockname(), Refuse, bind_and_activate=False) as http:
        http.socket = server
        http.serve_forever()
    return 0


class _Kill:
    """Kills a run, or its workers, at an instant."""

    def __init__(self, only_worker: bool, instant: float) -> None:
        self._only_worker, self._instant, self.has_struck = only_worker, instant, False

    def __call__(self, run: Fork, seconds: float) -> None:
        workers = list_children(run.pid)
        if self.has_struck or seconds < self._instant or (self._only_worker and not workers):
            return
        self.has_struck = True
        killed = workers if self._only_worker else [run.pid]
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not self._only_worker:  # The lock is free once the workers have noticed.
            until = time.monotonic() + _GONE_WITHIN_S
            while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < until:
                time.sleep(0.05)


class _DiskFull:
    """Lets no file of the worker grow beyond a block from the start of a step on: its writes fail with EFBIG.

    A disk that is really full fails them with ENOSPC; to fill one takes root.
    """

    def __init__(self, step: str, runs: Path) -> None:
        self._step = step
        self._runs = runs
        self._before = set(runs.glob("*"))
        self._reader: EventReader | None = None
        self.has_struck = False

    def __call__(self, run: Fork, seconds: float) -> None:
        # A run that excluded a span is followed by another one, in the same process.
        for folder in sorted({*self._runs.glob("2*")} - self._before):
            self._before.add(folder)
            self._reader = EventReader(folder / "events.jsonl")
        for event in self._reader or ():
            if isinstance(event, StepChanged) and (event.step.name, event.step.state) == (
                self._step,
                "running",
            ):
                self.has_struck = True
                for pid in list_children(run.pid):
                    with suppress(ProcessLookupError):
                        resource.prlimit(pid, resource.RLIMIT_FSIZE, (_ALMOST_NOTHING, _ALMOST_NOTHING))


# Is called again and again with the run's process and the seconds since its start.
Harm = _Kill | _DiskFull
