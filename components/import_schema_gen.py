"""Brings the curated schema of a workload into the DAG.

TFX's own ImportSchemaGen takes a path: its cache would not see an edited file, and on a cluster the path
would have to exist in the step's container. This component takes the schema's text.
"""

from pathlib import Path

from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Schema


@component
def ImportSchemaGen(schema: OutputArtifact[Schema], text: Parameter[str]) -> None:
    """Puts out the curated schema as `schema.pbtxt`, the name that TFX's readers of a Schema expect."""
    folder = Path(schema.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.pbtxt").write_text(text, encoding="utf-8")
