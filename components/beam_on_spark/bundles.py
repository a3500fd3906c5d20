"""The code that runs in Spark's Python workers: bundles of one stage, in Beam's own bundle processor.

A PCollection between two stages is a set of files in the spill folder, each a sequence of blobs: four bytes
of length, then whole elements as Beam's coder wrote them. The next stage reads a file only if the task that
wrote it succeeded, so a task that Spark tries again duplicates nothing.
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
from apache_beam.transforms.window import GlobalWindow, GlobalWindows

from edgeline.failures import walk_chain
from edgeline.journal import read_library_versions

FAILURE = "failure"
# A side input up to this size is kept decoded while a bundle runs; a larger one is read again each time.
_KEPT_BYTES = 16 * 2**20


class Spilled(NamedTuple):
    """A file in the spill folder."""

    path: str
    blobs: int
    size: int  # in bytes


class Slice(NamedTuple):
    """Every `step`th blob of a file, from number `first` on; the blobs go to `transform`."""

    transform: str
    path: str
    first: int = 0
    step: int = 1

    def read_blobs(self) -> Iterator[bytes]:
        """Yields the blobs of the slice, one at a time."""
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
    """A PCollection that is a side input of a stage, and the id of the coder of its windowed values."""

    coder: str
    files: tuple[Spilled, ...]


class Stage(NamedTuple):
    """The description of a stage that a worker gets."""

    descriptor: bytes
    outputs: Mapping[str, int]  # by transform that writes: the size in bytes from which on it ends a blob
    side_inputs: Mapping[tuple[str, str], SideInput]  # by transform and tag
    spill: str


def read_slice(part: Slice) -> Iterator[tuple[str, bytes]]:
    """Yields the blobs of a slice, each with the transform that it is for."""
    return ((part.transform, blob) for blob in part.read_blobs())


def run_bundle(stage: Stage, blobs: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, Spilled]]:
    """Processes the blobs of a partition as one bundle; yields each transform that wrote, with its file."""
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
                raise NotImplementedError("A splittable DoFn deferred a part of its work, as in streaming.")
            files = channel.finish()
            if finalize:
                processor.finalize_bundle()
        except Exception as error:
            _write_failure(Path(stage.spill), error)
            raise
        yield from files.items()


def _write_failure(spill: Path, error: Exception) -> None:
    """Writes the exception to the spill folder for the driver: Spark passes on only a traceback's text."""
    text = "".join(traceback.format_exception(error))
    pickled = [_pickle(link) for link in walk_chain(error)]  # a pickle keeps no causes
    with contextlib.suppress(OSError):
        scratch = spill / uuid.uuid4().hex
        scratch.write_bytes(pickler.dumps((pickled, text)))
        scratch.replace(spill / FAILURE)


def _pickle(error: BaseException) -> bytes:
    try:
        pickled: bytes = pickler.dumps(error.with_traceback(None))
        pickler.loads(pickled)
    except Exception:
        pickled = pickler.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return pickled


def read_failure(spill: Path) -> tuple[Exception, str]:
    """Returns the exception of a worker, with those that it was raised from, and its traceback."""
    pickled, text = pickler.loads((spill / FAILURE).read_bytes())
    links = [pickler.loads(link) for link in pickled]
    for link, cause in itertools.pairwise(links):
        link.__context__ = cause
    return links[0], text


class _Channel(data_plane.DataChannel):
    """The channel between a bundle and the files; it holds nothing in memory."""

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
        """Closes the files, and returns them by the transform that wrote each."""
        for file in self._files.values():
            file.close()
        files = self._files.items()
        return {name: Spilled(f.name, self._blobs[name], os.path.getsize(f.name)) for name, f in files}

    def output_timer_stream(self, *_: Any) -> Any:
        raise NotImplementedError  # Stateful DoFns are refused.

    def close(self) -> None:
        pass


class _SideInputs(CachingStateHandler):
    """The side inputs of a stage, read from their files when a DoFn asks for them."""

    def __init__(self, stage: Stage, context: PipelineContext) -> None:
        self._stage, self._context = stage, context
        self._kept: dict[Any, Any] = {}

    def blocking_get(self, state_key: Any, coder: Any) -> Iterable[Any]:
        """Returns values of a side input in a window: all, those of a key, or the keys."""
        kind = state_key.WhichOneof("type")
        request = getattr(state_key, kind)
        side = self._stage.side_inputs[request.transform_id, request.side_input_id]
        values = _Values(side.files, self._context.coders[side.coder], request.window)
        cache_key = (request.transform_id, request.side_input_id, request.window)
        is_large = sum(file.size for file in side.files) > _KEPT_BYTES
        if kind == "iterable_side_input" and is_large:
            return values
        if cache_key not in self._kept:
            self._kept[cache_key] = list(values) if kind == "iterable_side_input" else values.by_key()
        if kind == "iterable_side_input":
            return self._kept[cache_key]
        if kind == "multimap_keys_side_input":
            return [key for key, _ in self._kept[cache_key].values()]
        return self._kept[cache_key].get(request.key, (None, []))[1]

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
        for blob in (blob for file in self.files for blob in Slice("", file.path).read_blobs()):
            for element in decode(blob):
                if any(encode_window(window) == self.window for window in element.windows):
                    yield element.value

    def by_key(self) -> dict[bytes, tuple[Any, list[Any]]]:
        encode = self.coder.wrapped_value_coder.key_coder().get_impl().encode_nested
        groups: dict[bytes, tuple[Any, list[Any]]] = {}
        for key, value in self:
            groups.setdefault(encode(key), (key, []))[1].append(value)
        return groups


@dataclass(frozen=True)
class Grouping:
    """A GroupByKey: Beam's components, the ids in them, and the transform that reads the groups."""

    components: bytes
    before: str  # coder of the windowed pairs
    after: str  # coder of the windowed groups
    windowing: str
    transform: str

    def open(self) -> tuple[PipelineContext, coders.WindowedValueCoder, Any, Any]:
        """Returns Beam's context, and the coders of the pairs, of their keys and of their windowed values."""
        context = PipelineContext(beam_runner_api_pb2.Components.FromString(self.components))
        before = context.coders[self.before]
        pair = before.wrapped_value_coder
        value = coders.WindowedValueCoder(pair.value_coder(), before.window_coder)
        return context, before, pair.key_coder().get_impl(), value.get_impl()


def read_pairs(grouping: Grouping, parts: Iterable[Slice]) -> Iterator[tuple[bytes, bytes]]:
    """Yields encoded keys and windowed values, for Spark to shuffle."""
    _, before, key_coder, value_coder = grouping.open()
    for blob in (blob for part in parts for blob in part.read_blobs()):
        for element in before.get_impl().decode_all(blob):
            key, value = element.value
            yield key_coder.encode(key), value_coder.encode(element.with_value(value))


def encode_groups(
    grouping: Grouping, keyed: Iterable[tuple[bytes, Sequence[bytes]]]
) -> Iterator[tuple[str, bytes]]:
    """Yields the groups that Spark has made, as the stage after the GroupByKey reads them."""
    context, _, key_coder, value_coder = grouping.open()
    windowing = context.windowing_strategies[grouping.windowing]
    driver = create_trigger_driver(windowing, True)
    encode = context.coders[grouping.after].get_impl().encode_nested
    for key, values in keyed:
        elements = [value_coder.decode(value) for value in values]
        for group in driver.process_entire_key(key_coder.decode(key), elements):
            if windowing.is_default():  # Beam's driver for batches gives groups the smallest of all times
                group = GlobalWindows.windowed_value(group.value, GlobalWindow().max_timestamp())
            yield grouping.transform, encode(group)


def group_in_memory(grouping: Grouping, files: Iterable[Spilled], spill: Path) -> Spilled:
    """Groups pairs that fit into memory; each blob of the file is a group.

    Args:
        grouping: The GroupByKey, with the coders of the pairs and of the groups.
        files: Blobs of windowed pairs, which stages have written; they stay as they are.
        spill: The folder for the new file, which gets a random name.
    """
    keyed: dict[bytes, list[bytes]] = {}
    for key, value in read_pairs(grouping, (Slice("", file.path) for file in files)):
        keyed.setdefault(key, []).append(value)
    blobs = 0
    path = spill / uuid.uuid4().hex
    with path.open("wb") as file:
        for _, blob in encode_groups(grouping, keyed.items()):
            file.write(len(blob).to_bytes(4, "little") + blob)
            blobs += 1
    return Spilled(str(path), blobs, path.stat().st_size)


def describe_worker(spill: str) -> dict[str, str]:
    """Returns the versions of a worker's libraries, and its problem with the spill folder, empty for none."""
    problem = ""
    try:
        Path(spill, uuid.uuid4().hex).touch()
    except FileNotFoundError:
        problem = "does not see"
    except OSError:
        problem = "cannot write to"
    return {**read_library_versions(), "spill": problem}
