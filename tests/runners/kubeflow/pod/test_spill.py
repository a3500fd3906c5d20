"""The files of a step that has executors in pods of their own, which mount one claim with it."""

import pytest

from runners.kubeflow.pod.handover import Locations
from runners.kubeflow.pod.spill import share_with_executors

RUN = "minio://bucket/shelf/run-1"
INPUT = {"inputs": {"artifacts": {"examples": {"artifacts": [{"uri": f"{RUN}/ExampleGen/examples"}]}}}}
OUTPUT = {
    "outputs": {"artifacts": {"statistics": {"artifacts": [{"uri": f"{RUN}/StatisticsGen/statistics"}]}}}
}


@pytest.fixture
def pod(tmp_path):
    """Where the launcher has copied an input to."""
    examples = tmp_path / "pod/minio/bucket/shelf/run-1/ExampleGen/examples/Split-train"
    examples.mkdir(parents=True)
    (examples / "data.gz").write_bytes(b"examples")
    return tmp_path / "pod"


def places(pod, step="StatisticsGen", master="k8s://https://kubernetes.default.svc"):
    flags = ["--runner=SparkRunner", f"--spark_master={master}", f"--spark_spill={pod.parent}/claim"]
    return share_with_executors(step, "run-1", flags, {**INPUT, **OUTPUT}, Locations(pod))


def test_executors_see_the_inputs_and_the_launcher_what_was_put_out(pod, tmp_path):
    with places(pod) as shared:
        examples = shared.local(f"{RUN}/ExampleGen/examples")
        assert examples.startswith(f"{tmp_path}/claim/")
        assert (tmp_path / examples / "Split-train/data.gz").read_bytes() == b"examples"
        statistics = tmp_path / shared.local(f"{RUN}/StatisticsGen/statistics")
        statistics.mkdir(parents=True)
        (statistics / "FeatureStats.pb").write_bytes(b"counted")
        assert shared.remote(str(statistics)) == f"{RUN}/StatisticsGen/statistics"
    put_out = pod / "minio/bucket/shelf/run-1/StatisticsGen/statistics/FeatureStats.pb"
    assert put_out.read_bytes() == b"counted"
    assert not list((tmp_path / "claim").iterdir())


def test_a_step_that_fails_puts_out_nothing_and_leaves_nothing(pod, tmp_path):
    with pytest.raises(ValueError), places(pod) as shared:
        (tmp_path / shared.local(f"{RUN}/StatisticsGen/statistics")).mkdir(parents=True)
        raise ValueError
    assert not (pod / "minio/bucket/shelf/run-1/StatisticsGen").exists()
    assert not list((tmp_path / "claim").iterdir())


@pytest.mark.parametrize("other", [{"step": "Trainer"}, {"master": "spark://host:7077"}])
def test_what_has_no_executors_of_its_own_stays_where_the_launcher_has_it(pod, tmp_path, other):
    with places(pod, **other) as stayed:
        assert stayed.local(RUN) == f"{pod}/minio/bucket/shelf/run-1"
    assert not (tmp_path / "claim").exists()
