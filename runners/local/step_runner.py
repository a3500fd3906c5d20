"""TFX's LocalDagRunner, one node at a time, so that each step can be seen while it runs. Imports TFX."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from runners.local.artifact_records import ArtifactRecord, list_files
from runners.shared.events import Event


class StepRunner(LocalDagRunner):
    """Runs a DAG and reports each step and what it put out.

    Args:
        run_id: Names the run in ML Metadata.
        tell: Gets the events `plan` and `step`.
        record: Gets each output artifact of each step that ended well.
    """

    def __init__(
        self, run_id: str, tell: Callable[[Event], None], record: Callable[[ArtifactRecord], None]
    ) -> None:
        super().__init__()
        self._run_id, self._tell, self._record = run_id, tell, record
        self.step: str | None = None

    def run_with_ir(
        self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None
    ) -> None:
        """Runs the nodes in order, each as a pipeline of its own within the same run."""
        # Fixed here for all nodes; the parent class finds nothing left to fill in.
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: self._run_id}
        )
        nodes = [node.pipeline_node for node in pipeline.nodes]
        self._tell({"event": "plan", "steps": [node.node_info.id for node in nodes]})
        for number, node in enumerate(nodes):
            alone = pipeline_pb2.Pipeline()
            alone.CopyFrom(pipeline)
            del alone.nodes[:]
            alone.nodes.append(pipeline.nodes[number])
            self.step = node.node_info.id
            self._tell({"event": "step", "step": self.step, "state": "running"})
            started = time.monotonic()
            state = "failed"
            try:
                super().run_with_ir(alone, run_options)
                state = "done"
                with _store(pipeline) as store:
                    cached = self._look_at_outputs(store, node)
                state = "cached" if cached else "done"
            finally:
                seconds = round(time.monotonic() - started, 3)
                self._tell({"event": "step", "step": self.step, "state": state, "seconds": seconds})
        self.step = None

    def _look_at_outputs(self, store: MetadataStore, node: pipeline_pb2.PipelineNode) -> bool:
        """Records the node's outputs; returns whether they came from the cache."""
        found = None
        for spec in node.contexts.contexts:
            context = store.get_context_by_type_and_name(spec.type.name, spec.name.field_value.string_value)
            executions = {e.id: e for e in store.get_executions_by_context(context.id)}
            found = (
                executions if found is None else {key: found[key] for key in found.keys() & executions.keys()}
            )
        assert found, f"ML Metadata knows no execution of {self.step}"
        execution = found[max(found)]
        cached = execution.last_known_state == metadata_store_pb2.Execution.CACHED
        events = [
            event
            for event in store.get_events_by_execution_ids([execution.id])
            if event.type == metadata_store_pb2.Event.OUTPUT
        ]
        artifacts = {a.id: a for a in store.get_artifacts_by_id([event.artifact_id for event in events])}
        for event in events:
            artifact = artifacts[event.artifact_id]
            self._record(
                ArtifactRecord(
                    step=node.node_info.id,
                    key=event.path.steps[0].key,
                    uri=artifact.uri,
                    properties={name: _value(value) for name, value in artifact.custom_properties.items()},
                    # What an earlier run wrote was compared with its record before this run.
                    files=None if cached else list_files(artifact.uri),
                )
            )
        return cached


def _value(value: metadata_store_pb2.Value) -> Any:
    kind = value.WhichOneof("value")
    content = getattr(value, kind)
    return content if isinstance(content, int | float | str | bool) else str(content)


@contextmanager
def _store(pipeline: pipeline_pb2.Pipeline) -> Iterator[MetadataStore]:
    connections = runner_utils.extract_local_deployment_config(pipeline).metadata_connection_config
    connection = getattr(connections, connections.WhichOneof("connection_config"))
    with metadata.Metadata(connection) as handle:
        yield handle.store
