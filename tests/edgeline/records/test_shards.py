"""Shards of examples in a store, which steps read there or bring back."""

import gzip

import pytest
import tensorflow as tf

from edgeline.errors import EdgelineError
from edgeline.records import shards
from edgeline.records.shards import bring_back, find_cause, find_shards, move_to_store, read_shard
from edgeline.store.locations import get_filesystem, locate

SHARDS = {
    "data-0.gz": [b"ends in zeros \0\0", b"", bytes(200_000)],
    "data-1.gz": [b"%d" % number for number in range(300)],
}


@pytest.fixture
def folder(tmp_path):
    """Writes a split's folder with two shards."""
    split = tmp_path / "Split-train"
    split.mkdir()
    for name, records in SHARDS.items():
        with tf.io.TFRecordWriter(str(split / name), "GZIP") as writer:
            for record in records:
                writer.write(record)
    return split


@pytest.fixture
def moved_folder(folder, bucket):
    move_to_store(folder, f"{bucket}/run-1/Split-train")
    return folder


@pytest.fixture
def hurry(monkeypatch):
    """Gives a reader little patience."""
    monkeypatch.setattr(shards, "_PATIENCE_S", (0.1, 0.1))
    shards._failures.clear()
    yield
    shards._failures.clear()


def read(folder):
    return [[*read_shard(shard, True).as_numpy_iterator()] for shard in find_shards([f"{folder}/*"])]


def test_shards_that_were_moved_to_a_store_are_only_there_and_are_as_before_also_when_brought_back(
    moved_folder,
):
    assert [path.name for path in moved_folder.iterdir()] == ["shards.txt"]
    assert [shard.rsplit("/", 1)[1] for shard in find_shards([f"{moved_folder}/*"])] == [*SHARDS]
    assert read(moved_folder) == [*SHARDS.values()]
    bring_back(moved_folder)
    assert {path.name for path in moved_folder.iterdir()} == {*SHARDS}
    for name, records in SHARDS.items():
        assert [*read_shard(str(moved_folder / name), False).as_numpy_iterator()] == records
    bring_back(moved_folder)  # a folder that has its shards


def test_a_reader_goes_on_where_a_store_broke_off(moved_folder, start_proxy, hurry):
    # These are more faults than botocore and fsspec retry by themselves.
    faults = ["reset"] * 6 + ["cut", None, "busy"]
    proxy = start_proxy(lambda _, times: faults[times] if times < len(faults) else None)
    assert read(moved_folder) == [*SHARDS.values()]
    assert len([path for method, path in proxy.requests if method == "GET"]) > len(faults)
    assert not shards._failures


def test_a_store_that_stays_away_is_reported_and_not_waited_for_for_ever(moved_folder, start_proxy, hurry):
    proxy = start_proxy(lambda *_: "reset")
    with pytest.raises(tf.errors.OpError) as caught:
        read(moved_folder)
    assert proxy.address in find_cause(caught.value).found


def test_a_shard_that_is_gone_or_damaged_is_reported(moved_folder, bucket, hurry):
    place = locate(f"{bucket}/run-1/Split-train/data-1.gz")
    content = get_filesystem(place).cat_file(place.path)
    for broken in (content[:-20], b"no gzip at all", content[:100] + b"\0" + content[101:]):
        get_filesystem(place).pipe_file(place.path, broken)
        with pytest.raises(tf.errors.OpError) as caught:
            read(moved_folder)
        assert f"{place}: the shard is damaged" in find_cause(caught.value).found
    get_filesystem(place).rm(place.path)
    with pytest.raises(tf.errors.OpError) as caught:
        read(moved_folder)
    assert find_cause(caught.value).found == f"{place}: the shard is missing."
    with pytest.raises(EdgelineError, match="the shard is missing"):
        bring_back(moved_folder)


def test_a_store_that_cannot_be_written_leaves_the_shards_where_they_are(folder, s3_server):
    with pytest.raises(EdgelineError, match=r"the bucket .* does not exist"):
        move_to_store(folder, "s3://no-such-bucket/run-1")
    assert {path.name for path in folder.iterdir()} == {*SHARDS}
    assert gzip.decompress((folder / "data-0.gz").read_bytes())
