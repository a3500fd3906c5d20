"""Writes TFLite metadata into an edge file, from which Android's and MediaPipe's task libraries run it.

The metadata is a flatbuffer of its own in a buffer of the file, and the labels are in a zip file at its end:
https://ai.google.dev/edge/litert/conversion/tensorflow/metadata. No package that installs beside TensorFlow
has the schema, `metadata_schema.fbs` of TFLite Support, so the tables that are needed are written here.
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeline.labels import join_names, render_labels
from edgeline.records.edge import LABELS_FILE_NAME, UNLIKE
from edgeline.records.workload import Workload

_Table = dict[int, Any]  # the value of each slot
_IDENTIFIER = b"M001"
# Tables, each with its fields in the order of the schema, as far as they are used.
_MODEL = (
    *("name", "description", "version", "subgraph_metadata", "author", "license", "associated_files"),
    "min_parser_version",
)
_GRAPH = ("name", "description", "input_tensor_metadata", "output_tensor_metadata")
_TENSOR = ("name", "description", "dimension_names", "content", "process_units", "stats", "associated_files")
_CONTENT = ("content_properties_type", "content_properties")
_IMAGE = ("color_space",)
_UNIT = ("options_type", "options")
_NORMALIZATION = ("mean", "std")
_STATS = ("max", "min")
_FILE = ("name", "description", "type")
# Members of the schema's enums and unions.
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2
_RGB, _GRAYSCALE = 1, 2
_NORMALIZATION_OPTIONS = 1
_TENSOR_AXIS_LABELS = 2
# An earlier time cannot be in a zip file; the same model gives the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


def write_metadata(path: Path, signature: str, workload: Workload, contract: Mapping[str, Any]) -> None:
    """Adds names, descriptions, labels and normalisation to a .tflite file, and names its signature.

    Args:
        path: The file, with a single signature; it is rewritten.
        signature: The name that the signature gets.
        workload: Has the model's name, the noun of an example, and the labels.
        contract: The content of preprocessing.json; its kind decides how the input is described.
    """
    import flatbuffers
    from ai_edge_litert.schema_py_generated import BufferT, MetadataT, ModelT

    model = ModelT.InitFromPackedBuf(path.read_bytes())
    graph, (signature_def,) = model.subgraphs[0], model.signatureDefs  # other graphs are bodies of loops
    signature_def.signatureKey = signature
    names = {item.tensorIndex: item.name.decode() for item in (*signature_def.inputs, *signature_def.outputs)}
    # Readers that know of no output `unlike` take the first one.
    graph.outputs = sorted(graph.outputs, key=lambda index: names[index] == UNLIKE)
    (source,), outputs = ([names[index] for index in group] for group in (graph.inputs, graph.outputs))
    builder = flatbuffers.Builder()
    description = _describe(workload, contract, source, outputs)
    builder.Finish(_write(builder, description), file_identifier=_IDENTIFIER)
    model.buffers.append(BufferT(data=np.frombuffer(builder.Output(), np.uint8)))
    model.metadata.append(MetadataT("TFLITE_METADATA", len(model.buffers) - 1))
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(LABELS_FILE_NAME, _TIME), render_labels(workload.labels))


def _describe(workload: Workload, contract: Mapping[str, Any], source: str, outputs: Sequence[str]) -> _Table:
    graph = _table(
        _GRAPH,
        input_tensor_metadata=[_describe_input(source, contract)],
        output_tensor_metadata=[_describe_output(name) for name in outputs],
    )
    return _table(
        _MODEL,
        name=workload.name,
        description=f"Tells of a {workload.noun}: {join_names(workload.labels)}.",
        subgraph_metadata=[graph],
        min_parser_version="1.0.0",
    )


def _describe_input(name: str, contract: Mapping[str, Any]) -> _Table:
    kind = contract["kind"]
    if kind != "image":
        text = f"Made as preprocessing.json describes, kind {kind}."
        return _table(_TENSOR, name=name, description=text, content=_FEATURES)
    color = _table(_IMAGE, color_space=_RGB if contract["channels"] == 3 else _GRAYSCALE)
    # The file normalises the levels itself.
    unchanged = _table(_NORMALIZATION, mean=[0.0], std=[1.0])
    return _table(
        _TENSOR,
        name=name,
        description="An upright photo, resized to a square; whole levels, 0 to 255.",
        content=_table(_CONTENT, content_properties_type=_IMAGE_PROPERTIES, content_properties=color),
        process_units=[_table(_UNIT, options_type=_NORMALIZATION_OPTIONS, options=unchanged)],
        stats=_table(_STATS, max=[255.0], min=[0.0]),
    )


def _describe_output(name: str) -> _Table:
    stats = _table(_STATS, max=[1.0], min=[0.0])
    if name == UNLIKE:
        text = "How unlike the photo is to those of training; 0.5 or more is unlike."
        return _table(_TENSOR, name=name, description=text, content=_FEATURES, stats=stats)
    labels = _table(_FILE, name=LABELS_FILE_NAME, description="A label a line.", type=_TENSOR_AXIS_LABELS)
    return _table(
        _TENSOR,
        name=name,
        description="The probability of each label.",
        content=_FEATURES,
        stats=stats,
        associated_files=[labels],
    )


def _table(names: Sequence[str], **fields: Any) -> _Table:
    """Returns the fields of a table by their slots; whole numbers are members of an enum, one byte."""
    return {names.index(name): value for name, value in fields.items()}


_FEATURES = _table(_CONTENT, content_properties_type=_FEATURE_PROPERTIES, content_properties={})


def _write(builder: Any, value: Any) -> int:
    """Writes a text, a table, or a list of floats or tables; returns its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, list):
        if isinstance(value[0], float):
            return builder.CreateNumpyVector(np.array(value, np.float32))
        offsets = [_write(builder, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    slots = {slot: item if isinstance(item, int) else _write(builder, item) for slot, item in value.items()}
    builder.StartObject(max(value, default=-1) + 1)
    for slot, item in slots.items():
        if isinstance(value[slot], int):
            builder.PrependUint8Slot(slot, item, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, item, 0)
    return builder.EndObject()
