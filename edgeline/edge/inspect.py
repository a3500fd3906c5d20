"""Reads the operations, dtypes and tensor contracts of an edge file from its flatbuffer.

A converter that succeeds may still have silently left operations in float, or added Flex operations that no
phone has. This module reads the file by its schema, without an interpreter or TensorFlow.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeline.edge.runtimes import find_least_runtime, find_newer
from edgeline.edge.variants import VARIANTS, Variant
from edgeline.errors import EdgelineError
from edgeline.labels import join_names
from edgeline.records.edge import UNLIKE, FileReport, TensorContract

# https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
_IDENTIFIER = b"TFL3"


def inspect(path: Path) -> FileReport:
    """Reads a .tflite file. Raises EdgelineError if it is not a TFLite flatbuffer, or is damaged."""
    from ai_edge_litert.schema_py_generated import ModelT

    content = path.read_bytes()
    if content[4:8] != _IDENTIFIER:
        raise EdgelineError(
            f"{path.name} ({len(content):,} bytes) is not a TFLite file.",
            f"Its identifier is {content[4:8]!r}, not {_IDENTIFIER!r}.",
            "Convert the model again.",
        )
    try:
        return _make_report(ModelT.InitFromPackedBuf(content))
    except Exception as error:  # invalid offsets raise any of a dozen exceptions
        raise EdgelineError(
            f"{path.name} ({len(content):,} bytes) cannot be read with TFLite's schema.",
            f"The file is damaged ({type(error).__name__}: {error}).",
            "Convert the model again.",
        ) from error


def find_problems(report: FileReport, variant: str) -> list[str]:
    """Lists, a sentence each, why a file does not fit its variant, or cannot run on a phone."""
    expected = VARIANTS[variant]
    reasons = []
    if report.flex_ops:
        reasons.append(f"The file needs TensorFlow's Flex delegate for {', '.join(report.flex_ops)}.")
    if report.custom_ops:
        reasons.append(f"The file has custom operations, unknown to phones: {', '.join(report.custom_ops)}.")
    for kind, tensors in (("input", report.inputs), ("output", report.outputs)):
        if sum(kind == "input" or tensor.name != UNLIKE for tensor in tensors) != 1:
            reasons.append(f"The file has {len(tensors)} {kind}s instead of one.")
        for tensor in tensors:
            reasons.extend(_find_tensor_problems(kind, tensor, expected))
    share = report.weight_dtypes.get(expected.weight_dtype, 0.0)
    if share < expected.min_weight_share:
        parts = ", ".join(f"{dtype} {part:.0%}" for dtype, part in report.weight_dtypes.items())
        reasons.append(
            f"Only {share:.0%} of the weights' bytes are {expected.weight_dtype}; {variant} needs at least"
            f" {expected.min_weight_share:.0%} (found: {parts or 'no weights'})."
        )
    floats = sum(count for dtype, count in report.tensor_dtypes.items() if dtype.startswith("float"))
    if expected.integer_only and floats:
        total = sum(report.tensor_dtypes.values())
        reasons.append(
            f"The file is not fully {variant}: {floats} of its {total} tensors are floating point."
        )
    return reasons


def find_runtime_problems(report: FileReport, oldest: str | None) -> list[str]:
    """Lists, a sentence, what the oldest runtime that has to run a file lacks; empty if there is no such."""
    newer = find_newer(report.op_versions, oldest) if oldest else []
    if not newer:
        return []
    needed = f"TFLite {report.least_runtime}" if report.least_runtime else "a TFLite that is not known"
    return [f"The file has {join_names(newer)}, which needs {needed}; edge.oldest_runtime is {oldest}."]


def _find_tensor_problems(kind: str, tensor: TensorContract, variant: Variant) -> Iterator[str]:
    if -1 in tensor.shape:
        yield f"The {kind} {tensor.name} has the open shape {list(tensor.shape)}; phones need a fixed one."
    elif not tensor.shape or tensor.shape[0] != 1:
        yield f"The {kind} {tensor.name} has the shape {list(tensor.shape)}, but the batch must be 1."
    if kind == "input" and tensor.dtype == "int32":
        return  # word ids, which no variant quantises
    if kind == "input" and tensor.dtype == "uint8":
        if variant.integer_only and (tensor.scale, tensor.zero_point) != (1, 0):
            yield f"The input {tensor.name} rounds the levels of a photo: its scale is {tensor.scale}, not 1."
        return
    allowed = ("int8", "uint8") if variant.integer_only else (variant.io_dtype,)
    if tensor.dtype not in allowed:
        yield f"The {kind} {tensor.name} is {tensor.dtype} instead of {variant.io_dtype}."
    elif variant.integer_only and not tensor.scale:
        yield (
            f"The {kind} {tensor.name} is {tensor.dtype} without a quantisation scale, so its values mean"
            " nothing."
        )


def _make_report(model: Any) -> FileReport:
    from ai_edge_litert import schema_py_generated as schema

    op_names = _map_names(schema.BuiltinOperator)
    dtypes = _map_names(schema.TensorType)
    ops: Counter[str] = Counter()
    versions: dict[str, int] = {}
    custom: set[str] = set()
    tensors: Counter[str] = Counter()
    weights: dict[int, tuple[str, int]] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            # Codes above 126 are in a field that was added later, smaller ones in both.
            builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
            name = op_names[builtin]
            if builtin == schema.BuiltinOperator.CUSTOM:
                name = code.customCode.decode()
                custom.add(name)
            else:
                versions[name] = max(code.version, versions.get(name, 0))
            ops[name] += 1
        for tensor in graph.tensors:
            dtype = dtypes[tensor.type].lower()
            tensors[dtype] += 1
            if (data := model.buffers[tensor.buffer].data) is not None:
                weights[tensor.buffer] = (dtype, len(data))
    sizes: Counter[str] = Counter()
    for dtype, data_bytes in weights.values():
        sizes[dtype] += data_bytes
    total = sum(sizes.values())
    graph, (signature, *_) = model.subgraphs[0], model.signatureDefs or [None]
    maps = (*signature.inputs, *signature.outputs) if signature else ()
    names = {entry.tensorIndex: entry.name for entry in maps}

    def make_contracts(indices: Iterable[int]) -> tuple[TensorContract, ...]:
        return tuple(_make_contract(graph.tensors[i], names.get(i), dtypes) for i in indices)

    return FileReport(
        ops=dict(ops.most_common()),
        custom_ops=tuple(sorted(name for name in custom if not name.startswith("Flex"))),
        flex_ops=tuple(sorted(name for name in custom if name.startswith("Flex"))),
        inputs=make_contracts(graph.inputs),
        outputs=make_contracts(graph.outputs),
        weight_dtypes={dtype: part / total for dtype, part in sizes.most_common()},
        tensor_dtypes=dict(tensors.most_common()),
        op_versions=dict(sorted(versions.items())),
        least_runtime=find_least_runtime(versions),
    )


def _make_contract(tensor: Any, name: bytes | None, dtypes: Mapping[int, str]) -> TensorContract:
    sizes = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    levels = tensor.quantization
    is_quantised = levels is not None and levels.scale is not None and len(levels.scale) == 1
    return TensorContract(
        name=(name or tensor.name).decode(),
        shape=tuple(int(size) for size in (sizes if sizes is not None else ())),
        dtype=dtypes[tensor.type].lower(),
        scale=float(levels.scale[0]) if is_quantised else None,
        zero_point=int(levels.zeroPoint[0]) if is_quantised else None,
    )


def _map_names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}
