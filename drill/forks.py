"""Processes of a drill, forked from one that has imported TensorFlow and TFX: that takes 20 s of a core."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from importlib import import_module
from types import SimpleNamespace
from typing import IO

from runners.shared.inputs import ROOT

_POLL_S = 0.02
_WORKER = "runners.local.worker"
# The steps of the DAG import these as they run.
_IMPORTED = (
    *("runners.local.dag", "runners.local.step_runner", "tensorflow_transform", "tensorflow_model_analysis"),
    *("tensorflow_data_validation", "keras", "matplotlib.figure", "jinja2", "mlflow"),
)


def import_pipeline(module: str) -> None:
    """Imports all that a worker needs, and the module of a workload."""
    # pydantic looks for the docstrings of settings in all modules: after TensorFlow's, it takes a second.
    for name in ("pipeline.settings", module, _WORKER, *_IMPORTED):
        import_module(name)
    # Forks share the memory of what was imported only as long as no garbage collection writes to it.
    gc.freeze()


class Fork:
    """A forked process that leads a group of its own, with the parts of `subprocess.Popen` that we need.

    It ends with the exit code that `job` returns. Its clock starts at the time `at`, if one is given.
    """

    def __init__(
        self,
        job: Callable[[], int],
        output: IO[bytes],
        environment: Mapping[str, str] | None = None,
        at: datetime | None = None,
    ) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        source, write = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(write)
            _become(job, source, output, environment, at)
        os.close(source)
        self.stdin: IO[bytes] | None = os.fdopen(write, "wb")

    def poll(self) -> int | None:
        """Returns the exit code; None while the process runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the exit code. Raises subprocess.TimeoutExpired."""
        until = time.monotonic() + (float("inf") if timeout is None else timeout)
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired([], timeout or 0.0)
            time.sleep(_POLL_S)
        return code

    def terminate(self) -> None:
        """Sends SIGTERM."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)


def start_worker(arguments: list[str], log: IO[bytes], environment: Mapping[str, str], lock: int) -> Fork:
    """Forks the worker of a run, which has the lock, as all that its parent had open.

    Args:
        arguments: Those of the worker's command.
        log: An open file, which gets standard output and standard error.
        environment: All variables of the worker; it has no others.
        lock: The descriptor of the lock of the workspace; a fork has it anyway.
    """

    def work() -> int:
        os.chdir(ROOT)
        code: int = import_module(_WORKER).main(*arguments)
        return code

    return Fork(work, log, environment)


def _travel(at: datetime) -> None:
    import time_machine

    # gRPC waits until a time of the real clock: for one that has passed it uses up a core, for one to come it
    # waits that long.
    real = SimpleNamespace(**vars(time) | {"time": time_machine.escape_hatch.time.time})
    for module in ("grpc._channel", "grpc._common", "grpc._cython.cygrpc", "grpc._server"):
        vars(import_module(module))["time"] = real
    # The clock of a disk stays: a writer would take that of its machine for wrong.
    vars(import_module("edgeline.release.writing"))["read_store_clock"] = lambda place: None
    time_machine.travel(at, tick=True).start()


def _become(
    job: Callable[[], int],
    stdin: int,
    output: IO[bytes],
    environment: Mapping[str, str] | None,
    at: datetime | None,
) -> None:
    """Turns a forked process into one that does the job, and ends it."""
    code = 1
    try:
        os.setsid()
        for descriptor, number in ((stdin, 0), (output.fileno(), 1), (output.fileno(), 2)):
            os.dup2(descriptor, number)
        os.close(stdin)
        sys.stdout, sys.stderr = (os.fdopen(fd, "w", 1, closefd=False) for fd in (1, 2))
        if environment is not None:
            os.environ.clear()
            os.environ.update(environment)
        tempfile.tempdir = None
        if at is not None:
            _travel(at)
        code = job()
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
