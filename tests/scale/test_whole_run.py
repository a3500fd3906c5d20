"""A run as a person starts it, with all Beam steps on a cluster."""

import json

import pytest

from tests.e2e.conftest import run_dag
from tests.scale.steps import WORKLOADS, generate

pytestmark = pytest.mark.scale


def test_a_run_on_a_cluster_ends_pushed(spark_settings, tmp_path):
    data, settings = generate(tmp_path, "shelf"), (*WORKLOADS["shelf"][1], *spark_settings)
    result = run_dag(tmp_path / "workspace", "--data", str(data), settings=settings)
    assert result.code == 0, result.stdout + result.stderr
    assert set(result.states.values()) == {"done"}
    assert json.loads(result.stdout)["outcome"] == "pushed"
    (log,) = (tmp_path / "workspace").glob("runs/*/run.log")
    assert log.read_text(errors="replace").count("tasks at once") >= 4
