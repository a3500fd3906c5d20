"""TFX's LocalDagRunner, run one node at a time, so that progress shows each step. Imports TFX."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto.orchestration import pipeline_pb2

from edgeline.failures import describe_error
from edgeline.records.events import Event, Planned, StepChanged
from edgeline.records.outcome import Outcome
from edgeline.records.run import Artifact, Step
from edgeline.records.training import remove_finished
from edgeline.workspace.runs import list_files


class StepRunner(LocalDagRunner):
    """A runner of the DAG that sends the events of each step, with the outputs of one that ended well.

    Checkpoints of a training in `checkpoints` are removed once its step is published. With `only`, it runs
    that step alone, and never takes it from the cache.
    """

    def __init__(
        self, run_id: str, tell: Callable[[Event], None], checkpoints: Path, only: str | None = None
    ) -> None:
        super().__init__()
        self._run_id, self._tell, self._checkpoints, self._only = run_id, tell, checkpoints, only
        self.step: str | None = None

    def run_with_ir(
        self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None
    ) -> None:
        """Runs the nodes in order, each as a pipeline of its own within the same run."""
        # The run's id is filled in here for all nodes, so the parent class does not make one for each.
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: self._run_id}
        )
        connections = runner_utils.extract_local_deployment_config(pipeline).metadata_connection_config
        connection = getattr(connections, connections.WhichOneof("connection_config"))
        chosen = [node for node in pipeline.nodes if self._only in (None, node.pipeline_node.node_info.id)]
        self._tell(Planned(tuple(node.pipeline_node.node_info.id for node in chosen)))

        for item in chosen:
            node = item.pipeline_node
            if self._only is not None:
                node.execution_options.caching_options.enable_cache = False
            alone = pipeline_pb2.Pipeline()
            alone.CopyFrom(pipeline)
            del alone.nodes[:]
            alone.nodes.append(item)

            self.step = node.node_info.id
            self._tell(StepChanged(Step(self.step, "running")))
            started = time.monotonic()
            step = Step(self.step, "failed")
            artifacts = tuple[Artifact, ...]()
            try:
                super().run_with_ir(alone, run_options)
                remove_finished(self._checkpoints)
                with metadata.Metadata(connection) as handle:
                    is_cached, artifacts = self._read_outputs(handle, node)
                step = Step(self.step, "cached" if is_cached else "done")
            except Exception as error:
                outcome = Outcome.of_problem(describe_error(error, self.step)).outcome
                step = Step(self.step, outcome) if outcome in ("held", "refused") else step
                raise
            finally:
                seconds = round(time.monotonic() - started, 3)
                self._tell(StepChanged(replace(step, seconds=seconds), artifacts))
        self.step = None

    def _read_outputs(
        self, handle: metadata.Metadata, node: pipeline_pb2.PipelineNode
    ) -> tuple[bool, tuple[Artifact, ...]]:
        """Returns whether the node's outputs came from the cache, and what they are."""
        contexts = [
            handle.store.get_context_by_type_and_name(spec.type.name, spec.name.field_value.string_value)
            for spec in node.contexts.contexts
        ]
        executions = execution_lib.get_executions_associated_with_all_contexts(handle, contexts)
        assert executions, f"ML Metadata knows no execution of {self.step}"
        execution = max(executions, key=lambda execution: execution.id)
        cached: bool = execution.last_known_state == metadata_store_pb2.Execution.CACHED
        # Files of an earlier run were compared with its record before this run.
        return cached, tuple(
            Artifact(node.node_info.id, output, artifact.uri, list_files(artifact.uri))
            for output, artifacts in execution_lib.get_output_artifacts(handle, execution.id).items()
            for artifact in artifacts
        )
