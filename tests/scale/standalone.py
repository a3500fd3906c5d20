"""Spark's standalone cluster as processes of this machine that listen on the loopback only."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

# The driver calls this name, and each worker finds it in a folder of its own: so they may differ.
PYTHON = "python-of-this-machine"


def wait(until: Callable[[], object], what: str, seconds: float = 600.0) -> None:
    ends = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < ends, what
        time.sleep(0.02)


class Standalone:
    """A master, and the workers that were added."""

    url: str

    def __init__(self, folder: Path) -> None:
        self._folder, self._processes = folder, dict[str, subprocess.Popen[bytes]]()

    def start_master(self) -> None:
        self._start("master", (), "master.Master")
        printed = self._folder / "master.log"
        wait(lambda: "Starting Spark master at" in printed.read_text(), "the master did not start")
        (self.url,) = set(re.findall(r"spark://127\.0\.0\.1:\d+", printed.read_text()))

    def add_worker(
        self,
        name: str,
        *,
        python: Path | str = sys.executable,
        memory: str = "3g",
        within: Sequence[str] = (),
    ) -> None:
        """A worker of one core; `within` is what its command is the end of."""
        here = self._folder / name
        here.mkdir()
        script = here / PYTHON
        script.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
        script.chmod(0o755)
        given = ("--cores", "1", "--memory", memory, "--work-dir", str(here), self.url)
        self._start(name, within, "worker.Worker", *given, PATH=f"{here}:{os.environ['PATH']}")
        printed = self._folder / f"{name}.log"
        wait(lambda: "Successfully registered with master" in printed.read_text(), f"{name} did not start")

    def executors(self, worker: str) -> list[psutil.Process]:
        """The executors that a worker has now."""
        of_worker = psutil.Process(self._processes[worker].pid).children(recursive=True)
        return [process for process in of_worker if process.name() == "java"]

    def kill(self, worker: str) -> None:
        """Ends a worker and its executors as a power cut would."""
        process = psutil.Process(self._processes[worker].pid)
        for lost in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                lost.kill()
        self._processes.pop(worker).wait()

    def end(self) -> None:
        """Ends the workers, which end their executors, and the master."""
        for process in reversed(self._processes.values()):
            left = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(60)
            for child in psutil.wait_procs(left, 30)[1]:
                child.kill()

    def _start(self, name: str, within: Sequence[str], of: str, *given: str, **environment: str) -> None:
        script = Path(find_spec("pyspark").origin).with_name("bin") / "spark-class"
        command = [*within, str(script), f"org.apache.spark.deploy.{of}"]
        command += ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0", *given]
        about = {
            "SPARK_LOCAL_IP": "127.0.0.1",  # of the pages, which otherwise everybody can see
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
            **environment,
        }
        with (self._folder / f"{name}.log").open("wb") as printed:
            self._processes[name] = subprocess.Popen(
                command,
                env={**os.environ, **about},
                stdout=printed,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
            )


@contextmanager
def standalone(folder: Path, workers: Sequence[str] = ("first", "second")) -> Iterator[Standalone]:
    """A cluster with workers that are like this machine; it ends with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Standalone(folder)
    try:
        cluster.start_master()
        for name in workers:
            cluster.add_worker(name)
        yield cluster
    finally:
        cluster.end()
