"""Which steps find shards of examples in a store, and which on the disk of their pod."""

import pytest

from edgeline.store.locations import list_files_below, locate
from runners.kubeflow.pod import shards


@pytest.fixture
def examples(tmp_path):
    """What ExampleGen puts out."""
    folder = tmp_path / "examples"
    for split in ("Split-train", "Split-eval"):
        (folder / split).mkdir(parents=True)
        (folder / split / "data-0.gz").write_bytes(b"examples")
    return folder


def run(step, side, folder, place):
    listed = {"examples": {"artifacts": [{"uri": str(folder)}]}}
    with shards.move_shards(step, {side: {"artifacts": listed}}, place):
        return sorted(path.name for path in folder.glob("*/*"))


def test_who_trains_reads_from_the_store_and_a_step_of_beam_from_its_disk(examples, bucket):
    place = f"{bucket}/shards/run-1"
    run("ExampleGen", "outputs", examples, place)
    assert [*list_files_below(locate(place))] == ["Split-eval/data-0.gz", "Split-train/data-0.gz"]
    assert run("Trainer", "inputs", examples, place) == ["shards.txt", "shards.txt"]
    assert run("Transform", "inputs", examples, place) == ["data-0.gz", "data-0.gz"]


def test_without_a_place_for_them_shards_stay_where_they_are(examples):
    assert run("ExampleGen", "outputs", examples, None) == ["data-0.gz", "data-0.gz"]
    assert run("Evaluator", "inputs", examples, None) == ["data-0.gz", "data-0.gz"]


def test_those_of_a_run_that_has_ended_are_removed_and_of_no_other(examples, bucket, caplog):
    run("ExampleGen", "outputs", examples, f"{bucket}/shards/run-1")
    shards.remove(f"{bucket}/shards/run")
    assert len(list_files_below(locate(f"{bucket}/shards/run-1"))) == 2
    shards.remove(f"{bucket}/shards/run-1")
    assert not list_files_below(locate(f"{bucket}/shards"))
    assert not caplog.records
    shards.remove("s3://no-such-bucket/shards/run-1")
    assert "the bucket 'no-such-bucket' does not exist" in caplog.text
