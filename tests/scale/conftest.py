import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.beam_on_spark import cluster as beam_on_spark
from pipeline.settings import load_settings
from tests.scale.standalone import PYTHON, Standalone, run_standalone


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/scale" in str(item.path):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(scope="session", autouse=True)
def set_environment() -> Iterator[None]:
    assert shutil.which("java"), "Spark needs a Java of 17 or newer"
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", PYTHON)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")  # for drivers
        # Spark's processes spend most of their time on compiling themselves.
        patch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        patch.setattr(beam_on_spark, "_WORKERS_WITHIN_S", 600)  # on a machine that is busy
        patch.setenv("TMPDIR", folder)  # short, because sockets lie in it
        yield


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    with run_standalone(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def spill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spill")


@pytest.fixture(scope="session")
def spark_settings(cluster: Standalone, spill: Path) -> tuple[str, ...]:
    """The settings of a run on the cluster."""
    return ("beam.engine=spark", f"beam.master={cluster.url}", f"beam.spill={spill}")


@pytest.fixture(scope="session")
def flags(spark_settings: tuple[str, ...]) -> tuple[str, ...]:
    return load_settings({}, None, list(spark_settings)).beam.as_flags()
