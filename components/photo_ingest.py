"""Ingest: the newest spans of labelled photos become Examples; what cannot be trained on goes to quarantine.

Photos are checked one by one in Beam. Records are sharded by the hash of their pixels and sorted within a
shard, so the same window gives the same files in the same order on any engine, and copies of a photo meet
in one shard.
"""

import csv
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import Channel, artifact_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples

from components.artifacts import Quarantine
from data.photo_checks import CheckedPhoto, PhotoLimits, check_photo
from data.rejection import PhotoRejected
from data.screening import screen_rows
from data.spans import LabelRow, Span, newest_spans, read_labels
from data.split import eval_sessions
from data.window import window_digest
from errors import DataRefused

_PHOTOS_PER_SHARD = 2_000
_SPLITS = ("train", "eval")

log = logging.getLogger("edgeline.ingest")


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
class SetAside:
    """A photo that goes to quarantine."""

    span: str
    photo: str
    reason: str
    detail: str


class CheckPhoto(beam.DoFn):
    """Opens and checks one photo; what does not pass goes to the output `rejected`."""

    def __init__(self, limits: PhotoLimits) -> None:
        self._limits = limits

    def process(self, listed: Listed) -> Iterator[Any]:
        """Yields (digest, (listed, checked photo))."""
        try:
            photo = check_photo(listed.span.resolve(listed.row.photo).read_bytes(), self._limits)
        except PhotoRejected as error:
            yield beam.pvalue.TaggedOutput(
                "rejected", SetAside(listed.span.name, listed.row.photo, error.reason, error.detail)
            )
        else:
            yield photo.digest, (listed, photo)


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
        for split in _SPLITS:
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
) -> tuple[list[tuple[Listed, CheckedPhoto]], list[SetAside]]:
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
            rejected += [SetAside(c.span.name, c.row.photo, "conflicting-label", detail) for c, _ in copies]
            continue
        kept.append(copies[0])
        detail = f"A copy of {copies[0][0].photo_id}."
        rejected += [SetAside(c.span.name, c.row.photo, "duplicate", detail) for c, _ in copies[1:]]
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


def _list_photos(
    spans: Sequence[Span], labels: Sequence[str]
) -> tuple[list[Listed], list[SetAside], Counter[str]]:
    """Rows that may be opened, rows set aside, and the number of rows by span."""
    listed, aside, rows_by_span = [], [], Counter[str]()
    for span in spans:
        rows = read_labels(span)
        rows_by_span[span.name] = len(rows)
        kept, rejected = screen_rows(rows, labels)
        listed += [Listed(span, row, span is spans[-1]) for row in kept]
        aside += [SetAside(span.name, row.photo, reason, detail) for row, reason, detail in rejected]
    return listed, aside, rows_by_span


class PhotoIngestExecutor(BaseBeamExecutor):
    """Reads the window, checks each photo, splits by session and writes Examples and quarantine."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `PhotoIngest`.

        Raises:
            DataRefused: There is no span, a labels file cannot be read, the photos cannot be split, or no
                photo of a split can be used.
        """
        options = json.loads(exec_properties["options"])
        spans = newest_spans(Path(exec_properties["data"]), options["window"])
        labels = json.loads(exec_properties["labels"])
        listed, aside, rows_by_span = _list_photos(spans, labels)
        if not listed:
            raise _nothing_left("the window", aside, spans)
        sessions = eval_sessions((item.row.session_id for item in listed), options["eval_fraction"])
        limits = PhotoLimits(
            max_megapixels=options["max_megapixels"],
            min_side=options["min_side"],
            max_side=options["max_side"],
        )
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        examples.split_names = artifact_utils.encode_split_names(list(_SPLITS))
        examples.span = spans[-1].number
        folders = {split: artifact_utils.get_split_uri([examples], split) for split in _SPLITS}
        quarantine = Path(artifact_utils.get_single_uri(output_dict["quarantine"]))
        quarantine.mkdir(parents=True, exist_ok=True)
        for folder in folders.values():
            Path(folder).mkdir(parents=True, exist_ok=True)

        shards = -(-len(listed) // _PHOTOS_PER_SHARD)
        with self._make_beam_pipeline() as pipeline:
            checked = (
                pipeline
                | "ListPhotos" >> beam.Create(listed)
                | "SpreadPhotos" >> beam.Reshuffle()
                | "CheckPhotos" >> beam.ParDo(CheckPhoto(limits)).with_outputs("rejected", main="accepted")
            )
            written = (
                checked.accepted
                | "KeyByShard" >> beam.MapTuple(lambda digest, item: (int(digest[:8], 16) % shards, item))
                | "GroupByShard" >> beam.GroupByKey()
                | "WriteShards"
                >> beam.ParDo(WriteShard(folders, shards, sessions)).with_outputs("rejected", main="photos")
            )
            _ = (
                (checked.rejected, written.rejected)
                | "FlattenRejected" >> beam.Flatten()
                | "RejectedAsText" >> beam.Map(lambda item: json.dumps(vars(item)))
                | "WriteRejected" >> beam.io.WriteToText(str(quarantine / "rejected"), num_shards=1)
            )
            _ = (
                written.photos
                | "CountPhotos" >> beam.combiners.Count.PerElement()
                | "CountsAsText" >> beam.Map(json.dumps)
                | "WriteCounts" >> beam.io.WriteToText(str(quarantine / "counts"), num_shards=1)
            )

        aside += [SetAside(**item) for item in _take_lines(quarantine, "rejected")]
        counts = Counter({tuple(key): count for key, count in _take_lines(quarantine, "counts")})
        summary = _summary(spans, labels, rows_by_span, aside, counts)
        for split, photos in summary["splits"].items():
            if not photos:
                raise _nothing_left(f"the {split} split", aside, spans)
        found = window_digest(spans)
        if exec_properties["window"] not in ("", found):
            raise DataRefused(
                f"The files of {spans[0].name} to {spans[-1].name} changed while they were read.",
                "The model would be filed under data that it was not trained on.",
                "Run again once nothing writes to the data folder any more.",
            )
        summary["window"] = found
        _write_quarantine(quarantine, aside, summary)
        for name, value in (("first_span", spans[0].number), ("last_span", spans[-1].number)):
            examples.set_int_custom_property(name, value)
        examples.set_string_custom_property("window", found)
        if aside:
            log.warning("%d of %d photos were set aside.", len(aside), sum(rows_by_span.values()))


def _nothing_left(where: str, aside: Sequence[SetAside], spans: Sequence[Span]) -> DataRefused:
    by_reason = sorted(Counter(item.reason for item in aside).items())
    reasons = ", ".join(f"{count} {reason}" for reason, count in by_reason) or "none"
    return DataRefused(
        f"No usable photo is left for {where} ({len(aside)} set aside: {reasons}).",
        "A model cannot be trained and judged without photos in both splits.",
        f"Look at the photos and labels.csv of {spans[0].name} to {spans[-1].name}.",
    )


def _take_lines(folder: Path, prefix: str) -> list[Any]:
    """Reads what Beam wrote as JSON lines, and removes the files."""
    lines = []
    for path in sorted(folder.glob(f"{prefix}-*")):
        lines += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        path.unlink()
    return lines


def _summary(
    spans: Sequence[Span],
    labels: Sequence[str],
    rows_by_span: Counter[str],
    aside: Sequence[SetAside],
    counts: Counter[Any],
) -> dict[str, Any]:
    """What the window holds: counts by split, class (absent ones too) and span."""

    def total(position: int, value: str) -> int:
        return sum(count for key, count in counts.items() if key[position] == value)

    return {
        "splits": {split: total(0, split) for split in _SPLITS},
        "classes": {label: total(1, label) for label in labels},
        "spans": [
            {
                "name": span.name,
                "number": span.number,
                "rows": rows_by_span[span.name],
                "accepted": total(2, span.name),
                "rejected": dict(sorted(Counter(a.reason for a in aside if a.span == span.name).items())),
            }
            for span in spans
        ],
    }


def _write_quarantine(folder: Path, aside: Sequence[SetAside], summary: Mapping[str, Any]) -> None:
    with (folder / "quarantine.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("span", "photo", "reason", "detail"))
        writer.writerows(sorted((a.span, a.photo, a.reason, a.detail) for a in aside))
    (folder / "ingest.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")


class PhotoIngestSpec(ComponentSpec):
    """Parameters and channels of `PhotoIngest`."""

    PARAMETERS = {
        "data": ExecutionParameter(type=str),
        "labels": ExecutionParameter(type=str),
        "options": ExecutionParameter(type=str),
        "window": ExecutionParameter(type=str),
        "code": ExecutionParameter(type=str),
    }
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {
        "examples": ChannelParameter(type=Examples),
        "quarantine": ChannelParameter(type=Quarantine),
    }


class PhotoIngest(BaseBeamComponent):
    """Ingests the newest spans.

    Args:
        data: The folder of spans.
        labels: Class names, in the order of the schema's domain.
        options: `window`, `eval_fraction`, `max_megapixels`, `min_side`, `max_side`, as in the settings.
        window: Digest of the window's content, which keys the cache and is checked after reading; empty
            where the engine runs each step afresh.
        code: Digest of the code and its libraries: new code ingests, and so trains, again.
    """

    SPEC_CLASS = PhotoIngestSpec
    EXECUTOR_SPEC = BeamExecutorSpec(PhotoIngestExecutor)

    def __init__(
        self, data: str, labels: Sequence[str], options: Mapping[str, Any], window: str, code: str
    ) -> None:
        super().__init__(
            PhotoIngestSpec(
                data=data,
                labels=json.dumps(list(labels)),
                options=json.dumps(dict(options), sort_keys=True),
                window=window,
                code=code,
                examples=Channel(type=Examples),
                quarantine=Channel(type=Quarantine),
            )
        )
