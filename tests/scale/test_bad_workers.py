"""Faults of a cluster: each error says what is missing and what to do. A worker here is the only one."""

import os
import shutil
import socket
import sys
import threading

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from components.beam_on_spark import cluster as beam_on_spark
from edgeline.errors import EdgelineError
from pipeline.settings import load_settings
from tests.scale.standalone import run_standalone

pytestmark = pytest.mark.scale


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with run_standalone(tmp_path_factory.mktemp("bad"), workers=()) as cluster:
        yield cluster


def run_pipeline(master, spill, *settings):
    overrides = ("beam.engine=spark", f"beam.master={master}", f"beam.spill={spill}", *settings)
    flags = load_settings({}, None, list(overrides)).beam.as_flags()
    with beam.Pipeline(options=PipelineOptions(list(flags))) as pipeline:
        _ = pipeline | beam.Create([1])


def get_error(cluster, spill, name, *settings, **worker):
    """Returns the error of a pipeline whose only worker is the given one."""
    cluster.add_worker(name, **worker)
    try:
        with pytest.raises(EdgelineError) as caught:
            run_pipeline(cluster.url, spill, *settings)
    finally:
        cluster.kill(name)
    assert not list(spill.iterdir())
    return caught.value


def test_a_worker_without_our_package(cluster, tmp_path):
    bare = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    error = get_error(cluster, tmp_path, "bare", python=bare)
    assert error.found.startswith("A Spark worker has no ")
    assert "environment" in error.do


def test_a_worker_with_another_python(cluster, tmp_path):
    here = sys.version_info.minor
    others = (shutil.which(f"python3.{minor}") for minor in (11, 12, 13, 10) if minor != here)
    other = next(filter(None, others), None)
    if other is None:
        pytest.skip("needs another Python of 3.10 to 3.13")
    error = get_error(cluster, tmp_path, "other", python=other)
    assert f"the driver runs 3.{here}" in error.found and "PYSPARK_PYTHON" in error.do


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_spill_folder_that_is_another_one_for_workers(cluster, tmp_path):
    elsewhere = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(tmp_path))
    error = get_error(cluster, tmp_path, "elsewhere", prefix=elsewhere)
    assert error.found == f"A Spark worker does not see the spill folder {tmp_path}."
    assert "beam.spill" in error.do


def test_a_worker_with_less_memory_than_is_asked_for(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(beam_on_spark, "_WORKERS_WITHIN_S", 5)
    error = get_error(cluster, tmp_path, "small", "beam.memory_gb=2", memory="1g")
    assert "started no executor" in error.found and "beam.memory_gb" in error.do


def test_a_master_that_takes_no_application(tmp_path):
    connections = []

    def answer_once(server):  # like any master, and then like one of another version
        for connection in iter(lambda: server.accept()[0], None):
            connections.append(connection)
            connection.sendall((9).to_bytes(8, "big") + bytes([8]))

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_once, args=(server,), daemon=True).start()
        with pytest.raises(EdgelineError, match="accepts no Spark application"):
            run_pipeline(f"spark://127.0.0.1:{server.getsockname()[1]}", tmp_path)
