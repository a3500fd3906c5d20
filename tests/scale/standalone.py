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

# The driver calls a Python of this name; each worker has one in its own folder, so that they may differ.
PYTHON = "python-of-this-machine"


def wait(condition: Callable[[], object], error: str, seconds: float = 600.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, error
        time.sleep(0.02)


class Standalone:
    """A master with its workers."""

    url: str

    def __init__(self, folder: Path) -> None:
        self._folder, self._processes = folder, dict[str, subprocess.Popen[bytes]]()

    def start_master(self) -> None:
        self._start("master", (), "master.Master")
        log = self._folder / "master.log"
        wait(lambda: "Starting Spark master at" in log.read_text(), "the master did not start")
        (self.url,) = set(re.findall(r"spark://127\.0\.0\.1:\d+", log.read_text()))

    def add_worker(
        self,
        name: str,
        *,
        python: Path | str = sys.executable,
        memory: str = "3g",
        prefix: Sequence[str] = (),
    ) -> None:
        """Adds a worker of one core; `prefix` is put before its command."""
        here = self._folder / name
        here.mkdir()
        script = here / PYTHON
        script.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
        script.chmod(0o755)
        arguments = ("--cores", "1", "--memory", memory, "--work-dir", str(here), self.url)
        self._start(name, prefix, "worker.Worker", *arguments, PATH=f"{here}:{os.environ['PATH']}")
        log = self._folder / f"{name}.log"
        wait(lambda: "Successfully registered with master" in log.read_text(), f"{name} did not start")

    def list_executors(self, worker: str) -> list[psutil.Process]:
        """Returns the executors that a worker has now."""
        children = psutil.Process(self._processes[worker].pid).children(recursive=True)
        return [process for process in children if process.name() == "java"]

    def kill(self, worker: str) -> None:
        """Ends a worker and its executors as a power cut would."""
        process = psutil.Process(self._processes[worker].pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self._processes.pop(worker).wait()

    def end(self) -> None:
        """Ends the workers, which end their executors, and the master."""
        for process in reversed(self._processes.values()):
            children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(60)
            for child in psutil.wait_procs(children, 30)[1]:
                child.kill()

    def _start(self, name: str, prefix: Sequence[str], main_class: str, *args: str, **env: str) -> None:
        script = Path(find_spec("pyspark").origin).with_name("bin") / "spark-class"
        command = [*prefix, str(script), f"org.apache.spark.deploy.{main_class}"]
        command += ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0", *args]
        env = {
            **os.environ,
            "SPARK_LOCAL_IP": "127.0.0.1",  # the pages would be open to everybody
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
            **env,
        }
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command, env=env, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder
            )


@contextmanager
def run_standalone(folder: Path, workers: Sequence[str] = ("first", "second")) -> Iterator[Standalone]:
    """Runs a cluster with workers like this machine until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Standalone(folder)
    try:
        cluster.start_master()
        for name in workers:
            cluster.add_worker(name)
        yield cluster
    finally:
        cluster.end()
