"""Ingest: the newest spans of labelled photos become Examples; what cannot be trained on goes to quarantine.

Photos are checked one by one in Beam and written as `photo_shards.py` has it.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
from tfx.dsl.component.experimental.annotations import BeamComponentParameter, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples

from components.artifacts import Quarantine
from components.photo_shards import SPLITS, Listed, Quarantined, WriteShard
from components.quarantine import write_quarantine
from data.photos.checks import MOST_BYTES, check_photo
from data.photos.decoder_process import DecoderProcess
from data.photos.labels_file import read_labels
from data.photos.screening import screen_rows
from data.settings import DataSettings
from data.spans.layout import Span, excluded_in_window, newest_spans
from data.spans.rejection import RowRejected
from data.spans.split import eval_sessions
from data.spans.window import window_digest
from errors import DataRefused
from locations import locate
from records.ingest import Excluded, Ingest
from records.ingest import Span as SpanCounts

_PHOTOS_PER_SHARD = 2_000
# Of CPU time: 40 megapixels take 0.2 as a JPEG, and 2 at 16 bits a pixel.
_SECONDS, _MEGAPIXELS_A_SECOND = 10, 4
# Of address space: 16-bit and transparent photos take up to 25 bytes a pixel while they are turned into RGB.
_GIGABYTES, _BYTES_A_PIXEL = 1, 32

log = logging.getLogger("edgeline.ingest")


class CheckPhoto(beam.DoFn):
    """Opens and checks one photo; what does not pass goes to the output `rejected`."""

    def __init__(self, limits: DataSettings) -> None:
        self._limits = limits

    def setup(self) -> None:
        """Runs once in each worker."""
        check = partial(check_photo, limits=self._limits)
        megapixels = self._limits.max_megapixels
        seconds = max(_SECONDS, round(megapixels / _MEGAPIXELS_A_SECOND))
        self._check = DecoderProcess(check, seconds, _GIGABYTES + megapixels * _BYTES_A_PIXEL / 1000)

    def teardown(self) -> None:
        """Ends what `setup` began."""
        self._check.close()

    def process(self, listed: Listed) -> Iterator[Any]:
        """Yields (digest, (listed, checked photo))."""
        try:
            photo = self._check(listed.span.read(listed.row.photo, MOST_BYTES))
        except RowRejected as error:
            yield beam.pvalue.TaggedOutput(
                "rejected", Quarantined(listed.span.name, listed.row.photo, error.reason, error.detail)
            )
        else:
            yield photo.digest, (listed, photo)


def _list_photos(
    spans: Sequence[Span], labels: Sequence[str]
) -> tuple[list[Listed], list[Quarantined], Counter[str]]:
    """Rows that may be opened, rows quarantined, and the number of rows by span."""
    listed, quarantined, rows_by_span = [], [], Counter[str]()
    for span in spans:
        rows = read_labels(span)
        rows_by_span[span.name] = len(rows)
        kept, rejected = screen_rows(rows, labels)
        listed += [Listed(span, row, span is spans[-1]) for row in kept]
        quarantined += [Quarantined(span.name, row.photo, reason, detail) for row, reason, detail in rejected]
    return listed, quarantined, rows_by_span


@component(use_beam=True)
def SpanExampleGen(
    examples: OutputArtifact[Examples],
    quarantine: OutputArtifact[Quarantine],
    data: Parameter[str],
    labels: Parameter[str],
    settings: Parameter[str],
    window: Parameter[str],
    code: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Reads the newest spans, checks each photo, splits by session and writes Examples and quarantine.

    Args:
        examples: The photos of both splits; its custom properties are `first_span`, `last_span` and `window`.
        quarantine: What cannot be trained on, and what the window holds.
        data: The folder of spans, or its URL.
        labels: Class names, in the order of the schema's domain, as JSON.
        settings: `DataSettings` as JSON.
        window: Digest of the window's content, which keys the cache and is checked after reading; empty
            where the engine runs each step afresh.
        code: Digest of the code that this runs and of the libraries, which keys the cache.
        beam_pipeline: The engine of the settings.

    Raises:
        DataRefused: There is no span, a labels file cannot be read, the photos cannot be split, or no photo
            of a split can be used.
    """
    limits = DataSettings.model_validate_json(settings)
    place, names = locate(data), json.loads(labels)
    spans = newest_spans(place, limits.window)
    listed, quarantined, rows_by_span = _list_photos(spans, names)
    if not listed:
        raise _nothing_left("the window", quarantined, spans)
    sessions = eval_sessions((item.row.session_id for item in listed), limits.eval_fraction)
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    examples.span = spans[-1].number
    folders = {split: artifact_utils.get_split_uri([examples], split) for split in SPLITS}
    folder = Path(quarantine.uri)
    folder.mkdir(parents=True, exist_ok=True)
    for split_folder in folders.values():
        Path(split_folder).mkdir(parents=True, exist_ok=True)

    shards = -(-len(listed) // _PHOTOS_PER_SHARD)
    with beam_pipeline as pipeline:
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
            | "WriteRejected" >> beam.io.WriteToText(str(folder / "rejected"), num_shards=1)
        )
        _ = (
            written.photos
            | "CountPhotos" >> beam.combiners.Count.PerElement()
            | "CountsAsText" >> beam.Map(json.dumps)
            | "WriteCounts" >> beam.io.WriteToText(str(folder / "counts"), num_shards=1)
        )

    quarantined += [Quarantined(**item) for item in _take_lines(folder, "rejected")]
    counts = Counter({tuple(key): count for key, count in _take_lines(folder, "counts")})
    summary = _summary(spans, names, rows_by_span, quarantined, counts)
    for split, photos in summary.splits.items():
        if not photos:
            raise _nothing_left(f"the {split} split", quarantined, spans)
    found = window_digest(spans)
    if window not in ("", found):
        raise DataRefused(
            f"The files of {spans[0].name} to {spans[-1].name} changed while they were read.",
            "The model would be filed under data that it was not trained on.",
            "Run again once nothing writes to the data folder any more.",
        )
    excluded = excluded_in_window(place, spans, limits.window)
    summary = replace(
        summary, window=found, excluded=tuple(Excluded(d.span, d.who, d.when, d.reason) for d in excluded)
    )
    write_quarantine(folder, quarantined, spans, summary)
    for name, value in (("first_span", spans[0].number), ("last_span", spans[-1].number)):
        examples.set_int_custom_property(name, value)
    examples.set_string_custom_property("window", found)
    if quarantined:
        log.warning("%d of %d photos were quarantined.", len(quarantined), sum(rows_by_span.values()))


def _nothing_left(where: str, quarantined: Sequence[Quarantined], spans: Sequence[Span]) -> DataRefused:
    by_reason = sorted(Counter(item.reason for item in quarantined).items())
    reasons = ", ".join(f"{count} {reason}" for reason, count in by_reason) or "none"
    return DataRefused(
        f"No usable photo is left for {where} ({len(quarantined)} quarantined: {reasons}).",
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
    quarantined: Sequence[Quarantined],
    counts: Counter[Any],
) -> Ingest:
    """What the window holds: counts by split, class (absent ones too) and span."""

    def total(position: int, value: str) -> int:
        return sum(count for key, count in counts.items() if key[position] == value)

    return Ingest(
        splits={split: total(0, split) for split in SPLITS},
        classes={label: total(1, label) for label in labels},
        spans=tuple(
            SpanCounts(
                name=span.name,
                number=span.number,
                rows=rows_by_span[span.name],
                accepted=total(2, span.name),
                classes={
                    label: sum(n for key, n in counts.items() if key[1:] == (label, span.name))
                    for label in labels
                },
                rejected=dict(sorted(Counter(q.reason for q in quarantined if q.span == span.name).items())),
            )
            for span in spans
        ),
    )
