"""The conversion process: makes one variant after the other and records each result in a journal.

`trainer_module.export.convert` starts it as `python -m trainer_module.export.conversion_worker`.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeline.edge.interpreter import load_interpreter
from edgeline.edge.variants import VARIANTS, Variant
from edgeline.errors import EdgelineError
from edgeline.records.edge import Conversion
from edgeline.records.json_file import encode

_REASON_LINES = 8
_DENSE_PER_TENSOR = "_experimental_disable_per_channel_quantization_for_dense_layers"
# Ranges of a quantised input that are tried, as powers of a half of that of the calibration examples.
_HALVINGS = np.arange(0, 5, 0.5)


def main(argv: Sequence[str]) -> None:
    """Takes the arguments of `export.convert`; writes one line of JSON to the journal per variant."""
    saved_model, signature, calibration, output, journal, timeout, oldest_runtime, *variants = argv
    convert: Callable[[Variant], bytes] | None = None
    for variant in (VARIANTS[name] for name in variants):
        # No handler is set for this signal, so it ends the process, whatever the converter is doing. CPU time
        # counts: on a busy machine the same variants are made.
        signal.setitimer(signal.ITIMER_PROF, float(timeout))
        error = None
        try:
            if convert is None:
                convert = _load_converter(
                    Path(saved_model), signature, Path(calibration), bool(oldest_runtime)
                )
            _write_and_run(Path(output) / variant.file_name, convert(variant))
        except Exception as caught:  # a variant that fails must not stop the others
            error = _summarise(caught)
        file = None if error else variant.file_name
        with open(journal, "ab") as entries:
            entries.write(encode(Conversion(variant.name, file, error)) + b"\n")
    signal.setitimer(signal.ITIMER_PROF, 0)


def _load_converter(
    saved_model: Path, signature: str, calibration: Path, dense_per_tensor: bool
) -> Callable[[Variant], bytes]:
    """Loads the SavedModel with its batch fixed to 1; returns a function that converts it to a variant.

    If the calibration examples are uint8, the file takes uint8 too, and gives uint8 where it gives int8
    otherwise, as Android's and MediaPipe's readers of photos expect.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(saved_model))
    serve = loaded.signatures[signature]
    ((name, spec),) = serve.structured_input_signature[1].items()
    shape = [1, *spec.shape.as_list()[1:]]
    if None in shape or spec.dtype not in (tf.float32, tf.int32):
        raise EdgelineError(
            f"Input {name!r} of signature {signature!r} is {spec.dtype.name} {spec.shape.as_list()}.",
            "An edge file has fixed shapes; in the SavedModel only the batch dimension may be open.",
            "Export the signature as float32 or int32 [None, ...], with all other sizes fixed.",
        )
    examples = np.load(calibration, mmap_mode="c")
    takes_levels = examples.dtype == np.uint8
    if takes_levels:
        # Calibrated on both ends, a step of the quantised input is one level: nothing is rounded.
        examples[0].flat[:2] = 0, 255

    # The signature is converted as a concrete function: from_saved_model aborts, or silently writes wrong
    # weights, on Keras 3 models that were saved through tf.Module.
    def trace(dtype: Any) -> Any:
        @tf.function(input_signature=[tf.TensorSpec(shape, dtype, name=name)], autograph=False)
        def batch_of_one(inputs: Any) -> Any:
            return serve(**{name: tf.cast(inputs, spec.dtype)})

        return batch_of_one.get_concrete_function()

    def choose_calibration() -> NDArray[Any]:
        if list(examples.shape[1:]) != shape[1:]:
            raise EdgelineError(
                f"Each calibration example has the shape {list(examples.shape[1:])}.",
                f"The model takes {shape[1:]}.",
                "Calibrate with transformed training examples.",
            )
        if takes_levels or spec.dtype != tf.float32:
            return examples
        return _limit(examples, lambda inputs: serve(**{name: tf.constant(inputs)}))

    def convert(variant: Variant) -> bytes:
        # An integer-only file quantises its float input; a cast would stay outside of that.
        dtype = tf.uint8 if takes_levels and not variant.integer_only else spec.dtype
        converter = tf.lite.TFLiteConverter.from_concrete_functions([trace(dtype)], loaded)
        # Converters without this attribute quantise dense layers per tensor anyway.
        setattr(converter, _DENSE_PER_TENSOR, dense_per_tensor)
        if variant.name != "fp32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant.name == "fp16":
            converter.target_spec.supported_types = [tf.float16]
        if variant.integer_only:
            # With only this set, most operations without an integer kernel fail here. A few, such as SIN,
            # silently stay float; edge.inspect finds those.
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_output_type = tf.uint8 if takes_levels else tf.int8
            if spec.dtype == tf.float32:  # word ids stay whole numbers
                converter.inference_input_type = converter.inference_output_type
            calibration = choose_calibration().astype(spec.dtype.as_numpy_dtype, copy=False)
            converter.representative_dataset = lambda: ([example[np.newaxis]] for example in calibration)
        return bytes(converter.convert())

    return convert


def _limit(
    examples: NDArray[np.float32], serve: Callable[[NDArray[np.float32]], Mapping[str, Any]]
) -> NDArray[np.float32]:
    """Clips the calibration examples to the range in which 8 bits change the model's answers least.

    Of a number with a heavy tail, most values are otherwise rounded to a few of the 255 steps. A device clips
    what is beyond the range. `serve` returns the model's outputs for a batch, by name.
    """
    exact = serve(examples)["probabilities"].numpy()
    largest = np.abs(examples).max()

    def measure_change(limit: float) -> float:
        clipped = examples.clip(-limit, limit)
        step = max((max(clipped.max(), 0) - min(clipped.min(), 0)) / 255, 1e-9)
        rounded = (clipped / step).round() * step
        return float(np.abs(serve(rounded.astype(np.float32))["probabilities"].numpy() - exact).mean())

    limit = min(largest * 0.5**_HALVINGS, key=measure_change)
    return examples.clip(-limit, limit)


def _write_and_run(path: Path, content: bytes) -> None:
    """Writes the file and runs it once: one that crashes its interpreter does no harm here."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        interpreter = load_interpreter(part)
        for tensor in interpreter.get_input_details():
            interpreter.set_tensor(tensor["index"], np.zeros(tensor["shape"], tensor["dtype"]))
        interpreter.invoke()
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _summarise(error: Exception) -> str:
    """Returns the converter's reasons without source locations, which point into Python's own files."""
    if isinstance(error, EdgelineError):
        return str(error)
    reasons = re.findall(r"(?:error|Error code): (.+)", str(error))
    lines = dict.fromkeys(reasons or str(error).strip().splitlines()[:_REASON_LINES])
    return f"{type(error).__name__}: " + "\n".join(lines)


if __name__ == "__main__":
    # Keras is half of the import of TensorFlow, which can do without it; so can all that happens here.
    sys.modules["keras"] = None  # type: ignore[assignment]  # None is how `import` has it.
    main(sys.argv[1:])
