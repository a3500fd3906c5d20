"""Files that a step shares with its executors, and shards of examples in a store."""

import pytest

from edgeline.store.locations import list_files_below, locate
from runners.kubeflow.pod.files import move_shards, remove_shards, share_with_executors
from runners.kubeflow.pod.handover import Locations

RUN = "minio://bucket/shelf/run-1"
INPUT = {"inputs": {"artifacts": {"examples": {"artifacts": [{"uri": f"{RUN}/ExampleGen/examples"}]}}}}
OUTPUT = {
    "outputs": {"artifacts": {"statistics": {"artifacts": [{"uri": f"{RUN}/StatisticsGen/statistics"}]}}}
}


@pytest.fixture
def pod(tmp_path):
    """The file system of a pod with an input from the launcher."""
    examples = tmp_path / "pod/minio/bucket/shelf/run-1/ExampleGen/examples/Split-train"
    examples.mkdir(parents=True)
    (examples / "data.gz").write_bytes(b"examples")
    return tmp_path / "pod"


def share_files(pod, step="StatisticsGen", master="k8s://https://kubernetes.default.svc"):
    flags = ["--runner=SparkRunner", f"--spark_master={master}", f"--spark_spill={pod.parent}/claim"]
    return share_with_executors(step, "run-1", flags, {**INPUT, **OUTPUT}, Locations(pod))


def test_executors_see_the_inputs_and_the_launcher_the_outputs(pod, tmp_path):
    with share_files(pod) as shared:
        examples = shared.local(f"{RUN}/ExampleGen/examples")
        assert examples.startswith(f"{tmp_path}/claim/")
        assert (tmp_path / examples / "Split-train/data.gz").read_bytes() == b"examples"
        statistics = tmp_path / shared.local(f"{RUN}/StatisticsGen/statistics")
        statistics.mkdir(parents=True)
        (statistics / "FeatureStats.pb").write_bytes(b"counted")
        assert shared.remote(str(statistics)) == f"{RUN}/StatisticsGen/statistics"
    output = pod / "minio/bucket/shelf/run-1/StatisticsGen/statistics/FeatureStats.pb"
    assert output.read_bytes() == b"counted"
    assert not list((tmp_path / "claim").iterdir())


def test_a_step_that_fails_has_no_outputs_and_leaves_no_files(pod, tmp_path):
    with pytest.raises(ValueError), share_files(pod) as shared:
        (tmp_path / shared.local(f"{RUN}/StatisticsGen/statistics")).mkdir(parents=True)
        raise ValueError
    assert not (pod / "minio/bucket/shelf/run-1/StatisticsGen").exists()
    assert not list((tmp_path / "claim").iterdir())


@pytest.mark.parametrize("other", [{"step": "Trainer"}, {"master": "spark://host:7077"}])
def test_files_of_a_step_without_executors_stay_where_the_launcher_has_them(pod, tmp_path, other):
    with share_files(pod, **other) as locations:
        assert locations.local(RUN) == f"{pod}/minio/bucket/shelf/run-1"
    assert not (tmp_path / "claim").exists()


@pytest.fixture
def examples(tmp_path):
    """The output of ExampleGen."""
    folder = tmp_path / "examples"
    for split in ("Split-train", "Split-eval"):
        (folder / split).mkdir(parents=True)
        (folder / split / "data-0.gz").write_bytes(b"examples")
    return folder


def move(step, side, folder, place):
    artifacts = {"examples": {"artifacts": [{"uri": str(folder)}]}}
    with move_shards(step, {side: {"artifacts": artifacts}}, place):
        return sorted(path.name for path in folder.glob("*/*"))


def test_the_trainer_reads_from_the_store_and_a_step_of_beam_from_its_disk(examples, bucket):
    place = f"{bucket}/shards/run-1"
    move("ExampleGen", "outputs", examples, place)
    assert [*list_files_below(locate(place))] == ["Split-eval/data-0.gz", "Split-train/data-0.gz"]
    assert move("Trainer", "inputs", examples, place) == ["shards.txt", "shards.txt"]
    assert move("Transform", "inputs", examples, place) == ["data-0.gz", "data-0.gz"]


def test_without_a_place_for_them_shards_stay_where_they_are(examples):
    assert move("ExampleGen", "outputs", examples, None) == ["data-0.gz", "data-0.gz"]
    assert move("Evaluator", "inputs", examples, None) == ["data-0.gz", "data-0.gz"]


def test_the_shards_of_an_ended_run_are_removed_and_no_others(examples, bucket, caplog):
    move("ExampleGen", "outputs", examples, f"{bucket}/shards/run-1")
    remove_shards(f"{bucket}/shards/run")
    assert len(list_files_below(locate(f"{bucket}/shards/run-1"))) == 2
    remove_shards(f"{bucket}/shards/run-1")
    assert not list_files_below(locate(f"{bucket}/shards"))
    assert not caplog.records
    remove_shards("s3://no-such-bucket/shards/run-1")
    assert "the bucket 'no-such-bucket' does not exist" in caplog.text
