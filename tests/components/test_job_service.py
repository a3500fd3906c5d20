"""Ingest gives the same on a job service and a worker pool of Beam as in memory."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.photos.labels_file import write_span
from pipeline.settings import load_settings
from tests.components.steps import IN_MEMORY, ingest
from tests.components.test_example_gen import row, walk

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
JOB_SERVICE = """
from apache_beam.runners.portability.local_job_service import LocalJobServicer
print("port", LocalJobServicer(None).start_grpc_server(0), flush=True)
"""
# Its workers are threads, as a process would take seconds to load TensorFlow.
POOL = """
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
address, server = BeamFnExternalWorkerPoolServicer.start()
print("port", address.split(":")[1], flush=True)
"""


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """Starts a job service and a pool; yields the flags that settings make of their addresses."""
    try:
        socket.getaddrinfo(socket.getfqdn(), None)
    except OSError:
        pytest.skip("needs a machine that knows its own name: Beam's workers find the job service by it")
    folder = tmp_path_factory.mktemp("beam")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes, ports = [], {}
    try:
        for name, code in {"endpoint": JOB_SERVICE, "pool": POOL}.items():
            with (folder / name).open("wb") as log:
                code += "import sys; sys.stdin.read()"
                command = [sys.executable, "-c", code]
                processes.append(
                    subprocess.Popen(
                        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log
                    )
                )
        for name, process in zip(("endpoint", "pool"), processes, strict=True):
            while not (match := re.search(r"^port (\d+)$", (folder / name).read_text(), re.MULTILINE)):
                assert process.poll() is None, (folder / name).read_text()
                time.sleep(0.1)
            ports[name] = match[1]
        places = [f"beam.{name}=localhost:{port}" for name, port in ports.items()]
        yield load_settings({}, None, ["beam.engine=portable", *places]).beam.as_flags()
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_ingest_writes_the_same_examples_in_the_same_order(flags, tmp_path):
    first = [*walk(range(15), "walk-1"), *walk(range(15, 30), "walk-2"), (row("missing.jpg"), None)]
    for week in (first, walk(range(30, 45), "walk-3")):
        write_span(tmp_path / "data", week)
    in_memory, on_service = (
        ingest(tmp_path / "data", tmp_path / name, beam_flags)
        for name, beam_flags in {"memory": IN_MEMORY, "service": flags}.items()
    )
    for split in ("train", "eval"):
        assert on_service.read_files(split) == in_memory.read_files(split) and on_service.read_records(split)
    assert on_service.read_quarantine() == in_memory.read_quarantine() and on_service.read_quarantine()
    assert on_service.summary == in_memory.summary
