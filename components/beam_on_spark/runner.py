"""A Beam runner that plans in the driver, as Beam's own in-memory runner does, and executes on Spark.

Each stage that Beam made is one Spark job. What a GroupByKey groups goes through Spark's shuffle, everything
else between stages through files in the spill folder: the driver holds their names and no element.
"""

import functools
import logging
import zlib
from collections.abc import Iterator
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
        """Runs the stages in their order, each as a job of Spark."""
        for stage in stages:
            for transform in stage.transforms:
                _refuse_state(transform)
        with connect(self._options) as (spark, spill):
            run = _Run(spark, spill, stage_context, stages)
            for stage in stages:
                run.stage(stage)
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


@dataclass
class _Run:
    """One pipeline on its way through Spark."""

    spark: Any
    spill: Path
    context: translations.TransformContext
    stages: list[translations.Stage]

    def __post_init__(self) -> None:
        self._files: dict[bytes, list[Spilled]] = {}
        # Of what a splittable DoFn reads, each element is work of its own.
        splittable = sdf_components.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS.urn
        self._fine = {
            t.spec.payload
            for stage in self.stages
            if splittable in (t.spec.urn for t in stage.transforms)
            for t in stage.transforms
            if t.spec.urn == DATA_INPUT_URN
        }

    def stage(self, stage: translations.Stage) -> None:
        """Runs one stage; its files are there afterwards."""
        reads = {t.unique_name: t.spec.payload for t in stage.transforms if t.spec.urn == DATA_INPUT_URN}
        writes = {t.unique_name: t.spec.payload for t in stage.transforms if t.spec.urn == DATA_OUTPUT_URN}
        inputs = [rdd for transform, buffer in reads.items() for rdd in self._input(transform, buffer)]
        if not inputs:
            return
        limits = {name: 0 if buffer in self._fine else _OF_A_BLOB for name, buffer in writes.items()}
        descriptor, side_inputs = self._descriptor(stage).SerializeToString(), dict(self._side_inputs(stage))
        task = functools.partial(bundles.run_bundle, Stage(descriptor, limits, side_inputs, str(self.spill)))
        blobs = inputs[0] if len(inputs) == 1 else self.spark.union(inputs)
        failed, written = None, []
        try:
            written = blobs.mapPartitions(task).collect()
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
        size, at_once = sum(file.size for file in files), self.spark.defaultParallelism
        tasks = max(at_once, size // _OF_A_TASK + 1)
        parts = [
            Slice(transform, file.path, first, step)
            for file in files
            for step in [file.blobs if buffer in self._fine else min(file.blobs, file.size // _OF_A_TASK + 1)]
            for first in range(step)
        ]
        given = self.spark.parallelize(parts, min(len(parts), tasks))
        if translations.split_buffer_id(buffer)[0] != "group":
            yield given.flatMap(bundles.read)
            return
        grouping = self._grouping(transform, translations.split_buffer_id(buffer)[1])
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

    def _side_inputs(self, stage: translations.Stage) -> Iterator[tuple[tuple[str, str], SideInput]]:
        for transform in stage.transforms:
            if transform.spec.urn in translations.PAR_DO_URNS:
                payload = proto_utils.parse_Bytes(transform.spec.payload, beam_runner_api_pb2.ParDoPayload)
                for tag in payload.side_inputs:
                    name = transform.inputs[tag]
                    files = self._files.get(translations.create_buffer_id(name), [])
                    coder = self.context.data_channel_coders[name]
                    yield (transform.unique_name, tag), SideInput(coder, tuple(files))

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
