"""The spans from which on a table has a column that was added later, as the curated schema notes them."""

from typing import TYPE_CHECKING

from edgeline.records.ingest import SPAN_NAME

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

_SINCE = "since "


def format_since(span: str) -> str:
    """Returns the annotation of a feature of the schema that spans have from this one on, by its name."""
    return f'annotation {{ tag: "{_SINCE}{span}" }}'


def read_since(schema: "schema_pb2.Schema") -> dict[str, int]:
    """Returns the number of the first span with a feature, for each that was added later."""
    first = dict[str, int]()
    for feature in schema.feature:
        for tag in feature.annotation.tag:
            if match := SPAN_NAME.fullmatch(tag.removeprefix(_SINCE)):
                first[feature.name] = int(match[1])
    return first
