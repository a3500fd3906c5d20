"""The Beam steps that turn the rows of spans into shards of Examples, and quarantine rows on the way.

Examples are sharded by their digest and sorted within a shard, so the same window gives the same files in the
same order on any engine, and copies meet in one shard. They get there in files: Beam's direct runner holds
everything that it groups in memory.

The output for a span has a folder in the scratch, `span-00042/`, and depends on that span alone. The merging
of shards decides which span is the newest, which examples are copies, and which go to eval.
"""

import logging
import os
import struct
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import apache_beam as beam
import msgspec
import tensorflow as tf

from components.ingest.kept_spans import KeptSpans
from components.ingest.originals import MOST_OF_LABEL, Named
from data.spans.corrections import correct_label, read_corrections
from data.spans.layout import Span
from data.spans.rule_counts import RuleCounts
from data.spans.source import SPLITS, Example, Rejected, Row, Source, Value
from data.spans.split import Ends, add_side
from edgeline.errors import DataRefused, EdgelineError, UsageError
from edgeline.records.features import format_value, list_values
from edgeline.records.ingest import Quarantined
from edgeline.records.json_file import get_decoder
from edgeline.records.rejection import RowRejected
from edgeline.records.served import Truth
from edgeline.records.workload import Workload
from edgeline.store.locations import MOST_FETCHED_BYTES, MOST_FETCHES, write_atomically

# These files lie in the folder of a span; copies are quarantined beside the folders.
LISTED, READ, RULES, _MADE = "*/listed.json", "*/read.json", "*/rules.json", "made-*"
QUARANTINED, UNMADE = "**/quarantined-*.jsonl", "*/unmade-*.jsonl"
_KEPT = "kept-"  # prefix of the files of an earlier run that was killed
# A row rejected for these reasons may be usable next time, so it is not kept as done.
_TRANSIENT, _TRANSIENT_PREFIX = ("unreadable", "missing"), "passing-"
# A worker keeps its output after this many rows; an engine may end a bundle earlier.
_ROWS = 2_000
REFUSED, COUNTS, LOOKS = "refused-*.json", "counts-*.json", "looks-*.json"
IN_EVAL, TRUTHS = "in-eval-*.json", "truths-*.json"
# The length of the part that follows, and the number that decides its shard.
_HEAD = struct.Struct("<II")


@dataclass(frozen=True)
class Plan:
    """The settings and inputs that every worker gets."""

    source: Source
    spans: Mapping[str, Span]  # the spans to read, by name
    workload: Workload
    scratch: Path  # a folder for files between steps, with one for each span
    folders: Mapping[str, str]  # of the Examples, by split
    shards: int  # how many files a split gets
    newest: str  # name of the newest span
    eval_fraction: float  # share of the groups that goes to `eval`
    cache: KeptSpans | None  # keeps parts of spans for the run after one that is killed
    contents: Mapping[str, str]  # digests of the spans that are kept in parts
    checked: frozenset[str] = frozenset()  # places of the examples that phones had answered


class _Part(msgspec.Struct, array_like=True, frozen=True):
    """One example on its way to its shard; `place` is unique in the data folder, `span-00042/name.jpg`.

    `example` lacks the feature `newest_span`.
    """

    digest: str
    place: str
    span: str
    id: str
    label: str
    group: str
    look: bytes
    example: bytes
    reviewed: bool = False


log = logging.getLogger("edgeline.ingest")

# The decoder is shared by all bundles: an engine may run several in threads of one process.
_PARTS = msgspec.msgpack.Decoder(_Part)


class Look(msgspec.Struct, array_like=True, frozen=True):
    """The features by which near twins of an example are found."""

    place: str
    label: str
    split: str
    look: bytes


class SpanRead(msgspec.Struct, array_like=True, frozen=True):
    """A span that was read: the number of rows, or windows, that may become examples, and their groups."""

    name: str
    usable: int
    ends: Ends


class _Worker(beam.DoFn):
    def __init__(self, plan: Plan) -> None:
        self._plan = plan


class ReadRows(_Worker):
    """A DoFn that reads the rows of spans."""

    def process(self, span: Span) -> Iterator[Any]:
        """Yields (name of the span, row) for each row that may become an example."""
        plan = self._plan
        usable = 0
        ends = Ends()
        sides = dict[str, str]()
        folder = plan.scratch / span.name
        done_ids = _read_done_ids(folder)

        with write_atomically(folder / "quarantined-rows.jsonl") as quarantined:
            try:
                corrections = read_corrections(span)
                for item in plan.source.rows(span):
                    if isinstance(item, Rejected):
                        quarantined.write(
                            _encode_rejection(span.name, item.id, item.reason, item.detail, item.text)
                        )
                    elif isinstance(item, RuleCounts):
                        _write_json(folder, "rules.json", (span.name, item))
                    else:
                        usable += 1
                        if item.split:
                            add_side(sides, item.group, item.split)
                        else:
                            ends = ends.with_group(item.group)
                        if item.id not in done_ids:
                            yield span.name, correct_label(item, corrections, plan.workload.labels)
            except DataRefused as error:
                # Beam would raise another exception that begins with this message.
                refusal = (error.found, error.why, error.do, error.spans)
                _write_json(plan.scratch, REFUSED.replace("*", span.name), refusal)

        _write_json(folder, "read.json", SpanRead(span.name, usable, replace(ends, sides=sides)))


class MakeExamples(_Worker):
    """A DoFn that makes the example of each row, and writes it to a file of its span.

    Objects of a store are fetched ahead, as many as `locations.py` allows; the order is that of the rows.
    """

    def start_bundle(self) -> None:
        """Begins a bundle."""
        self._waiting = deque[tuple[str, Row]]()
        self._fetched_bytes = 0
        self._can_describe = True
        self._begin_files()

    def _begin_files(self) -> None:
        self._bundle = uuid.uuid4().hex
        self._files = ExitStack()
        self._rows = 0
        self._files_by_span: dict[str, tuple[BinaryIO, BinaryIO, BinaryIO]] = {}

    def _end_files(self) -> None:
        self._files.close()
        plan = self._plan
        if plan.cache is None:
            return
        for span in self._files_by_span.keys() & plan.contents.keys():
            files = (plan.scratch / span).glob(f"*-{self._bundle}*")
            finished = [path for path in files if _TRANSIENT_PREFIX not in path.name]
            by_name = {path.name.replace(self._bundle, _KEPT + self._bundle): path for path in finished}
            plan.cache.keep_part(span, plan.contents[span], by_name)

    def process(self, span_and_row: tuple[str, Row]) -> None:
        """Writes examples; yields nothing."""
        name, row = span_and_row
        size = row.size
        while self._waiting and (
            len(self._waiting) >= MOST_FETCHES or self._fetched_bytes + size > MOST_FETCHED_BYTES
        ):
            self._make_next()
        if size:
            self._plan.source.fetch(self._plan.spans[name], row)
        self._waiting.append(span_and_row)
        self._fetched_bytes += size

    def _make_next(self) -> None:
        name, row = self._waiting.popleft()
        self._fetched_bytes -= row.size
        if self._rows >= _ROWS and self._plan.contents:
            self._end_files()
            self._begin_files()
        self._rows += 1
        plan = self._plan
        span = plan.spans[name]
        if span.name not in self._files_by_span:
            folder = plan.scratch / span.name
            self._files_by_span[span.name] = (
                self._files.enter_context(write_atomically(folder / _MADE.replace("*", self._bundle))),
                self._files.enter_context(write_atomically(folder / UNMADE[2:].replace("*", self._bundle))),
                self._files.enter_context(
                    write_atomically(folder / UNMADE[2:].replace("*", _TRANSIENT_PREFIX + self._bundle))
                ),
            )
        examples, quarantined, transient = self._files_by_span[span.name]

        try:
            example = plan.source.example(span, row)
        except RowRejected as error:
            file = transient if error.reason in _TRANSIENT else quarantined
            file.write(_encode_rejection(span.name, row.id, error.reason, error.detail))
            return
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise EdgelineError(
                f"{plan.workload.source} cannot read {row.id} of {span.name}: {problem}.",
                "Its `example` raises RowRejected for a row that cannot be used, and nothing else.",
                "Correct it as docs/start/own-workload.md shows, or remove the row.",
            ) from error
        place = f"{span.name}/{row.id}"
        look = self._describe(example)
        values: dict[str, Value] = {plan.workload.group: row.group, **example.features}
        encoded = _serialize(values | {plan.workload.id: place, "label": row.label, "span": span.number})
        content = msgspec.msgpack.encode(
            _Part(example.digest, place, span.name, row.id, row.label, row.group, look, encoded, row.reviewed)
        )
        examples.write(_HEAD.pack(len(content), int(example.digest[:8], 16)) + content)

    def _describe(self, example: Example) -> bytes:
        if example.pixels and self._can_describe:
            from trainer_module.networks.photo_features import describe_photo

            try:
                return example.look + describe_photo(example.pixels)
            except UsageError as error:
                self._can_describe = False
                log.warning("%s Near twins are searched by thumbnails only.", error.found)
        return example.look

    def finish_bundle(self) -> None:
        """Makes the examples that are still waiting, and closes the files."""
        while self._waiting:
            self._make_next()
        self._end_files()

    def teardown(self) -> None:
        """Closes the source."""
        self._plan.source.close()


class ShardSpan(_Worker):
    """A DoFn that writes the examples of a span to parts of their shards."""

    def process(self, name: str, examples: Any) -> None:
        """Writes the parts of the span `name`; `examples` has Beam wait for all examples. Yields nothing."""
        plan = self._plan
        parts = dict[int, BinaryIO]()
        with ExitStack() as files:
            for path in sorted((plan.scratch / name).glob(_MADE)):
                for position, content in _read_blobs(path):
                    shard = position % plan.shards
                    if shard not in parts:
                        part = write_atomically(plan.scratch / f"part-{shard:05d}-{name}")
                        parts[shard] = files.enter_context(part)
                    parts[shard].write(_HEAD.pack(len(content), position) + content)


class MergeShard(_Worker):
    """A DoFn that merges the parts of one shard into its files, one for each split."""

    def process(self, shard: int, parts: Any) -> None:
        """Writes the files of a shard; `parts` has Beam wait for all parts. Yields nothing."""
        plan = self._plan
        ends = Ends().merged(item.ends for item in read_all(plan.scratch, READ, SpanRead))
        # Concatenated messages of protocol buffers are read as one merged message, see "Last One Wins" on
        # https://protobuf.dev/programming-guides/encoding/.
        newest = {value: _serialize({"newest_span": int(value)}) for value in (True, False)}

        paths = sorted(plan.scratch.glob(f"part-{shard:05d}-*"))
        blobs = chain.from_iterable(map(_read_blobs, paths))
        all_parts = [_PARTS.decode(content) for _, content in blobs]
        originals, rejected = _separate_copies(all_parts)
        labels = {part.digest: part.label for part in originals}  # a copy is not kept, but its label is known
        truths = {
            part.place: _read_truth(part, labels[part.digest], plan.workload)
            for part in all_parts
            if part.place in plan.checked and part.digest in labels
        }
        _write_json(plan.scratch, TRUTHS.replace("*", f"{shard:05d}"), truths)

        with write_atomically(plan.scratch / f"quarantined-{shard:05d}.jsonl") as quarantined:
            for line in rejected:
                quarantined.write(line)

        counts: Counter[tuple[str, str, str]] = Counter()
        looks = []
        in_eval: dict[tuple[str, str], list[Named]] = {}
        for split in SPLITS:
            target = Path(plan.folders[split], f"data_tfrecord-{shard:05d}-of-{plan.shards:05d}.gz")
            # An engine may begin a second attempt while the first still writes; a lost one leaves its file.
            scratch = plan.scratch / f"shard-{uuid.uuid4().hex}"
            with tf.io.TFRecordWriter(str(scratch), options="GZIP") as writer:
                for part in originals:
                    if ends.in_eval(part.group, plan.eval_fraction) == (split == "eval"):
                        writer.write(part.example + newest[part.span == plan.newest])
                        counts[split, part.label, part.span] += 1
                        if part.look:
                            looks.append(Look(part.place, part.label, split, part.look))
                        if split == "eval":
                            names = in_eval.setdefault((part.label, part.span), [])
                            if len(names) < MOST_OF_LABEL:
                                names.append((part.label, part.span, part.id))
            os.replace(scratch, target)

        all_names = list(chain.from_iterable(in_eval.values()))
        _write_json(plan.scratch, IN_EVAL.replace("*", f"{shard:05d}"), all_names)
        _write_json(plan.scratch, LOOKS.replace("*", f"{shard:05d}"), looks)
        _write_json(plan.scratch, COUNTS.replace("*", str(shard)), [(*key, n) for key, n in counts.items()])


def list_span(folder: Path, rows: int) -> None:
    """Creates the folder of a span, with the number of rows that its source counts."""
    folder.mkdir()
    _write_json(folder, "listed.json", rows)


def read_all(scratch: Path, pattern: str, kind: Any) -> Iterator[Any]:
    """Yields the JSON values that the workers wrote to the files of a pattern, one value a line.

    Args:
        scratch: The folder for files between the steps of ingest.
        pattern: A glob in it, such as `READ` of this file; files are read in the order of their names.
        kind: The type that each line is read as.
    """
    decoder = get_decoder(kind)
    for path in sorted(scratch.glob(pattern)):
        with path.open("rb") as file:
            yield from map(decoder.decode, file)


def _read_done_ids(folder: Path) -> set[str]:
    """Returns the ids of the rows of a span that an earlier run has done."""
    files = map(_read_blobs, folder.glob(_MADE.replace("*", f"{_KEPT}*")))
    ids = {_PARTS.decode(content).id for _, content in chain.from_iterable(files)}
    return ids | {item.id for item in read_all(folder, f"unmade-{_KEPT}*", Quarantined)}


def _read_blobs(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the number that decides the shard of each part in a file, and the encoded part."""
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            size, position = _HEAD.unpack(head)
            yield position, file.read(size)


def _separate_copies(parts: Iterable[_Part]) -> tuple[list[_Part], list[bytes]]:
    """Returns the examples to keep by digest, and the copies: all but the oldest, or all if labels differ.

    Where a person decided on the label of some, these outweigh the others.
    """
    by_digest: dict[str, dict[str, _Part]] = {}
    for part in parts:  # a place comes twice if the engine tried a bundle again
        by_digest.setdefault(part.digest, {})[part.place] = part
    originals, rejected = [], []
    for _, by_place in sorted(by_digest.items()):
        copies = [part for _, part in sorted(by_place.items())]
        decided = [part for part in copies if part.reviewed] or copies
        labels = sorted({part.label for part in decided})
        if len(labels) > 1:
            detail = f"Its copies are labelled {' and '.join(labels)}."
            rejected += [_encode_rejection(p.span, p.id, "conflicting-label", detail) for p in copies]
            continue
        first = decided[0]
        copies.remove(first)
        originals.append(first)
        detail = f"It is a copy of {first.place}."
        rejected += [_encode_rejection(p.span, p.id, "duplicate", detail) for p in copies]
    return originals, rejected


def _encode_rejection(*fields: str) -> bytes:
    return msgspec.json.encode(Quarantined(*fields)) + b"\n"


def _write_json(folder: Path, name: str, value: Any) -> None:
    with write_atomically(folder / name) as file:
        file.write(msgspec.json.encode(value) + b"\n")


def _read_truth(part: _Part, label: str, workload: Workload) -> Truth:
    features = tf.train.Example.FromString(part.example).features.feature
    values = {kind: list_values(features[name]) for kind, name in workload.slices.items()}
    slices = {kind: format_value(listed[0]) for kind, listed in values.items() if listed}
    return Truth(label, part.group, slices)


def _serialize(values: Mapping[str, Value]) -> bytes:
    """Returns values as a serialized tf.Example."""
    features = {name: _make_feature(value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
        deterministic=True
    )


def _make_feature(value: Value) -> Any:
    values = [value] if isinstance(value, bytes | str | int | float) else list(value)
    if not values:  # a list of no texts, such as the words of "...", is read as a list of numbers otherwise
        return tf.train.Feature()
    if isinstance(values[0], bytes | str):
        texts = [text.encode() if isinstance(text, str) else text for text in values]
        return tf.train.Feature(bytes_list={"value": texts})
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list={"value": values})
    return tf.train.Feature(float_list={"value": values})
