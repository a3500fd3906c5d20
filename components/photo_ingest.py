"""Ingest: the newest spans of labelled photos become Examples; what cannot be trained on goes to quarantine.

Photos are checked one by one in Beam and written as `photo_shards.py` has it.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
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
from components.photo_shards import SPLITS, Listed, SetAside, WriteShard
from components.quarantine import write_quarantine
from data.photos.checks import PhotoLimits, check_photo
from data.photos.decoder_process import DecoderProcess
from data.photos.screening import screen_rows
from data.spans.layout import Span, excluded_in_window, newest_spans, read_labels
from data.spans.rejection import PhotoRejected
from data.spans.split import eval_sessions
from data.spans.window import window_digest
from errors import DataRefused
from locations import locate

_PHOTOS_PER_SHARD = 2_000
# Of CPU time: 40 megapixels take 0.2 as a JPEG, and 2 at 16 bits a pixel.
_SECONDS, _MEGAPIXELS_A_SECOND = 10, 4
# Of address space: 16-bit and transparent photos take up to 25 bytes a pixel while they are turned into RGB.
_GIGABYTES, _BYTES_A_PIXEL = 1, 32

log = logging.getLogger("edgeline.ingest")


class CheckPhoto(beam.DoFn):
    """Opens and checks one photo; what does not pass goes to the output `rejected`."""

    def __init__(self, limits: PhotoLimits) -> None:
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
            photo = self._check(listed.span.read(listed.row.photo, self._limits.max_bytes))
        except PhotoRejected as error:
            yield beam.pvalue.TaggedOutput(
                "rejected", SetAside(listed.span.name, listed.row.photo, error.reason, error.detail)
            )
        else:
            yield photo.digest, (listed, photo)


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
        data = locate(exec_properties["data"])
        spans = newest_spans(data, options["window"])
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
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        examples.span = spans[-1].number
        folders = {split: artifact_utils.get_split_uri([examples], split) for split in SPLITS}
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
        summary["excluded"] = [asdict(item) for item in excluded_in_window(data, spans, options["window"])]
        write_quarantine(quarantine, aside, spans, summary)
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
        "splits": {split: total(0, split) for split in SPLITS},
        "classes": {label: total(1, label) for label in labels},
        "spans": [
            {
                "name": span.name,
                "number": span.number,
                "rows": rows_by_span[span.name],
                "accepted": total(2, span.name),
                "classes": {
                    label: sum(n for key, n in counts.items() if key[1:] == (label, span.name))
                    for label in labels
                },
                "rejected": dict(sorted(Counter(a.reason for a in aside if a.span == span.name).items())),
            }
            for span in spans
        ],
    }


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
        data: The folder of spans, or its URL.
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
