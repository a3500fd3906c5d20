"""Brings the curated schema of a workload into the DAG.

TFX's own ImportSchemaGen takes a path: its cache would not see an edited file, and on a cluster the path
would have to exist in the step's container. This component takes the schema's text.
"""

from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import Channel, artifact_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Schema


class CuratedSchemaExecutor(BaseExecutor):
    """Writes `schema.pbtxt`, the file name that TFX's readers of a Schema artifact expect."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `CuratedSchema`."""
        folder = Path(artifact_utils.get_single_uri(output_dict["schema"]))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "schema.pbtxt").write_text(exec_properties["text"], encoding="utf-8")


class CuratedSchemaSpec(ComponentSpec):
    """Parameters and channels of `CuratedSchema`."""

    PARAMETERS = {"text": ExecutionParameter(type=str)}
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {"schema": ChannelParameter(type=Schema)}


class CuratedSchema(BaseComponent):
    """Puts out the curated schema.

    Args:
        text: The schema as a text protocol buffer.
    """

    SPEC_CLASS = CuratedSchemaSpec
    EXECUTOR_SPEC = ExecutorClassSpec(CuratedSchemaExecutor)

    def __init__(self, text: str) -> None:
        super().__init__(CuratedSchemaSpec(text=text, schema=Channel(type=Schema)))
