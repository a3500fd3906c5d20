"""Shards of examples in a store, that steps read as they come or bring back."""

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
    """A split's folder, with two shards."""
    split = tmp_path / "Split-train"
    split.mkdir()
    for name, records in SHARDS.items():
        with tf.io.TFRecordWriter(str(split / name), "GZIP") as writer:
            for record in records:
                writer.write(record)
    return split


@pytest.fixture
def moved(folder, bucket):
    move_to_store(folder, f"{bucket}/run-1/Split-train")
    return folder


@pytest.fixture
def patience(monkeypatch):
    """Gives readers little patience."""
    monkeypatch.setattr(shards, "_PATIENCE_S", (0.1, 0.1))
    shards._failures.clear()
    yield
    shards._failures.clear()


def read(folder):
    return [[*read_shard(shard, True).as_numpy_iterator()] for shard in find_shards([f"{folder}/*"])]


def test_what_was_moved_to_a_store_is_there_alone_and_is_read_as_it_was(moved):
    assert [path.name for path in moved.iterdir()] == ["shards.txt"]
    assert [shard.rsplit("/", 1)[1] for shard in find_shards([f"{moved}/*"])] == [*SHARDS]
    assert read(moved) == [*SHARDS.values()]


def test_what_is_brought_back_is_as_it_was_before(moved):
    bring_back(moved)
    assert {path.name for path in moved.iterdir()} == {*SHARDS}
    for name, records in SHARDS.items():
        assert [*read_shard(str(moved / name), False).as_numpy_iterator()] == records
    bring_back(moved)  # as of a folder that had them all along


def test_a_reader_goes_on_where_a_store_broke_off(moved, start_proxy, patience):
    # More often than botocore and fsspec try again by themselves.
    faults = ["reset"] * 6 + ["cut", None, "busy"]
    proxy = start_proxy(lambda _, times: faults[times] if times < len(faults) else None)
    assert read(moved) == [*SHARDS.values()]
    assert len([path for method, path in proxy.requests if method == "GET"]) > len(faults)
    assert not shards._failures


def test_a_store_that_stays_away_is_told_and_not_waited_for_for_ever(moved, start_proxy, patience):
    proxy = start_proxy(lambda *_: "reset")
    with pytest.raises(tf.errors.OpError) as failed:
        read(moved)
    assert proxy.address in find_cause(failed.value).found


def test_a_shard_that_is_gone_or_damaged_is_told(moved, bucket, patience):
    place = locate(f"{bucket}/run-1/Split-train/data-1.gz")
    content = get_filesystem(place).cat_file(place.path)
    for broken in (content[:-20], b"no gzip at all", content[:100] + b"\0" + content[101:]):
        get_filesystem(place).pipe_file(place.path, broken)
        with pytest.raises(tf.errors.OpError) as failed:
            read(moved)
        assert f"{place}: the shard is damaged" in find_cause(failed.value).found
    get_filesystem(place).rm(place.path)
    with pytest.raises(tf.errors.OpError) as failed:
        read(moved)
    assert find_cause(failed.value).found == f"{place}: the shard is missing."
    with pytest.raises(EdgelineError, match="the shard is missing"):
        bring_back(moved)


def test_a_store_that_cannot_be_written_leaves_the_shards_where_they_are(folder, s3_server):
    with pytest.raises(EdgelineError, match=r"the bucket .* does not exist"):
        move_to_store(folder, "s3://no-such-bucket/run-1")
    assert {path.name for path in folder.iterdir()} == {*SHARDS}
    assert gzip.decompress((folder / "data-0.gz").read_bytes())
