"""From the rows of spans to shards of Examples, and what goes to quarantine on the way.

Examples are sharded by their digest and sorted within a shard, so the same window gives the same files in the
same order on any engine, and copies meet in one shard. They get there in files: what Beam's direct runner
groups, it holds in memory as a whole.

What is made of a span has a folder in the scratch, `span-00042/`, and follows from that span alone: whether
it is the newest, which of its examples are copies, and which go to eval, is decided where shards are merged.
"""

import hashlib
import logging
import struct
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import apache_beam as beam
import msgspec

from components.kept_spans import KeptSpans
from components.originals import MOST_OF_LABEL, Named
from data.spans.layout import Span
from data.spans.rejection import RowRejected
from data.spans.source import SPLITS, Example, Rejected, Row, Source, Value
from data.spans.split import Ends, add_side
from errors import DataRefused, UsageError
from locations import MOST_FETCHED_BYTES, MOST_FETCHES, whole
from records.ingest import Quarantined
from records.json_file import decoder_of
from records.workload import Workload

# In the folder of a span; copies are quarantined beside the folders.
LISTED, READ, _MADE = "*/listed.json", "*/read.json", "made-*"
QUARANTINED, UNMADE = "**/quarantined-*.jsonl", "*/unmade-*.jsonl"
_KEPT = "kept-"  # before the name of what an earlier run made, which was killed
# A photo that was so may be otherwise next time: such a row is not kept as done.
_PASSING, _PASSED = ("unreadable", "missing"), "passing-"
# Rows of which a worker keeps at once what it has made; an engine may end a bundle earlier.
_ROWS = 2_000
REFUSED, COUNTS, LOOKS = "refused-*.json", "counts-*.json", "looks-*.json"
CONTENTS, IN_EVAL = "contents-*.json", "in-eval-*.json"
# The length of what follows, and what tells its shard.
_HEAD = struct.Struct("<II")


@dataclass(frozen=True)
class Plan:
    """What every worker knows."""

    source: Source
    spans: Mapping[str, Span]  # those that are read, by name
    workload: Workload
    scratch: Path  # a folder for what is handed on, with one for each span
    folders: Mapping[str, str]  # of the Examples, by split
    shards: int  # how many files a split gets
    newest: str  # name of the newest span
    eval_fraction: float  # share of the groups that goes to `eval`
    kept: KeptSpans | None  # where what is made is kept for a run after one that is killed
    contents: Mapping[str, str]  # of the spans that are kept so, see `contents_of`


class _Part(msgspec.Struct, array_like=True, frozen=True):
    """One example on its way to its shard; `place` is unique in the data folder, `span-00042/name.jpg`.

    `example` lacks what `_newest` adds.
    """

    digest: str
    place: str
    span: str
    id: str
    label: str
    group: str
    look: bytes
    example: bytes


log = logging.getLogger("edgeline.ingest")

# Made here, and not by each bundle: an engine may have several in threads of one process.
_PARTS = msgspec.msgpack.Decoder(_Part)


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
        """Yields (name of the span, row) of those that may become examples."""
        plan, rows, ends, sides = self._plan, 0, Ends(), dict[str, str]()
        folder = plan.scratch / span.name
        done = _done(folder)
        with _quarantine(folder, "rows") as quarantined:
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
                        if item.id not in done:
                            yield span.name, item
            except DataRefused as error:
                # Beam would raise something else that begins with its words.
                refusal = (error.found, error.why, error.do, error.spans)
                _write(plan.scratch, REFUSED.replace("*", span.name), refusal)
        _write(folder, "read.json", SpanRead(span.name, rows, replace(ends, sides=sides)))


class MakeExamples(_Worker):
    """Makes the example of each row, and puts it into a file of its span.

    What comes from a store is fetched ahead, as much as `locations.py` allows; the order is that of the rows.
    """

    def start_bundle(self) -> None:
        """Begins a bundle."""
        self._waiting, self._fetched_bytes, self._sees = deque[tuple[str, Row]](), 0, True
        self._begin_files()

    def _begin_files(self) -> None:
        self._bundle, self._files, self._rows = uuid.uuid4().hex, ExitStack(), 0
        self._of_span: dict[str, tuple[BinaryIO, BinaryIO, BinaryIO]] = {}

    def _end_files(self) -> None:
        self._files.close()
        plan = self._plan
        if plan.kept is None:
            return
        for span in self._of_span.keys() & plan.contents.keys():
            files = (plan.scratch / span).glob(f"*-{self._bundle}*")
            done = [path for path in files if _PASSED not in path.name]
            named = {path.name.replace(self._bundle, _KEPT + self._bundle): path for path in done}
            plan.kept.keep_part(span, plan.contents[span], named)

    def process(self, read: tuple[str, Row]) -> None:
        """Writes examples; yields nothing."""
        (name, row), size = read, read[1].size
        while self._waiting and (
            len(self._waiting) >= MOST_FETCHES or self._fetched_bytes + size > MOST_FETCHED_BYTES
        ):
            self._make_next()
        if size:
            self._plan.source.fetch(self._plan.spans[name], row)
        self._waiting.append(read)
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
        if span.name not in self._of_span:
            folder = plan.scratch / span.name
            self._of_span[span.name] = (
                self._files.enter_context(whole(folder / _MADE.replace("*", self._bundle))),
                self._files.enter_context(whole(folder / UNMADE[2:].replace("*", self._bundle))),
                self._files.enter_context(whole(folder / UNMADE[2:].replace("*", _PASSED + self._bundle))),
            )
        examples, quarantined, passing = self._of_span[span.name]
        try:
            made = plan.source.example(span, row)
        except RowRejected as error:
            file = passing if error.reason in _PASSING else quarantined
            file.write(_line(span.name, row.id, error.reason, error.detail))
            return
        place = f"{span.name}/{row.id}"
        example = _example(span, place, row, made, plan.workload)
        content = msgspec.msgpack.encode(
            _Part(made.digest, place, span.name, row.id, row.label, row.group, self._look(made), example)
        )
        examples.write(_HEAD.pack(len(content), int(made.digest[:8], 16)) + content)

    def _look(self, made: Example) -> bytes:
        if made.pixels and self._sees:
            from trainer_module.photo_features import describe_photo

            try:
                return made.look + describe_photo(made.pixels)
            except UsageError as error:
                self._sees = False
                log.warning("%s Near twins are looked for among thumbnails alone.", error.found)
        return made.look

    def finish_bundle(self) -> None:
        """Ends them."""
        while self._waiting:
            self._make_next()
        self._end_files()

    def teardown(self) -> None:
        """Ends what the source began."""
        self._plan.source.close()


class ShardSpan(_Worker):
    """Puts the examples of a span into parts of their shards."""

    def process(self, name: str, made: Any) -> None:
        """Writes the parts of the span of that name, once all is `made`; yields nothing."""
        plan, parts = self._plan, dict[int, BinaryIO]()
        with ExitStack() as files:
            for path in sorted((plan.scratch / name).glob(_MADE)):
                for position, content in _read(path):
                    shard = position % plan.shards
                    if shard not in parts:
                        part = whole(plan.scratch / f"part-{shard:05d}-{name}")
                        parts[shard] = files.enter_context(part)
                    parts[shard].write(_HEAD.pack(len(content), position) + content)


class MergeShard(_Worker):
    """Makes the files of one shard, one a split, from its parts."""

    def process(self, shard: int, parts: Any) -> None:
        """Writes the files of a shard, once all `parts` are there; yields nothing."""
        import tensorflow as tf

        plan = self._plan
        of_all = Ends().merged(item.ends for item in read_all(plan.scratch, READ, SpanRead))
        newest = {answer: _newest(answer) for answer in (True, False)}
        kept, rejected = _without_copies(_read_parts(plan.scratch, shard))
        with _quarantine(plan.scratch, f"{shard:05d}") as quarantined:
            for line in rejected:
                quarantined.write(line)
        counts: Counter[tuple[str, str, str]] = Counter()
        contents: Counter[tuple[str, str]] = Counter()
        looks = []
        in_eval: dict[tuple[str, str], list[Named]] = {}
        for split in SPLITS:
            target = Path(plan.folders[split], f"data_tfrecord-{shard:05d}-of-{plan.shards:05d}.gz")
            scratch = target.with_name(f".{target.name}.writing")
            with tf.io.TFRecordWriter(str(scratch), options="GZIP") as writer:
                for part in kept:
                    if of_all.in_eval(part.group, plan.eval_fraction) == (split == "eval"):
                        writer.write(part.example + newest[part.span == plan.newest])
                        counts[split, part.label, part.span] += 1
                        contents[part.span, split] += content_of(part.example)
                        if part.look:
                            looks.append(Look(part.place, part.label, split, part.look))
                        if split == "eval":
                            some = in_eval.setdefault((part.label, part.span), [])
                            if len(some) < MOST_OF_LABEL:
                                some.append((part.label, part.span, part.id))
            scratch.rename(target)
        named = [example for some in in_eval.values() for example in some]
        _write(plan.scratch, IN_EVAL.replace("*", f"{shard:05d}"), named)
        _write(plan.scratch, LOOKS.replace("*", f"{shard:05d}"), looks)
        _write(plan.scratch, COUNTS.replace("*", str(shard)), [(*key, n) for key, n in counts.items()])
        found = [(*key, f"{total:x}") for key, total in contents.items()]
        _write(plan.scratch, CONTENTS.replace("*", str(shard)), found)


def content_of(example: bytes) -> int:
    """A number whose sum tells examples, in whatever order and however many files they are."""
    return int.from_bytes(hashlib.sha256(example).digest()[:16], "big")


def list_span(folder: Path, rows: int) -> None:
    """Begins the folder of a span with so many rows, as its source counts them."""
    folder.mkdir()
    _write(folder, "listed.json", rows)


def read_all(scratch: Path, pattern: str, kind: Any) -> Iterator[Any]:
    """What the workers left in the files of a pattern, each a JSON value or with one a line."""
    decoder = decoder_of(kind)
    for path in sorted(scratch.glob(pattern)):
        with path.open("rb") as file:
            yield from map(decoder.decode, file)


def _done(folder: Path) -> set[str]:
    """The rows of a span that an earlier run has done."""
    made = (_read(path) for path in folder.glob(_MADE.replace("*", f"{_KEPT}*")))
    done = {_PARTS.decode(content).id for contents in made for _, content in contents}
    return done | {item.id for item in read_all(folder, f"unmade-{_KEPT}*", Quarantined)}


def _read_parts(scratch: Path, shard: int) -> Iterator[_Part]:
    for path in sorted(scratch.glob(f"part-{shard:05d}-*")):
        yield from (_PARTS.decode(content) for _, content in _read(path))


def _read(path: Path) -> Iterator[tuple[int, bytes]]:
    """What tells the shard of each part in a file, and the part."""
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            size, position = _HEAD.unpack(head)
            yield position, file.read(size)


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


def _quarantine(folder: Path, name: str) -> AbstractContextManager[BinaryIO]:
    return whole(folder / f"quarantined-{name}.jsonl")


def _write(folder: Path, name: str, value: Any) -> None:
    with whole(folder / name) as file:
        file.write(msgspec.json.encode(value) + b"\n")


def _example(span: Span, place: str, row: Row, made: Example, workload: Workload) -> bytes:
    values: dict[str, Value] = {workload.group: row.group, **made.features}
    return _serialized(values | {workload.id: place, "label": row.label, "span": span.number})


def _newest(is_newest: bool) -> bytes:
    """What an example also says. Messages of protocol buffers, one behind the other, are read as one of both.

    See "Last One Wins" on https://protobuf.dev/programming-guides/encoding/.
    """
    return _serialized({"newest_span": int(is_newest)})


def _serialized(values: Mapping[str, Value]) -> bytes:
    """A tf.Example."""
    import tensorflow as tf

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
