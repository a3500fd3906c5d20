"""A Beam runner that plans in the driver, as Beam's own in-memory runner does, and executes on Spark.

Each of Beam's stages is one Spark job, and stages that wait for nothing run at the same time. The input of a
GroupByKey goes through Spark's shuffle, unless it is so little that a shuffle costs more; all other data
between stages goes through files in the spill folder, whose names the driver holds.
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
from components.beam_on_spark.cluster import connect, explain_error
from edgeline.errors import EdgelineError

# The bytes that a task reads, fewer if not all tasks that can run at once had work, and the bytes of a blob.
_TASK_BYTES, _BLOB_BYTES = 64 * 2**20, 2**16
_MOST_GROUPED_BY_DRIVER = 2**20  # in bytes
_STAGES_AT_ONCE = 16

log = logging.getLogger("edgeline.spark")


class SparkRunner(FnApiRunner):
    """Runs a batch pipeline on Spark: `--runner=components.beam_on_spark.runner.SparkRunner`."""

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> RunnerResult:
        """Plans and runs the pipeline.

        Raises:
            EdgelineError: Spark cannot be reached, cannot run this, or gave up.
        """
        self._options = options
        return super().run_pipeline(pipeline, options)

    def run_stages(
        self, stage_context: translations.TransformContext, stages: list[translations.Stage]
    ) -> RunnerResult:
        """Runs each stage as a Spark job, once the stages that write its inputs are done."""
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
                "On Spark, bundles of one key may run on different workers, which share no state.",
                "Group by the key instead, or set beam.engine to direct.",
            )


def _list_buffers(stage: translations.Stage, urn: str) -> dict[str, bytes]:
    """Returns the buffers of a stage, by the transform that reads or writes each."""
    return {t.unique_name: t.spec.payload for t in stage.transforms if t.spec.urn == urn}


def _list_side_inputs(stage: translations.Stage) -> Iterator[tuple[str, str, str]]:
    """Yields transform, tag and PCollection of each side input."""
    for transform in stage.transforms:
        if transform.spec.urn in translations.PAR_DO_URNS:
            payload = proto_utils.parse_Bytes(transform.spec.payload, beam_runner_api_pb2.ParDoPayload)
            for tag in payload.side_inputs:
                yield transform.unique_name, tag, transform.inputs[tag]


def _list_inputs(stage: translations.Stage) -> Iterator[bytes]:
    yield from _list_buffers(stage, DATA_INPUT_URN).values()
    for _, _, pcollection in _list_side_inputs(stage):
        yield translations.create_buffer_id(pcollection)


@dataclass
class _Run:
    """The run of one pipeline on Spark."""

    spark: Any
    spill: Path
    context: translations.TransformContext
    stages: list[translations.Stage]

    def __post_init__(self) -> None:
        self._files: dict[bytes, list[Spilled]] = {}
        self._has_failed = False
        # Each element that a splittable DoFn reads is work of its own.
        splittable = sdf_components.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS.urn
        self._split_buffers: set[bytes] = set()
        for stage in self.stages:
            if splittable in (transform.spec.urn for transform in stage.transforms):
                self._split_buffers.update(_list_buffers(stage, DATA_INPUT_URN).values())

    def run(self) -> None:
        """Runs all stages."""
        writers: dict[bytes, set[translations.Stage]] = {}
        for stage in self.stages:
            for buffer in _list_buffers(stage, DATA_OUTPUT_URN).values():
                writers.setdefault(buffer, set()).add(stage)
        todo = {
            stage: {writer for buffer in _list_inputs(stage) for writer in writers.get(buffer, ())}
            for stage in self.stages
        }
        running: dict[Future[None], translations.Stage] = {}
        finished: set[translations.Stage] = set()
        failed: BaseException | None = None
        with ThreadPoolExecutor(_STAGES_AT_ONCE) as threads:
            try:
                while todo or running:
                    for stage in [stage for stage, needs in todo.items() if needs <= finished]:
                        del todo[stage]
                        running[threads.submit(self._run_stage, stage)] = stage
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        future.result()
                        finished.add(running.pop(future))
            except BaseException as error:
                failed, self._has_failed = error, True
                with contextlib.suppress(Exception):  # Spark itself may have failed
                    self.spark.cancelAllJobs()
        if failed:
            raise failed

    def _run_stage(self, stage: translations.Stage) -> None:
        reads, writes = _list_buffers(stage, DATA_INPUT_URN), _list_buffers(stage, DATA_OUTPUT_URN)
        inputs = [rdd for transform, buffer in reads.items() for rdd in self._read_input(transform, buffer)]
        if not inputs:
            return
        limits = {
            name: 0 if buffer in self._split_buffers else _BLOB_BYTES for name, buffer in writes.items()
        }
        side_inputs = {(name, tag): self._make_side_input(key) for name, tag, key in _list_side_inputs(stage)}
        descriptor = self._make_descriptor(stage).SerializeToString()
        task = functools.partial(bundles.run_bundle, Stage(descriptor, limits, side_inputs, str(self.spill)))
        blobs = inputs[0] if len(inputs) == 1 else self.spark.union(inputs)
        failed: Exception | None = None
        files: list[tuple[str, Spilled]] = []
        try:
            files = [] if self._has_failed else blobs.mapPartitions(task).collect()
        except Exception as error:
            failed = self._find_cause(error)
        if failed:
            raise failed  # raised outside of `except`, so that Java's error is not its context
        for transform, file in files:
            self._files.setdefault(writes[transform], []).append(file)

    def _find_cause(self, error: Exception) -> Exception:
        """Returns the exception of a DoFn, or else the error of Spark without its Java."""
        try:
            failure, text = bundles.read_failure(self.spill)
        except FileNotFoundError:
            return explain_error(error)
        # An attempt that Spark repeated with success leaves its file too.
        if text.rstrip().rpartition("\n")[2] not in str(error):
            return explain_error(error)
        log.error("On a Spark worker: %s", text)
        return failure

    def _read_input(self, transform: str, buffer: bytes) -> Iterator[Any]:
        """Yields the input of a transform as RDDs of blobs; none if it is empty."""
        if buffer == translations.IMPULSE_BUFFER:
            yield self.spark.parallelize([(transform, ENCODED_IMPULSE_VALUE)], 1)
            return
        files = self._files.get(buffer, [])
        if not files:
            return
        kind, name = translations.split_buffer_id(buffer)
        grouping = self._make_grouping(transform, name) if kind == "group" else None
        size = sum(file.size for file in files)
        at_once = self.spark.defaultParallelism
        tasks = max(at_once, size // _TASK_BYTES + 1)
        least = 1

        if grouping and size <= _MOST_GROUPED_BY_DRIVER:
            files, least, grouping = [bundles.group_in_memory(grouping, files, self.spill)], at_once, None
        parts = []
        for file in files:
            by_size = max(least, file.size // _TASK_BYTES + 1)
            step = file.blobs if buffer in self._split_buffers else min(by_size, file.blobs)
            parts += [Slice(transform, file.path, first, step) for first in range(step)]
        slices = self.spark.parallelize(parts, min(len(parts), tasks))
        if not grouping:
            yield slices.flatMap(bundles.read_slice)
            return
        keyed = slices.mapPartitions(functools.partial(bundles.read_pairs, grouping))
        grouped = keyed.groupByKey(tasks, zlib.crc32)
        yield grouped.mapPartitions(functools.partial(bundles.encode_groups, grouping))

    def _make_grouping(self, transform: str, group_by_key: str) -> Grouping:
        components = self.context.components
        proto = components.transforms[group_by_key]
        (before,), (after,) = proto.inputs.values(), proto.outputs.values()
        windowing = components.pcollections[after].windowing_strategy_id
        # If Beam knows the window function, elements stay bytes that only their DoFn decodes.
        is_safe = components.windowing_strategies[windowing].window_fn.urn in SAFE_WINDOW_FNS
        coders = {name: self.context.data_channel_coders[name] for name in (before, after)}
        if is_safe:
            coders = {name: self.context.safe_coders.get(coder, coder) for name, coder in coders.items()}
        needed = beam_runner_api_pb2.Components(
            coders=dict(components.coders), windowing_strategies=dict(components.windowing_strategies)
        )
        return Grouping(needed.SerializeToString(), coders[before], coders[after], windowing, transform)

    def _make_side_input(self, pcollection: str) -> SideInput:
        files = self._files.get(translations.create_buffer_id(pcollection), [])
        return SideInput(self.context.data_channel_coders[pcollection], tuple(files))

    def _make_descriptor(self, stage: translations.Stage) -> beam_fn_api_pb2.ProcessBundleDescriptor:
        components, transforms = self.context.components, {}
        for transform in stage.transforms:
            copy = transforms[transform.unique_name] = beam_runner_api_pb2.PTransform()
            copy.CopyFrom(transform)
            if transform.spec.urn in (DATA_INPUT_URN, DATA_OUTPUT_URN):
                ends = transform.outputs if transform.spec.urn == DATA_INPUT_URN else transform.inputs
                (pcollection,) = ends.values()
                coder = self.context.data_channel_coders[pcollection]
                copy.spec.payload = beam_fn_api_pb2.RemoteGrpcPort(coder_id=coder).SerializeToString()
        return beam_fn_api_pb2.ProcessBundleDescriptor(
            id=stage.name,
            transforms=transforms,
            pcollections=dict(components.pcollections),
            coders=dict(components.coders),
            windowing_strategies=dict(components.windowing_strategies),
            environments=dict(components.environments),
        )
