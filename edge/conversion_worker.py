"""The process that converts: one variant after the other, with a journal of how each ended.

Started by `edge.convert` as `python -m edge.conversion_worker`.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.runtime import load_interpreter
from edge.variants import VARIANTS, Variant
from errors import EdgelineError
from records.edge import Conversion
from records.json_file import encode

_REASON_LINES = 8


def main(argv: Sequence[str]) -> None:
    """Takes what `edge.convert` gives; one line of JSON in the journal for each variant that ended."""
    saved_model, signature, calibration, output, journal, timeout, *variants = argv
    make: Callable[[Variant], bytes] | None = None
    for variant in (VARIANTS[name] for name in variants):
        # Ends the process, wherever the converter is; nobody handles this signal.
        signal.setitimer(signal.ITIMER_REAL, float(timeout))
        error = None
        try:
            if make is None:
                make = _converter(Path(saved_model), signature, Path(calibration))
            _write_and_run(Path(output) / variant.file_name, make(variant))
        except Exception as caught:  # whatever one variant meets, the others are still made
            error = _summary(caught)
        file = None if error else variant.file_name
        with open(journal, "ab") as entries:
            entries.write(encode(Conversion(variant.name, file, error)) + b"\n")
    signal.setitimer(signal.ITIMER_REAL, 0)


def _converter(saved_model: Path, signature: str, calibration: Path) -> Callable[[Variant], bytes]:
    """Loads the SavedModel and fixes its batch to 1."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(saved_model))
    serve = loaded.signatures[signature]
    ((name, spec),) = serve.structured_input_signature[1].items()
    shape = [1, *spec.shape.as_list()[1:]]
    if None in shape or spec.dtype not in (tf.float32, tf.int32):
        raise EdgelineError(
            f"Input {name!r} of signature {signature!r} is {spec.dtype.name} {spec.shape.as_list()}.",
            "An edge file has fixed shapes, and only its batch may be open in the SavedModel.",
            "Export the signature with float32 or int32 [None, ...] of fixed sizes.",
        )

    # Converting the signature as a concrete function: from_saved_model aborts, or writes wrong weights
    # without a word, on Keras 3 models that were saved through tf.Module.
    @tf.function(input_signature=[tf.TensorSpec(shape, spec.dtype, name=name)])
    def batch_of_one(inputs: Any) -> Any:
        return serve(**{name: inputs})

    concrete = batch_of_one.get_concrete_function()

    def representative_dataset() -> Iterator[list[NDArray[Any]]]:
        examples = np.load(calibration, mmap_mode="r")
        if list(examples.shape[1:]) != shape[1:]:
            raise EdgelineError(
                f"The calibration examples are {list(examples.shape[1:])} each.",
                f"The model takes {shape[1:]}.",
                "Calibrate with transformed training examples.",
            )
        for example in examples:
            yield [example[np.newaxis].astype(spec.dtype.as_numpy_dtype)]

    def make(variant: Variant) -> bytes:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], loaded)
        if variant.name != "fp32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant.name == "fp16":
            converter.target_spec.supported_types = [tf.float16]
        if variant.integer_only:
            # This set alone: most operations without an integer kernel then fail here. A few (SIN, say) are
            # left in float without a word even so, which edge.inspect finds.
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_output_type = tf.int8
            if spec.dtype == tf.float32:  # ids of words stay whole numbers
                converter.inference_input_type = tf.int8
            converter.representative_dataset = representative_dataset
        return bytes(converter.convert())

    return make


def _write_and_run(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        _run_once(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _run_once(path: Path) -> None:
    """Runs the file: one that converts without a word can still crash its reader, which is harmless here."""
    interpreter, _ = load_interpreter(path)
    for tensor in interpreter.get_input_details():
        interpreter.set_tensor(tensor["index"], np.zeros(tensor["shape"], tensor["dtype"]))
    interpreter.invoke()


def _summary(error: Exception) -> str:
    """Leaves the converter's reasons without the source locations, which point into Python's own files."""
    if isinstance(error, EdgelineError):
        return str(error)
    reasons = re.findall(r"(?:error|Error code): (.+)", str(error))
    lines = dict.fromkeys(reasons or str(error).strip().splitlines()[:_REASON_LINES])
    return f"{type(error).__name__}: " + "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
