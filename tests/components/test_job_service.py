"""Steps on a job service and a worker pool of Beam, each a process of its own, and in memory."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv

from data.photos.labels_file import write_span
from pipeline.settings import load
from tests.components.steps import IN_MEMORY, count_statistics, ingest
from tests.components.test_example_gen import good, row

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
SPLITS = ("train", "eval")
JOB_SERVICE = """
from apache_beam.runners.portability.local_job_service import LocalJobServicer
print("port", LocalJobServicer(None).start_grpc_server(0), flush=True)
"""
# Workers are threads of it, which saves the seconds that each process of them takes to load TensorFlow.
POOL = """
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
address, server = BeamFnExternalWorkerPoolServicer.start()
print("port", address.split(":")[1], flush=True)
"""


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """Returns the flags of Beam for a job service and a pool on this machine."""
    try:
        socket.getaddrinfo(socket.getfqdn(), None)
    except OSError:
        pytest.skip("needs a machine that knows its own name: Beam's workers find the job service by it")
    folder = tmp_path_factory.mktemp("beam")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started, ports = [], {}
    try:
        for name, code in {"endpoint": JOB_SERVICE, "pool": POOL}.items():
            with (folder / name).open("wb") as log:
                code += "import sys; sys.stdin.read()"
                command = [sys.executable, "-c", code]
                started.append(
                    subprocess.Popen(
                        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log
                    )
                )
        for name, process in zip(("endpoint", "pool"), started, strict=True):
            while not (found := re.search(r"^port (\d+)$", (folder / name).read_text(), re.MULTILINE)):
                assert process.poll() is None, (folder / name).read_text()
                time.sleep(0.1)
            ports[name] = found[1]
        places = [f"beam.{name}=localhost:{port}" for name, port in ports.items()]
        yield load({}, None, ["beam.engine=portable", *places]).beam.as_flags()
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def both(flags, tmp_path_factory):
    """Returns the outputs of ingest and of its statistics, in memory and on the service."""
    folder = tmp_path_factory.mktemp("steps")
    first = [*good(range(15), "walk-1"), *good(range(15, 30), "walk-2"), (row("missing.jpg"), None)]
    for week in (first, good(range(30, 45), "walk-3")):
        write_span(folder / "data", week)
    made = []
    for name, given in {"memory": IN_MEMORY, "service": flags}.items():
        ingested = ingest(folder / "data", folder / name, given)
        counted = count_statistics(ingested.examples, folder / name, beam_flags=given)
        made.append((ingested, Path(counted.uri)))
    return made


def test_ingest_writes_the_same_examples_in_the_same_order(both):
    here, there = (ingested for ingested, _ in both)
    for split in SPLITS:
        assert there.files(split) == here.files(split) and there.records(split)
    assert there.quarantined() == here.quarantined() and there.quarantined()
    assert there.summary == here.summary


@pytest.mark.parametrize("split", SPLITS)
def test_statistics_are_the_same_of_every_slice_and_feature(both, split):
    def read(folder):
        datasets = tfdv.load_stats_binary(str(folder / f"Split-{split}" / "FeatureStats.pb")).datasets
        return {
            (dataset.name, feature.path.step[0]): feature
            for dataset in datasets
            for feature in dataset.features
        }

    here, there = (read(folder) for _, folder in both)
    assert there == here and len(here) > 20
