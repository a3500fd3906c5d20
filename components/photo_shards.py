"""Shards of Examples: which file a photo goes to, in which order, and which of its copies is kept.

Records are sharded by the hash of their pixels and sorted within a shard, so the same window gives the same
files in the same order on any engine, and copies of a photo meet in one shard.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from data.photos.checks import CheckedPhoto
from data.photos.labels_file import LabelRow
from data.spans.layout import Span
from data.spans.rejection import Reason

SPLITS = ("train", "eval")


@dataclass(frozen=True)
class Listed:
    """A photo that its row lets in, before its file is opened."""

    span: Span
    row: LabelRow
    newest: bool

    @property
    def photo_id(self) -> str:
        """Unique in the data folder, `span-00042/name.jpg`."""
        return f"{self.span.name}/{self.row.photo}"


@dataclass(frozen=True)
class Quarantined:
    """A photo that goes to quarantine."""

    span: str
    photo: str
    reason: Reason
    detail: str


class WriteShard(beam.DoFn):
    """Writes one shard of each split; copies of a photo go to the output `rejected`."""

    def __init__(self, folders: Mapping[str, str], shards: int, eval_session_ids: frozenset[str]) -> None:
        self._folders, self._shards, self._eval = folders, shards, eval_session_ids

    def process(self, keyed: tuple[int, Iterable[tuple[Listed, CheckedPhoto]]]) -> Iterator[Any]:
        """Yields (split, label, span name) of each photo written."""
        import tensorflow as tf

        shard, group = keyed
        kept, rejected = _without_copies(group)
        for item in rejected:
            yield beam.pvalue.TaggedOutput("rejected", item)
        for split in SPLITS:
            target = Path(self._folders[split], f"data_tfrecord-{shard:05d}-of-{self._shards:05d}.gz")
            scratch = target.with_name(f".{target.name}.writing")
            with tf.io.TFRecordWriter(str(scratch), options="GZIP") as writer:
                for listed, photo in kept:
                    if (listed.row.session_id in self._eval) == (split == "eval"):
                        writer.write(_example(listed, photo))
                        yield split, listed.row.label, listed.span.name
            scratch.rename(target)


def _without_copies(
    group: Iterable[tuple[Listed, CheckedPhoto]],
) -> tuple[list[tuple[Listed, CheckedPhoto]], list[Quarantined]]:
    """The photos in order of digest, and the copies: all but the oldest, or all where their labels differ."""
    ordered = sorted(group, key=lambda item: (item[1].digest, item[0].photo_id))
    by_digest: dict[str, list[tuple[Listed, CheckedPhoto]]] = {}
    for item in ordered:
        by_digest.setdefault(item[1].digest, []).append(item)
    kept, rejected = [], []
    for copies in by_digest.values():
        labels = sorted({listed.row.label for listed, _ in copies})
        if len(labels) > 1:
            detail = f"The same photo is labelled {' and '.join(labels)}."
            rejected += [
                Quarantined(c.span.name, c.row.photo, "conflicting-label", detail) for c, _ in copies
            ]
            continue
        kept.append(copies[0])
        detail = f"A copy of {copies[0][0].photo_id}."
        rejected += [Quarantined(c.span.name, c.row.photo, "duplicate", detail) for c, _ in copies[1:]]
    return kept, rejected


def _example(listed: Listed, photo: CheckedPhoto) -> bytes:
    """A serialized tf.Example of one photo."""
    import tensorflow as tf

    row = listed.row
    text = {
        "label": row.label,
        "lane_id": row.lane_id,
        "session_id": row.session_id,
        "captured_at": row.captured_at,
        "photo_id": listed.photo_id,
    }
    whole = {
        "span": listed.span.number,
        "newest_span": int(listed.newest),
        "width": photo.width,
        "height": photo.height,
        "byte_size": photo.byte_size,
    }
    features = {
        name: tf.train.Feature(bytes_list={"value": [value.encode()]}) for name, value in text.items()
    }
    features |= {name: tf.train.Feature(int64_list={"value": [value]}) for name, value in whole.items()}
    features |= {
        name: tf.train.Feature(float_list={"value": [getattr(photo, name)]})
        for name in ("brightness", "sharpness")
    }
    features["photo"] = tf.train.Feature(bytes_list={"value": [photo.jpeg]})
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
        deterministic=True
    )
