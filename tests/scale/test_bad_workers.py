"""Errors about a cluster that lacks something; each worker here is the only one."""

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
from pipeline.settings import load
from tests.scale.standalone import standalone

pytestmark = pytest.mark.scale


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with standalone(tmp_path_factory.mktemp("bad"), workers=()) as made:
        yield made


def begin(master, spill, *settings):
    given = ("beam.engine=spark", f"beam.master={master}", f"beam.spill={spill}", *settings)
    flags = load({}, None, list(given)).beam.as_flags()
    with beam.Pipeline(options=PipelineOptions(list(flags))) as made:
        _ = made | beam.Create([1])


def refused(cluster, spill, name, *settings, **worker):
    """Returns the refusal where the only worker is like that."""
    cluster.add_worker(name, **worker)
    try:
        with pytest.raises(EdgelineError) as raised:
            begin(cluster.url, spill, *settings)
    finally:
        cluster.kill(name)
    assert not list(spill.iterdir())
    return raised.value


def test_a_worker_without_our_package(cluster, tmp_path):
    bare = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    message = refused(cluster, tmp_path, "bare", python=bare)
    assert message.found.startswith("A Spark worker has no ")
    assert "environment" in message.do


def test_a_worker_with_another_python(cluster, tmp_path):
    here = sys.version_info.minor
    others = (shutil.which(f"python3.{minor}") for minor in (11, 12, 13, 10) if minor != here)
    other = next((found for found in others if found), None)
    if other is None:
        pytest.skip("needs another Python of 3.10 to 3.13")
    message = refused(cluster, tmp_path, "other", python=other)
    assert f"the driver runs 3.{here}" in message.found and "PYSPARK_PYTHON" in message.do


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_spill_folder_that_is_another_one_for_workers(cluster, tmp_path):
    elsewhere = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(tmp_path))
    message = refused(cluster, tmp_path, "elsewhere", within=elsewhere)
    assert message.found == f"A Spark worker does not see the spill folder {tmp_path}."
    assert "beam.spill" in message.do


def test_a_worker_with_less_memory_than_is_asked_for(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(beam_on_spark, "_WORKERS_WITHIN_S", 5)
    message = refused(cluster, tmp_path, "small", "beam.memory_gb=2", memory="1g")
    assert "started no executor" in message.found and "beam.memory_gb" in message.do


def test_a_master_that_takes_no_application(tmp_path):
    held = []

    def answers_once(server):  # as any master does, and then as one of another version might
        for connection in iter(lambda: server.accept()[0], None):
            held.append(connection)
            connection.sendall((9).to_bytes(8, "big") + bytes([8]))

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answers_once, args=(server,), daemon=True).start()
        with pytest.raises(EdgelineError, match="accepts no Spark application"):
            begin(f"spark://127.0.0.1:{server.getsockname()[1]}", tmp_path)
