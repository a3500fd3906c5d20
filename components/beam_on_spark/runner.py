"""A Beam runner that plans in the driver, as Beam's own in-memory runner does, and executes on Spark.

Each stage that Beam made is one Spark job, and those that wait for nothing run at the same time. What a
GroupByKey groups goes through Spark's shuffle, unless it is so little that a shuffle costs more; everything
else between stages goes through files in the spill folder, of which the driver holds the names.
"""

import contextlib
import functools
import logging
import zlib
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import Pipeline
from apache_beam.portability.api import beam_fn_api_pb2, beam_runner_api_pb2
from apache_beam.portability.common_urns import sdf_components
from apache_beam.runners.common import ENCODED_IMPULSE_VALUE
from apache_beam.runners.portability.fn_api_runner import translations
from apache_beam.runners.portability.fn_api_runner.execution import SAFE_WINDOW_FNS
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner, RunnerResult
from apache_beam.runners.runner import PipelineState
from apache_beam.runners.worker.bundle_processor import DATA_INPUT_URN, DATA_OUTPUT_URN
from apache_beam.utils import proto_utils

from components.beam_on_spark import bundles
from components.beam_on_spark.bundles import Grouping, SideInput, Slice, Spilled, Stage
from components.beam_on_spark.cluster import connect, in_words
from errors import EdgelineError

# What a task reads, unless there are fewer of them than can run at once; and what a blob is, both in bytes.
_OF_A_TASK, _OF_A_BLOB = 64 * 2**20, 2**16
_GROUPED_HERE = 2**20  # up to so many bytes the driver groups itself
_STAGES_AT_ONCE = 16

log = logging.getLogger("edgeline.spark")


class SparkRunner(FnApiRunner):
    """Runs a batch pipeline on Spark: `--runner=components.beam_on_spark.runner.SparkRunner`."""

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> RunnerResult:
        """Plans and runs.

        Raises:
            EdgelineError: Spark cannot be reached, cannot run this, or gave up.
        """
        self._options = options
        return super().run_pipeline(pipeline, options)

    def run_stages(
        self, stage_context: translations.TransformContext, stages: list[translations.Stage]
    ) -> RunnerResult:
        """Runs each stage as a job of Spark, once those are done that write what it reads."""
        for stage in stages:
            for transform in stage.transforms:
                _refuse_state(transform)
        with connect(self._options) as (spark, spill):
            _Run(spark, spill, stage_context, stages).run()
        return RunnerResult(PipelineState.DONE, {})


def _refuse_state(transform: beam_runner_api_pb2.PTransform) -> None:
    if transform.spec.urn in translations.PAR_DO_URNS:
        payload = proto_utils.parse_Bytes(transform.spec.payload, beam_runner_api_pb2.ParDoPayload)
        if payload.state_specs or payload.timer_family_specs:
            raise EdgelineError(
                f"{transform.unique_name} keeps state or sets timers.",
                "On Spark, bundles of one key can be anywhere, and have no state together.",
                "Group by the key instead, or set beam.engine to direct.",
            )


def _ends(stage: translations.Stage, urn: str) -> dict[str, bytes]:
    """The buffers of a stage, by the transform that reads or writes each."""
    return {t.unique_name: t.spec.payload for t in stage.transforms if t.spec.urn == urn}


def _side_inputs(stage: translations.Stage) -> Iterator[tuple[str, str, str]]:
    """Transform, tag and PCollection of each."""
    for transform in stage.transforms:
        if transform.spec.urn in translations.PAR_DO_URNS:
            payload = proto_utils.parse_Bytes(transform.spec.payload, beam_runner_api_pb2.ParDoPayload)
            for tag in payload.side_inputs:
                yield transform.unique_name, tag, transform.inputs[tag]


def _read_by(stage: translations.Stage) -> Iterator[bytes]:
    yield from _ends(stage, DATA_INPUT_URN).values()
    for _, _, pcollection in _side_inputs(stage):
        yield translations.create_buffer_id(pcollection)


@dataclass
class _Run:
    """One pipeline on its way through Spark."""

    spark: Any
    spill: Path
    context: translations.TransformContext
    stages: list[translations.Stage]

    def __post_init__(self) -> None:
        self._files: dict[bytes, list[Spilled]] = {}
        self._over = False  # something failed
        # Of what a splittable DoFn reads, each element is work of its own.
        splittable = sdf_components.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS.urn
        self._fine = {
            buffer
            for stage in self.stages
            if splittable in (t.spec.urn for t in stage.transforms)
            for buffer in _ends(stage, DATA_INPUT_URN).values()
        }

    def run(self) -> None:
        """Runs all stages."""
        writers: dict[bytes, set[translations.Stage]] = {}
        for stage in self.stages:
            for buffer in _ends(stage, DATA_OUTPUT_URN).values():
                writers.setdefault(buffer, set()).add(stage)
        todo = {
            stage: {writer for buffer in _read_by(stage) for writer in writers.get(buffer, ())}
            for stage in self.stages
        }
        running: dict[Future[None], translations.Stage] = {}
        done: set[translations.Stage] = set()
        failed: BaseException | None = None
        with ThreadPoolExecutor(_STAGES_AT_ONCE) as threads:
            try:
                while todo or running:
                    for stage in [stage for stage, needs in todo.items() if needs <= done]:
                        del todo[stage]
                        running[threads.submit(self._stage, stage)] = stage
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        future.result()
                        done.add(running.pop(future))
            except BaseException as error:
                failed, self._over = error, True
                with contextlib.suppress(Exception):  # it may be what failed
                    self.spark.cancelAllJobs()
        if failed:
            raise failed

    def _stage(self, stage: translations.Stage) -> None:
        reads, writes = _ends(stage, DATA_INPUT_URN), _ends(stage, DATA_OUTPUT_URN)
        inputs = [rdd for transform, buffer in reads.items() for rdd in self._input(transform, buffer)]
        if not inputs:
            return
        limits = {name: 0 if buffer in self._fine else _OF_A_BLOB for name, buffer in writes.items()}
        side_inputs = {(transform, tag): self._side_input(of) for transform, tag, of in _side_inputs(stage)}
        descriptor = self._descriptor(stage).SerializeToString()
        task = functools.partial(bundles.run_bundle, Stage(descriptor, limits, side_inputs, str(self.spill)))
        blobs = inputs[0] if len(inputs) == 1 else self.spark.union(inputs)
        failed: Exception | None = None
        written: list[tuple[str, Spilled]] = []
        try:
            written = [] if self._over else blobs.mapPartitions(task).collect()
        except Exception as error:
            failed = self._first_cause(error)
        if failed:
            raise failed  # out here, where it does not drag Java's error along as its context
        for transform, file in written:
            self._files.setdefault(writes[transform], []).append(file)

    def _first_cause(self, error: Exception) -> Exception:
        """What a DoFn raised, or what Spark has to say, without its Java."""
        try:
            pickled, text = pickler.loads((self.spill / bundles.FAILURE).read_bytes())
        except FileNotFoundError:
            return in_words(error)
        log.error("On a worker of Spark: %s", text)
        return pickler.loads(pickled)

    def _input(self, transform: str, buffer: bytes) -> Iterator[Any]:
        """What a transform reads, as RDDs of blobs; none where there is nothing."""
        if buffer == translations.IMPULSE_BUFFER:
            yield self.spark.parallelize([(transform, ENCODED_IMPULSE_VALUE)], 1)
            return
        files = self._files.get(buffer, [])
        if not files:
            return
        kind, name = translations.split_buffer_id(buffer)
        grouping = self._grouping(transform, name) if kind == "group" else None
        size, at_once = sum(file.size for file in files), self.spark.defaultParallelism
        tasks = max(at_once, size // _OF_A_TASK + 1)
        least = 1
        if grouping and size <= _GROUPED_HERE:
            files, least, grouping = [bundles.group(grouping, files, self.spill)], at_once, None
        parts = []
        for file in files:
            slices = file.blobs if buffer in self._fine else max(least, file.size // _OF_A_TASK + 1)
            slices = min(slices, file.blobs)
            parts += [Slice(transform, file.path, first, slices) for first in range(slices)]
        given = self.spark.parallelize(parts, min(len(parts), tasks))
        if not grouping:
            yield given.flatMap(bundles.read)
            return
        keyed = given.mapPartitions(functools.partial(bundles.pairs, grouping))
        grouped = keyed.groupByKey(tasks, zlib.crc32)
        yield grouped.mapPartitions(functools.partial(bundles.groups, grouping))

    def _grouping(self, transform: str, group_by_key: str) -> Grouping:
        components = self.context.components
        proto = components.transforms[group_by_key]
        (before,), (after,) = proto.inputs.values(), proto.outputs.values()
        windowing = components.pcollections[after].windowing_strategy_id
        # Where Beam knows the window function, elements stay bytes that only their DoFn decodes.
        safe = components.windowing_strategies[windowing].window_fn.urn in SAFE_WINDOW_FNS
        coder = {name: self.context.data_channel_coders[name] for name in (before, after)}
        if safe:
            coder = {name: self.context.safe_coders.get(found, found) for name, found in coder.items()}
        needed = beam_runner_api_pb2.Components(
            coders=dict(components.coders), windowing_strategies=dict(components.windowing_strategies)
        )
        return Grouping(needed.SerializeToString(), coder[before], coder[after], windowing, transform)

    def _side_input(self, pcollection: str) -> SideInput:
        files = self._files.get(translations.create_buffer_id(pcollection), [])
        return SideInput(self.context.data_channel_coders[pcollection], tuple(files))

    def _descriptor(self, stage: translations.Stage) -> beam_fn_api_pb2.ProcessBundleDescriptor:
        components, transforms = self.context.components, {}
        for transform in stage.transforms:
            made = transforms[transform.unique_name] = beam_runner_api_pb2.PTransform()
            made.CopyFrom(transform)
            if transform.spec.urn in (DATA_INPUT_URN, DATA_OUTPUT_URN):
                ends = transform.outputs if transform.spec.urn == DATA_INPUT_URN else transform.inputs
                (pcollection,) = ends.values()
                coder = self.context.data_channel_coders[pcollection]
                made.spec.payload = beam_fn_api_pb2.RemoteGrpcPort(coder_id=coder).SerializeToString()
        return beam_fn_api_pb2.ProcessBundleDescriptor(
            id=stage.name,
            transforms=transforms,
            pcollections=dict(components.pcollections),
            coders=dict(components.coders),
            windowing_strategies=dict(components.windowing_strategies),
            environments=dict(components.environments),
        )
