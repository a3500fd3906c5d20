"""A run as a person starts it, with all Beam steps on a cluster."""

import json

import pytest

from tests.e2e.conftest import run_dag
from tests.scale.steps import WORKLOADS, generated

pytestmark = pytest.mark.scale


def test_a_run_on_a_cluster_ends_pushed(on_cluster, tmp_path):
    data, settings = generated(tmp_path, "shelf"), (*WORKLOADS["shelf"][1], *on_cluster)
    ended = run_dag(tmp_path / "workspace", "--data", str(data), settings=settings)
    assert ended.code == 0, ended.stdout + ended.stderr
    assert set(ended.states.values()) == {"done"}
    assert json.loads(ended.stdout)["outcome"] == "pushed"
    (log,) = (tmp_path / "workspace").glob("runs/*/run.log")
    assert log.read_text(errors="replace").count("tasks at once") >= 4
