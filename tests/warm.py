"""Commands, conversions and code for tests, forked from a process that has imported TensorFlow and TFX.

`.venv/bin/python -m tests.warm ADDRESS PID` is that process. All workers of pytest share it; it ends with
process PID.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import IO

from drill import forks
from runners.shared.inputs import ROOT

_START_S, _CHECK_S = 120.0, 5.0
# Jobs import these: in each fork again, that took a tenth of its CPU.
_IMPORTED = (
    *("drill.__main__", "edgeline.edge.first_run", "runners.cli.main", "runners.cli.data", "runners.cli.run"),
    *("trainer_module.export.conversion_worker", "trainer_module.training.workers", "data.importers.tables"),
    *("data.importers.archives", "edgeline.cli.predict", "pipeline.dag", "trainer_module.run_fn"),
)


class WarmRun:
    """A run, or another job, in a process of its own, with the parts of `subprocess.Popen` that tests need.

    `cpu_s` are the CPU seconds of all those that this process has seen end.

    Args:
        arguments: The arguments of `job`.
        cwd: Its working folder.
        stdout: The file for its output.
        stderr: The file for its messages.
        job: `run` for runners/local_runner.py, `edgeline`, `drill`, `convert` for the conversion process, or
            `python` for Python code, the first argument, as of `python -c`.
        controller: The pytest process whose warm process it is forked from.
    """

    cpu_s = 0.0

    def __init__(
        self,
        arguments: Sequence[str],
        cwd: Path,
        stdout: str | Path = os.devnull,
        stderr: str | Path = os.devnull,
        job: str = "run",
        controller: int | None = None,
    ) -> None:
        self.returncode: int | None = None
        self._connection = _connect(controller)
        self._connection.send((job, list(arguments), str(cwd), str(stdout), str(stderr), dict(os.environ)))
        self.pid: int = self._connection.recv()

    def poll(self) -> int | None:
        """Returns the exit code; None while the run goes on."""
        if self.returncode is None and self._connection.poll():
            self.returncode, cpu_s = self._connection.recv()
            WarmRun.cpu_s += cpu_s
        return self.returncode

    def wait(self, timeout: float = 900.0) -> int:
        """Waits for the exit code."""
        if self.returncode is None and not self._connection.poll(timeout):
            raise subprocess.TimeoutExpired("a run", timeout)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def _connect(controller: int | None) -> Connection:
    if controller is None:
        controller = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    address = f"\0edgeline-tests-{controller}"  # abstract: no file is left
    with suppress(ConnectionRefusedError):
        return Client(address, "AF_UNIX")
    # If several are started at once, one gets the address, and the others end.
    command = [sys.executable, "-m", "tests.warm", address[1:], str(controller)]
    subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + _START_S
    while True:
        with suppress(ConnectionRefusedError):
            return Client(address, "AF_UNIX")
        assert time.monotonic() < deadline, "the process that runs are forked from does not start"
        time.sleep(0.1)


def _serve(address: str, controller: int) -> None:
    def end_with_controller(*_: object) -> None:
        if not Path(f"/proc/{controller}").exists():
            os._exit(0)

    try:
        listener = Listener(f"\0{address}", "AF_UNIX", backlog=16)
    except OSError:  # another one has the address
        return
    with listener:
        from sklearn import ensemble

        # On windows of readings, 100 rounds of gradient boosting take a third of a run.
        boosting = ensemble.HistGradientBoostingClassifier
        vars(ensemble)["HistGradientBoostingClassifier"] = partial(boosting, max_iter=10)
        forks.import_pipeline("trainer_module.workloads.photos")
        for name in _IMPORTED:
            import_module(name)
        signal.signal(signal.SIGALRM, end_with_controller)
        signal.setitimer(signal.ITIMER_REAL, _CHECK_S, _CHECK_S)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            with listener.accept() as connection:
                if os.fork() == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _follow(connection, controller)


def _follow(connection: Connection, controller: int) -> None:
    """Starts a job; sends its process id, and its exit code when it ends."""
    job, arguments, cwd, stdout, stderr, environment = connection.recv()
    with open(stdout, "ab") as output:
        run = forks.Fork(partial(_run, job, arguments, cwd, stderr, controller), output, environment)
    with suppress(OSError):  # a test that ended does not wait
        connection.send(run.pid)
        code, times = run.wait(), os.times()
        connection.send((code, times.children_user + times.children_system))
    os._exit(0)


def _run(job: str, arguments: list[str], cwd: str, stderr: str, controller: int) -> int:
    from drill.__main__ import main as drill
    from edgeline.edge import first_run
    from runners.cli.main import main
    from runners.local import one_step, run
    from trainer_module.export import conversion_worker, convert
    from trainer_module.training import workers

    os.dup2(os.open(stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
    os.chdir(cwd)
    # Processes that a command spawns import its main module, which is not this one.
    sys.modules["__main__"] = ModuleType("__main__")
    if job == "convert":
        conversion_worker.main(arguments)
        return 0
    first_run._PROCESSES = 1  # for each file, not three: these tests do not need the median
    vars(convert)["subprocess"] = fork_conversions(controller)
    one_step.run_worker = partial(one_step.run_worker, start=forks.start_worker)
    if job == "python":
        # A run does not fork these: its earlier steps have TensorFlow's threads, which a fork would lack.
        vars(workers)["subprocess"] = SimpleNamespace(
            Popen=_TrainingWorker, TimeoutExpired=subprocess.TimeoutExpired
        )
        sys.argv = ["-c", *arguments[1:]]
        exec(arguments[0], {"__name__": "__main__"})
        return 0
    if job == "drill":
        return drill(arguments)
    run.run = partial(run.run, start=forks.start_worker)
    if job == "edgeline":
        return main(arguments)
    return main(arguments, prog=".venv/bin/python runners/local_runner.py", only="run")


def fork_conversions(controller: int | None = None) -> SimpleNamespace:
    """Returns a replacement for `subprocess` in `trainer_module.export.convert` that forks processes."""
    return SimpleNamespace(
        run=partial(_convert, controller), DEVNULL=subprocess.DEVNULL, STDOUT=subprocess.STDOUT
    )


def _convert(controller: int | None, command: list[str], stdout: IO[bytes], **_: object) -> SimpleNamespace:
    """Forks the conversion process, as `subprocess.run` would start it."""
    log = stdout.name
    return SimpleNamespace(returncode=WarmRun(command[3:], ROOT, log, log, "convert", controller).wait())


class _TrainingWorker(forks.Fork):
    """A worker of a training, forked as `subprocess.Popen` would start it."""

    def __init__(self, command: list[str], env: dict[str, str], **_: object) -> None:
        super().__init__(partial(self._work, command[2:]), sys.stderr.buffer, env)

    def _work(self, argv: list[str]) -> int:
        from trainer_module.training import workers

        sys.argv = argv
        workers.main()
        return 0

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
