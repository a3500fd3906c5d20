"""What runs in Spark's Python workers: bundles of one stage, in Beam's own bundle processor.

A PCollection between two stages is files in the spill folder, each a row of blobs: four bytes of length, then
whole elements as Beam's coder wrote them. A file is read by what follows only if the task that wrote it ended
well, so a task that Spark tries again leaves nothing twice.
"""

import contextlib
import itertools
import os
import traceback
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from apache_beam import coders
from apache_beam.internal import pickler
from apache_beam.options.value_provider import RuntimeValueProvider
from apache_beam.portability.api import beam_fn_api_pb2, beam_runner_api_pb2
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.runners.worker import data_plane
from apache_beam.runners.worker.bundle_processor import BundleProcessor
from apache_beam.runners.worker.sdk_worker import CachingStateHandler
from apache_beam.transforms.trigger import create_trigger_driver

from components.library_versions import library_versions

FAILURE = "failure"
# A side input up to this size is kept decoded while a bundle runs; a larger one is read again each time.
_KEPT_BYTES = 16 * 2**20


class Spilled(NamedTuple):
    """A file in the spill folder."""

    path: str
    blobs: int
    size: int  # in bytes


class Slice(NamedTuple):
    """Every `step`th blob of a file, from the `first` on; its blobs go to `transform`."""

    transform: str
    path: str
    first: int = 0
    step: int = 1

    def blobs(self) -> Iterator[bytes]:
        """Reads them, one at a time."""
        with open(self.path, "rb") as file:
            number = 0
            while head := file.read(4):
                size = int.from_bytes(head, "little")
                if number % self.step == self.first:
                    yield file.read(size)
                else:
                    file.seek(size, os.SEEK_CUR)
                number += 1


class SideInput(NamedTuple):
    """A PCollection that a stage looks at, and the id of the coder of its windowed values."""

    coder: str
    files: tuple[Spilled, ...]


class Stage(NamedTuple):
    """What a worker has to know of a stage."""

    descriptor: bytes
    outputs: Mapping[str, int]  # of each transform that writes, in bytes, from which size on it ends a blob
    side_inputs: Mapping[tuple[str, str], SideInput]  # by transform and tag
    spill: str


def read(part: Slice) -> Iterator[tuple[str, bytes]]:
    """The blobs of a slice, each with the transform that it is for."""
    return ((part.transform, blob) for blob in part.blobs())


def run_bundle(stage: Stage, blobs: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, Spilled]]:
    """Processes the blobs of a partition as one bundle; yields by transform the file that it wrote."""
    first = next(blobs, None)
    if first is None:
        return
    RuntimeValueProvider.set_runtime_options({})
    with contextlib.ExitStack() as ends:
        try:
            descriptor = beam_fn_api_pb2.ProcessBundleDescriptor.FromString(stage.descriptor)
            channel = _Channel(stage, itertools.chain([first], blobs), ends)
            state = _SideInputs(stage, PipelineContext(descriptor))
            channels = data_plane.InMemoryDataChannelFactory(channel)
            processor = BundleProcessor(frozenset(), descriptor, state, channels)
            ends.callback(processor.shutdown)
            delayed, finalize = processor.process_bundle("bundle")
            if delayed:
                raise NotImplementedError("A splittable DoFn put off a part of its work, as in streaming.")
            files = channel.finish()
            if finalize:
                processor.finalize_bundle()
        except Exception as error:
            _leave_word(Path(stage.spill), error)
            raise
        yield from files.items()


def _leave_word(spill: Path, error: Exception) -> None:
    """Leaves the exception where the driver finds it; through Spark only the text of its traceback gets."""
    text = "".join(traceback.format_exception(error))
    while type(error.__context__) is type(error):  # Beam made another of it, with the step in its words
        error = error.__context__
    try:
        pickled = pickler.dumps(error.with_traceback(None))
        pickler.loads(pickled)
    except Exception:
        pickled = pickler.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    with contextlib.suppress(OSError):
        scratch = spill / uuid.uuid4().hex
        scratch.write_bytes(pickler.dumps((pickled, text)))
        scratch.replace(spill / FAILURE)


class _Channel(data_plane.DataChannel):
    """Between a bundle and the files: nothing that goes through is held."""

    def __init__(self, stage: Stage, blobs: Iterator[tuple[str, bytes]], ends: contextlib.ExitStack) -> None:
        self._stage, self._input, self._ends = stage, blobs, ends
        self._files: dict[str, BinaryIO] = {}
        self._blobs: Counter[str] = Counter()

    def input_elements(self, instruction_id: str, *_: Any, **__: Any) -> Iterator[Any]:
        for name, blob in self._input:
            yield beam_fn_api_pb2.Elements.Data(instruction_id=instruction_id, transform_id=name, data=blob)

    def output_stream(self, instruction_id: str, name: str) -> data_plane.ClosableOutputStream:
        def write(blob: bytes) -> None:
            if not blob:
                return
            if name not in self._files:
                path = Path(self._stage.spill, uuid.uuid4().hex)
                self._files[name] = self._ends.enter_context(path.open("wb"))
            self._files[name].write(len(blob).to_bytes(4, "little") + blob)
            self._blobs[name] += 1

        limit = self._stage.outputs[name]
        return data_plane.SizeBasedBufferingClosableOutputStream(write, write, size_flush_threshold=limit)

    def finish(self) -> dict[str, Spilled]:
        """What was written; it is on the disk."""
        for file in self._files.values():
            file.close()
        files = self._files.items()
        return {name: Spilled(f.name, self._blobs[name], os.path.getsize(f.name)) for name, f in files}

    def output_timer_stream(self, *_: Any) -> Any:
        raise NotImplementedError  # Stateful DoFns are refused.

    def close(self) -> None:
        pass


class _SideInputs(CachingStateHandler):
    """Side inputs, read from their files when a DoFn asks for them."""

    def __init__(self, stage: Stage, context: PipelineContext) -> None:
        self._stage, self._context = stage, context
        self._kept: dict[Any, Any] = {}

    def blocking_get(self, state_key: Any, coder: Any) -> Iterable[Any]:
        """The values of a side input in a window: all, those of a key, or the keys."""
        kind = state_key.WhichOneof("type")
        asked = getattr(state_key, kind)
        side = self._stage.side_inputs[asked.transform_id, asked.side_input_id]
        values = _Values(side.files, self._context.coders[side.coder], asked.window)
        place = (asked.transform_id, asked.side_input_id, asked.window)
        large = sum(file.size for file in side.files) > _KEPT_BYTES
        if kind == "iterable_side_input" and large:
            return values
        if place not in self._kept:
            self._kept[place] = list(values) if kind == "iterable_side_input" else values.by_key()
        if kind == "iterable_side_input":
            return self._kept[place]
        if kind == "multimap_keys_side_input":
            return [key for key, _ in self._kept[place].values()]
        return self._kept[place].get(asked.key, (None, []))[1]

    @contextlib.contextmanager
    def process_instruction_id(self, bundle_id: str, cache_tokens: Any) -> Iterator[None]:
        yield

    def extend(self, *_: Any) -> Any:
        raise NotImplementedError  # Stateful DoFns are refused.

    clear = extend

    def done(self) -> None:
        pass


@dataclass(frozen=True)
class _Values:
    files: tuple[Spilled, ...]
    coder: coders.WindowedValueCoder
    window: bytes

    def __iter__(self) -> Iterator[Any]:
        decode, encode_window = self.coder.get_impl().decode_all, self.coder.window_coder.encode
        for blob in (blob for file in self.files for blob in Slice("", file.path).blobs()):
            for element in decode(blob):
                if any(encode_window(window) == self.window for window in element.windows):
                    yield element.value

    def by_key(self) -> dict[bytes, tuple[Any, list[Any]]]:
        encode = self.coder.wrapped_value_coder.key_coder().get_impl().encode_nested
        found: dict[bytes, tuple[Any, list[Any]]] = {}
        for key, value in self:
            found.setdefault(encode(key), (key, []))[1].append(value)
        return found


@dataclass(frozen=True)
class Grouping:
    """A GroupByKey: the ids of what Beam knows of it, and the transform that reads the groups."""

    components: bytes
    before: str  # coder of the windowed pairs
    after: str  # coder of the windowed groups
    windowing: str
    transform: str

    def open(self) -> tuple[PipelineContext, coders.WindowedValueCoder, Any, Any]:
        """What Beam knows, and the coders of the pairs, of their keys and of their windowed values."""
        context = PipelineContext(beam_runner_api_pb2.Components.FromString(self.components))
        before = context.coders[self.before]
        pair = before.wrapped_value_coder
        value = coders.WindowedValueCoder(pair.value_coder(), before.window_coder)
        return context, before, pair.key_coder().get_impl(), value.get_impl()


def pairs(grouping: Grouping, parts: Iterable[Slice]) -> Iterator[tuple[bytes, bytes]]:
    """Encoded keys and windowed values, for Spark to shuffle."""
    _, before, key_coder, value_coder = grouping.open()
    for blob in (blob for part in parts for blob in part.blobs()):
        for element in before.get_impl().decode_all(blob):
            key, value = element.value
            yield key_coder.encode(key), value_coder.encode(element.with_value(value))


def groups(grouping: Grouping, keyed: Iterable[tuple[bytes, Sequence[bytes]]]) -> Iterator[tuple[str, bytes]]:
    """What Spark has grouped, as the stage behind the GroupByKey reads it."""
    context, _, key_coder, value_coder = grouping.open()
    driver = create_trigger_driver(context.windowing_strategies[grouping.windowing], True)
    encode = context.coders[grouping.after].get_impl().encode_nested
    for key, values in keyed:
        elements = [value_coder.decode(value) for value in values]
        for group in driver.process_entire_key(key_coder.decode(key), elements):
            yield grouping.transform, encode(group)


def group(grouping: Grouping, files: Iterable[Spilled], spill: Path) -> Spilled:
    """Groups what fits into memory; a blob of the file is a group."""
    keyed: dict[bytes, list[bytes]] = {}
    for key, value in pairs(grouping, (Slice("", file.path) for file in files)):
        keyed.setdefault(key, []).append(value)
    blobs, path = 0, spill / uuid.uuid4().hex
    with path.open("wb") as file:
        for _, blob in groups(grouping, keyed.items()):
            file.write(len(blob).to_bytes(4, "little") + blob)
            blobs += 1
    return Spilled(str(path), blobs, path.stat().st_size)


def about_worker(spill: str) -> dict[str, str]:
    """The versions that a worker has, and what is wrong between it and the spill folder."""
    wrong = ""
    try:
        Path(spill, uuid.uuid4().hex).touch()
    except FileNotFoundError:
        wrong = "does not see"
    except OSError:
        wrong = "cannot write to"
    return {**library_versions(), "spill": wrong}
