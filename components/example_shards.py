"""From the rows of spans to shards of Examples, and what goes to quarantine on the way.

Examples are sharded by their digest and sorted within a shard, so the same window gives the same files in the
same order on any engine, and copies meet in one shard. They get there in files: what Beam's direct runner
groups, it holds in memory as a whole.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import apache_beam as beam
import msgspec

from data.spans.layout import Span
from data.spans.rejection import RowRejected
from data.spans.source import SPLITS, Example, Rejected, Row, Source, Value
from data.spans.split import Ends, add_side
from errors import DataRefused
from locations import whole
from records.ingest import Quarantined
from records.workload import Workload

QUARANTINED, READ, REFUSED, COUNTS = "quarantined-*.jsonl", "read-*.json", "refused-*.json", "counts-*.json"
LOOKS = "looks-*.json"


@dataclass(frozen=True)
class Plan:
    """What every worker knows."""

    source: Source
    workload: Workload
    scratch: Path  # a folder for what is handed on
    folders: Mapping[str, str]  # of the Examples, by split
    shards: int  # how many files a split gets
    newest: str  # name of the newest span
    eval_fraction: float  # share of the groups that goes to `eval`


class _Part(msgspec.Struct, array_like=True, frozen=True):
    """One example on its way to its shard; `place` is unique in the data folder, `span-00042/name.jpg`."""

    digest: str
    place: str
    span: str
    id: str
    label: str
    group: str
    look: bytes
    example: bytes


class Look(msgspec.Struct, array_like=True, frozen=True):
    """What near twins of an example are told by."""

    place: str
    label: str
    split: str
    look: bytes


class SpanRead(msgspec.Struct, array_like=True, frozen=True):
    """One span that was read: its rows, and their groups."""

    name: str
    rows: int
    ends: Ends


class _Worker(beam.DoFn):
    def __init__(self, plan: Plan) -> None:
        self._plan = plan


class ReadRows(_Worker):
    """Reads the rows of spans."""

    def process(self, span: Span) -> Iterator[Any]:
        """Yields (span, row) of those that may become examples; to `ends`, the ends of their groups."""
        plan, rows, ends, sides = self._plan, 0, Ends(), dict[str, str]()
        with _quarantine(plan.scratch) as quarantined:
            try:
                for item in plan.source.rows(span):
                    rows += 1
                    if isinstance(item, Rejected):
                        quarantined.write(_line(span.name, item.id, item.reason, item.detail, item.text))
                    else:
                        if item.split:
                            add_side(sides, item.group, item.split)
                        else:
                            ends = ends.with_group(item.group)
                        yield span, item
            except DataRefused as error:
                # Beam would raise something else that begins with its words.
                _write(plan.scratch, REFUSED, span.name, (error.found, error.why, error.do, error.spans))
        ends = replace(ends, sides=sides)
        _write(plan.scratch, READ, span.name, SpanRead(span.name, rows, ends))
        yield beam.pvalue.TaggedOutput("ends", ends)


class MakeExamples(_Worker):
    """Makes the example of each row, and puts it into a part of its shard."""

    def start_bundle(self) -> None:
        """Begins the files of a bundle."""
        self._files = ExitStack()
        self._quarantined = self._files.enter_context(_quarantine(self._plan.scratch))
        self._parts: dict[int, BinaryIO] = {}

    def process(self, read: tuple[Span, Row]) -> None:
        """Writes one example; yields nothing."""
        span, row = read
        plan = self._plan
        try:
            made = plan.source.example(span, row)
        except RowRejected as error:
            self._quarantined.write(_line(span.name, row.id, error.reason, error.detail))
            return
        shard = int(made.digest[:8], 16) % plan.shards
        if shard not in self._parts:
            part = whole(plan.scratch / f"part-{shard:05d}-{uuid.uuid4().hex}")
            self._parts[shard] = self._files.enter_context(part)
        place = f"{span.name}/{row.id}"
        example = _example(span, place, row, made, plan.workload, span.name == plan.newest)
        content = msgspec.msgpack.encode(
            _Part(made.digest, place, span.name, row.id, row.label, row.group, made.look, example)
        )
        self._parts[shard].write(len(content).to_bytes(4, "little") + content)

    def finish_bundle(self) -> None:
        """Ends them."""
        self._files.close()

    def teardown(self) -> None:
        """Ends what the source began."""
        self._plan.source.close()


class MergeShard(_Worker):
    """Makes the files of one shard, one a split, from its parts."""

    def process(self, shard: int, ends: Sequence[Ends], parts: Any) -> None:
        """Writes the files of a shard, once all `parts` are there; yields nothing. `ends` are each span's."""
        import tensorflow as tf

        plan, of_all = self._plan, Ends().merged(ends)
        kept, rejected = _without_copies(_read_parts(plan.scratch, shard))
        with _quarantine(plan.scratch) as quarantined:
            for line in rejected:
                quarantined.write(line)
        counts: Counter[tuple[str, str, str]] = Counter()
        looks = []
        for split in SPLITS:
            target = Path(plan.folders[split], f"data_tfrecord-{shard:05d}-of-{plan.shards:05d}.gz")
            scratch = target.with_name(f".{target.name}.writing")
            with tf.io.TFRecordWriter(str(scratch), options="GZIP") as writer:
                for part in kept:
                    if of_all.in_eval(part.group, plan.eval_fraction) == (split == "eval"):
                        writer.write(part.example)
                        counts[split, part.label, part.span] += 1
                        if part.look:
                            looks.append(Look(part.place, part.label, split, part.look))
            scratch.rename(target)
        _write(plan.scratch, LOOKS, str(shard), looks)
        _write(plan.scratch, COUNTS, str(shard), [(*key, count) for key, count in counts.items()])


def read_all(scratch: Path, pattern: str, kind: Any) -> list[Any]:
    """What the workers left in the files of a pattern, each a JSON value or with one a line."""
    found = []
    for path in sorted(scratch.glob(pattern)):
        found += [msgspec.json.decode(line, type=kind) for line in path.read_bytes().splitlines()]
    return found


def _read_parts(scratch: Path, shard: int) -> Iterator[_Part]:
    decoder = msgspec.msgpack.Decoder(_Part)
    for path in sorted(scratch.glob(f"part-{shard:05d}-*")):
        with path.open("rb") as file:
            while size := file.read(4):
                yield decoder.decode(file.read(int.from_bytes(size, "little")))


def _without_copies(parts: Iterable[_Part]) -> tuple[list[_Part], list[bytes]]:
    """Examples by digest, and the copies: all but the oldest, or all where their labels differ."""
    by_digest: dict[str, dict[str, _Part]] = {}
    for part in parts:  # one place twice is a bundle that the engine tried again
        by_digest.setdefault(part.digest, {})[part.place] = part
    kept, rejected = [], []
    for _, by_place in sorted(by_digest.items()):
        first, *copies = (part for _, part in sorted(by_place.items()))
        labels = sorted({part.label for part in (first, *copies)})
        if len(labels) > 1:
            detail = f"The same one is labelled {' and '.join(labels)}."
            rejected += [_line(p.span, p.id, "conflicting-label", detail) for p in (first, *copies)]
            continue
        kept.append(first)
        rejected += [_line(p.span, p.id, "duplicate", f"A copy of {first.place}.") for p in copies]
    return kept, rejected


def _line(*found: str) -> bytes:
    return msgspec.json.encode(Quarantined(*found)) + b"\n"


def _quarantine(scratch: Path) -> AbstractContextManager[BinaryIO]:
    return whole(scratch / QUARANTINED.replace("*", uuid.uuid4().hex))


def _write(scratch: Path, pattern: str, name: str, value: Any) -> None:
    with whole(scratch / pattern.replace("*", name)) as file:
        file.write(msgspec.json.encode(value) + b"\n")


def _example(span: Span, place: str, row: Row, made: Example, workload: Workload, newest: bool) -> bytes:
    """A serialized tf.Example."""
    import tensorflow as tf

    values: dict[str, Value] = {workload.group: row.group, **made.features}
    values |= {workload.id: place, "label": row.label, "span": span.number, "newest_span": int(newest)}
    features = {name: _feature(value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
        deterministic=True
    )


def _feature(value: Value) -> Any:
    import tensorflow as tf

    several = [value] if isinstance(value, bytes | str | int | float) else list(value)
    if several and isinstance(several[0], bytes | str):
        texts = [text.encode() if isinstance(text, str) else text for text in several]
        return tf.train.Feature(bytes_list={"value": texts})
    if several and isinstance(several[0], int):
        return tf.train.Feature(int64_list={"value": several})
    return tf.train.Feature(float_list={"value": several})
