"""Shards of examples, gzipped TFRecord files, in the folder of their split or in an object store.

Shards in a store are read as a stream, in ranges of a few MB: they are never on a disk, nor whole in memory.
"""

import glob
import gzip
import itertools
import random
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgeline.errors import EdgelineError
from edgeline.store.locations import Location, get_filesystem, locate, open_read
from edgeline.store.store_errors import explain_errors, ignore_absent, is_temporary

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    from upath import UPath

# The file in the folder of a split that has the URLs of its shards, one a line, in place of the shards.
_URLS_FILE = "shards.txt"
# Shards that are copied at the same time.
_AT_ONCE = 4
# Records that are handed to TensorFlow at once.
_RECORDS = 64
# Seconds before each retry after a store did not answer: a random time from half of this up to this.
_PATIENCE_S = (2, 8, 30, 120)
_HEAD = struct.Struct("<Q4x")  # the length of a record, and a checksum, which gzip's own makes redundant

# Errors that ended a read in this process: TensorFlow passes them on as text only.
_failures: list[Exception] = []


def find_shards(patterns: Sequence[str]) -> tuple[str, ...]:
    """Returns the shards of a split, paths or URLs, sorted; the patterns match the files in its folders."""
    files = sorted(file for pattern in patterns for file in glob.glob(pattern))
    lists = (_read_urls(Path(file)) if file.endswith(f"/{_URLS_FILE}") else [file] for file in files)
    return tuple(shard for shards in lists for shard in shards)


def read_shard(shard: "tf.Tensor | str", in_store: bool) -> "tf.data.Dataset":
    """Returns the serialized examples of a shard, string [], in order."""
    import tensorflow as tf

    if not in_store:
        return tf.data.TFRecordDataset(shard, compression_type="GZIP")
    spec = tf.TensorSpec([None], tf.string)
    return tf.data.Dataset.from_generator(_stream_examples, args=(shard,), output_signature=spec).unbatch()


def find_cause(error: Exception) -> Exception:
    """Returns the error of a read that an error of TensorFlow comes from; without one the error itself."""
    is_from_tensorflow = type(error).__module__.startswith("tensorflow.")
    return _failures[-1] if is_from_tensorflow and _failures else error


def move_to_store(folder: Path, place: str) -> None:
    """Moves a split's shards to a place in a store, and leaves a list of their URLs. Raises EdgelineError."""
    files = sorted(folder.glob("*.gz"))
    target = _locate_in_store(place)
    with explain_errors(target):
        # Each file is whole in memory while it is copied.
        remote = [(target / file.name).path for file in files]
        get_filesystem(target).put([str(file) for file in files], remote, batch_size=_AT_ONCE)
    (folder / _URLS_FILE).write_text("".join(f"{target / file.name}\n" for file in files))
    for file in files:
        file.unlink()


def bring_back(folder: Path) -> None:
    """Copies a split's shards to its folder if they are in a store. Raises EdgelineError if they are gone."""
    if not (folder / _URLS_FILE).exists():
        return
    places = [_locate_in_store(url) for url in _read_urls(folder / _URLS_FILE)]
    with _explain_errors(places[0]):
        remote = [place.path for place in places]
        get_filesystem(places[0]).get(
            remote, [str(folder / place.name) for place in places], batch_size=_AT_ONCE
        )
    (folder / _URLS_FILE).unlink()


def remove_from_store(place: str) -> None:
    """Removes all shards below a place in a store, if there are any. Raises as `move_to_store` does."""
    root = _locate_in_store(place)
    with ignore_absent(root):
        get_filesystem(root).rm(root.path, recursive=True)


def _locate_in_store(url: str) -> "UPath":
    place = locate(url)
    assert not isinstance(place, Path)
    return place


def _read_urls(file: Path) -> list[str]:
    return file.read_text().split()


def _stream_examples(shard: bytes) -> Iterator["np.ndarray"]:
    """Yields serialized examples, object [<=64]; resumes if a store that did not answer does so again."""
    import numpy as np

    place = locate(shard.decode())
    count = 0
    waits = iter(_PATIENCE_S)
    while True:
        try:
            with _explain_errors(place):
                for records in _read_batches(place, count):
                    yield np.array(records, object)
                    count, waits = count + len(records), iter(_PATIENCE_S)
            return
        except Exception as error:
            wait = next(waits, None) if is_temporary(error) else None
            if wait is None:
                _failures.append(error)
                raise
        time.sleep(random.uniform(wait / 2, wait))


def _read_batches(place: Location, skipped: int) -> Iterator[list[bytes]]:
    with open_read(place) as compressed, gzip.GzipFile(fileobj=compressed) as file:
        records = itertools.islice(_iterate_records(file), skipped, None)
        while batch := list(itertools.islice(records, _RECORDS)):
            yield batch


def _iterate_records(file: gzip.GzipFile) -> Iterator[bytes]:
    while head := file.read(_HEAD.size):
        (length,) = _HEAD.unpack(head)
        yield file.read(length + 4)[:-4]


@contextmanager
def _explain_errors(place: Location) -> Iterator[None]:
    """Turns errors of reading a shard in a store into errors with three parts."""
    try:
        with explain_errors(place):
            try:
                yield
            except (gzip.BadGzipFile, EOFError, struct.error, zlib.error) as error:
                raise EdgelineError(
                    f"{place}: the shard is damaged: {error}.",
                    "Training cannot use damaged examples.",
                    "Start a new run, which writes the shard again.",
                ) from error
    except FileNotFoundError as error:
        raise EdgelineError(
            f"{place}: the shard is missing.",
            "ExampleGen wrote it there for the other steps of its run.",
            "Start a new run, and do not remove files below kubeflow.shards while it is in progress.",
        ) from error
