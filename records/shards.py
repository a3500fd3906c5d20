"""Shards of examples, gzipped TFRecord files: in the folder of their split, or in a store that it names.

What is in a store is read as it comes, in ranges of a few MB: it is never on a disk, nor whole in memory.
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

from errors import EdgelineError
from locations import Location, filesystem, locate, open_read
from store_errors import explained, if_there, may_pass

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    from upath import UPath

# In the folder of a split instead of its shards: their URLs, a line each.
_ELSEWHERE = "shards.txt"
# Shards that are copied at the same time.
_AT_ONCE = 4
# Records that are handed to TensorFlow at once.
_RECORDS = 64
# How long a reader waits, a random part of it, before it goes on after a store did not answer.
_PATIENCE_S = (2, 8, 30, 120)
_HEAD = struct.Struct("<Q4x")  # the length of a record, and a checksum that gzip's own makes needless

# What ended a reading of this process. TensorFlow tells it as text.
_failures: list[Exception] = []


def shards_of(patterns: Sequence[str]) -> tuple[str, ...]:
    """The shards of a split, paths or URLs, by patterns of its folders' files; in the order of names."""
    files = sorted(file for pattern in patterns for file in glob.glob(pattern))
    found = (_listed(Path(file)) if file.endswith(f"/{_ELSEWHERE}") else [file] for file in files)
    return tuple(shard for shards in found for shard in shards)


def records_in(shard: "tf.Tensor | str", in_store: bool) -> "tf.data.Dataset":
    """The serialized examples, string [], of a shard in its order."""
    import tensorflow as tf

    if not in_store:
        return tf.data.TFRecordDataset(shard, compression_type="GZIP")
    spec = tf.TensorSpec([None], tf.string)
    return tf.data.Dataset.from_generator(_streamed, args=(shard,), output_signature=spec).unbatch()


def cause_of(error: Exception) -> Exception:
    """What an error of TensorFlow is due to: the end of a reading, if there was one."""
    is_its = type(error).__module__.startswith("tensorflow.")
    return _failures[-1] if is_its and _failures else error


def move_to_store(folder: Path, place: str) -> None:
    """Moves the shards of a split's folder to a place in a store, and leaves their URLs.

    Raises:
        EdgelineError: The store cannot be written.
    """
    files, target = sorted(folder.glob("*.gz")), _object(place)
    with explained(target):
        # All of one is in memory meanwhile.
        remote = [(target / file.name).path for file in files]
        filesystem(target).put([str(file) for file in files], remote, batch_size=_AT_ONCE)
    (folder / _ELSEWHERE).write_text("".join(f"{target / file.name}\n" for file in files))
    for file in files:
        file.unlink()


def bring_back(folder: Path) -> None:
    """Copies the shards of a split's folder into it, where they are in a store.

    Raises:
        EdgelineError: The store cannot be read, or they are gone.
    """
    if not (folder / _ELSEWHERE).exists():
        return
    places = [_object(url) for url in _listed(folder / _ELSEWHERE)]
    with _there(places[0]):
        remote = [place.path for place in places]
        filesystem(places[0]).get(remote, [str(folder / place.name) for place in places], batch_size=_AT_ONCE)
    (folder / _ELSEWHERE).unlink()


def remove_from_store(place: str) -> None:
    """Removes all shards below a place in a store, if any are there. Raises as `move_to_store` does."""
    root = _object(place)
    with if_there(root):
        filesystem(root).rm(root.path, recursive=True)


def _object(url: str) -> "UPath":
    place = locate(url)
    assert not isinstance(place, Path)
    return place


def _listed(file: Path) -> list[str]:
    return file.read_text().split()


def _streamed(shard: bytes) -> Iterator["np.ndarray"]:
    """Yields serialized examples, object [<=64]; goes on where a store that did not answer does again."""
    import numpy as np

    place, taken, waits = locate(shard.decode()), 0, iter(_PATIENCE_S)
    while True:
        try:
            with _there(place):
                for records in _read(place, taken):
                    yield np.array(records, object)
                    taken, waits = taken + len(records), iter(_PATIENCE_S)
            return
        except Exception as error:
            wait = next(waits, None) if may_pass(error) else None
            if wait is None:
                _failures.append(error)
                raise
        time.sleep(random.uniform(wait / 2, wait))


def _read(place: Location, skipped: int) -> Iterator[list[bytes]]:
    with open_read(place) as compressed, gzip.GzipFile(fileobj=compressed) as file:
        records = itertools.islice(_records(file), skipped, None)
        while batch := list(itertools.islice(records, _RECORDS)):
            yield batch


def _records(file: gzip.GzipFile) -> Iterator[bytes]:
    while head := file.read(_HEAD.size):
        (length,) = _HEAD.unpack(head)
        yield file.read(length + 4)[:-4]


@contextmanager
def _there(place: Location) -> Iterator[None]:
    """Has what is wrong with a shard in a store told in three parts."""
    try:
        with explained(place):
            try:
                yield
            except (gzip.BadGzipFile, EOFError, struct.error, zlib.error) as error:
                raise EdgelineError(
                    f"{place}: the shard is damaged: {error}.",
                    "Examples that are not as they were written are not trained on.",
                    "Start a new run, which writes it again.",
                ) from error
    except FileNotFoundError as error:
        raise EdgelineError(
            f"{place}: the shard is gone.",
            "ExampleGen left it there for the other steps of its run.",
            "Start a new run; let nothing remove what is below kubeflow.shards while it is in progress.",
        ) from error
