"""Runs an edge file as a device does; needs numpy and an interpreter, not TensorFlow.

It is a reference: a team that writes its own in Kotlin, Swift or C can compare with it, number by number.
"""

import importlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeline.edge import contracts
from edgeline.errors import EdgelineError
from edgeline.labels import format_count

# The content of an example by kind of contract: its types, and their name in messages.
_CONTENTS: Mapping[str, tuple[Any, str]] = {
    "image": ((bytes, bytearray, memoryview), "the bytes of a photo"),
    "row": (Mapping, "cells by column"),
    "tokens": ((str, bytes), "a text"),
}
KINDS = tuple(_CONTENTS)
# All threads share the standard error: the second would restore what the first had set.
_STDERR_LOCK = threading.RLock()


def preprocess(content: Any, contract: Mapping[str, Any]) -> NDArray[Any]:
    """Turns the bytes of an image, the cells of a row by column, or a text into the model's input, [1, ...].

    `contract` is the content of preprocessing.json; its `kind` defaults to `image`.

    Raises EdgelineError if this version does not support it, or the content cannot be read.
    """
    kind = contract.get("kind", "image")
    if kind not in KINDS:
        raise contracts.make_contract_error(f"kind is {kind!r}, not one of {', '.join(KINDS)}")
    types, name = _CONTENTS[kind]
    if not isinstance(content, types):  # as pandas has None or NaN for an empty cell
        raise EdgelineError(
            f"An example is {content!r:.60}, not {name}.",
            "The model reads nothing else.",
            f"Pass {name}, and leave out empty examples.",
        )
    module = importlib.import_module(f"edgeline.edge.contracts.{kind}")
    tensor: NDArray[Any] = module.preprocess(content, contract)
    return tensor


def has_unlike(model: "EdgeModel", contract: Mapping[str, Any]) -> bool:
    """Returns whether a file, or its contract, tells how unlike an input is to those of training."""
    return model.has_unlike or contract.get("kind") == "row"


def measure_unlike(content: Any, contract: Mapping[str, Any]) -> float | None:
    """Returns how unlike a raw input is to those of training, 0..1, as far as its contract tells it.

    It does so of rows and windows; of others the file may, and the result is None.
    """
    module = importlib.import_module(f"edgeline.edge.contracts.{contract.get('kind', 'image')}")
    measure = getattr(module, "measure_unlike", None)
    return measure(content, contract) if measure else None


def name_runtime() -> str:
    """Returns the name and version of the distribution of LiteRT."""
    return f"ai-edge-litert {version('ai-edge-litert')}"


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Discards what libraries write to the standard error during the block."""
    with _STDERR_LOCK, ExitStack() as stack:
        with suppress(OSError, ValueError):  # it may be closed
            if sys.stderr:
                sys.stderr.flush()
            original = os.dup(2)
            stack.callback(os.close, original)
            stack.callback(os.dup2, original, 2)
            with open(os.devnull, "wb") as null:
                os.dup2(null.fileno(), 2)
        yield


def load_interpreter(path: Path, threads: int = 1) -> Any:
    """Loads an edge file into LiteRT; returns the interpreter with its tensors allocated.

    Raises EdgelineError if LiteRT cannot load it.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise EdgelineError(
            f"{name_runtime()} cannot load {path.name}: {str(error).rstrip('.')}.",
            "The file is damaged or has operations that this runtime does not support.",
            "Check its digest against the manifest, or convert the model again.",
        ) from error
    return interpreter


class EdgeModel:
    """An edge file that runs on one example at a time, as on a phone.

    Interpreters trust their file: damaged bytes can end the process. Check the digest of a file that was
    copied or downloaded first.

    The file has one input [1, ...] and one output [1, classes], maybe with `unlike`, [1, 1].

    Attributes:
        input_shape: Shape without the batch; (H, W, C) for a photo.
        classes: Length of the probability vector.
        has_unlike: Whether it says how unlike an example is to those of training.

    Raises:
        EdgelineError: The file cannot be run, or is not a classifier of batch 1.
    """

    def __init__(self, path: Path | str, threads: int = 1) -> None:
        path = Path(path)
        if not path.is_file():
            raise EdgelineError(f"The edge file {path} does not exist.", do="Check its path.")
        self._interpreter = load_interpreter(path, threads)
        self._lock = threading.Lock()
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        shapes = [tuple(int(size) for size in tensor["shape"]) for tensor in (*inputs, *outputs)]
        # Two labels or more have probabilities; a converter may put the outputs in either order.
        outputs = sorted(outputs, key=lambda tensor: tuple(tensor["shape"]) == (1, 1))

        if (
            len(inputs) != 1
            or [tuple(tensor["shape"]) for tensor in outputs[1:]] not in ([], [(1, 1)])
            or any(shape[:1] != (1,) for shape in shapes)
            or len(outputs[0]["shape"]) != 2
        ):
            raise EdgelineError(
                f"{path.name} has {format_count(len(inputs), 'input')} and"
                f" {format_count(len(outputs), 'output')} of shapes {shapes}.",
                "An edge file takes one example [1, ...] and gives its probabilities [1, classes], and maybe"
                " [1, 1], how unlike it is to those of training.",
                "Convert the model again, from the signature that takes preprocessed inputs.",
            )
        self._input, self._outputs = inputs[0], outputs
        self.input_shape = shapes[0][1:]
        self.classes = int(outputs[0]["shape"][1])
        self.has_unlike = len(outputs) == 2

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Returns the probabilities of `answer`; raises the same errors."""
        return self.answer(inputs)[0]

    def answer(self, inputs: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Answers inputs [n, ...] as `preprocess` makes them.

        Returns:
            Probabilities, float32 [n, classes], and how unlike each example is to those of training, float32
            [n] in 0..1, above 0.5 for 5 % of eval examples; None if the file does not say it.

        Raises:
            EdgelineError: The inputs are not numbers, or have another shape.
        """
        if inputs.dtype.kind not in "uif" or inputs.ndim < 1 or inputs.shape[1:] != self.input_shape:
            raise EdgelineError(
                f"The inputs are {inputs.dtype} {list(inputs.shape)}.",
                f"The model takes numbers {['n', *self.input_shape]}.",
                "Pass what preprocess() returns for the model's own preprocessing.json.",
            )
        probabilities = np.empty((len(inputs), self.classes), np.float32)
        unlike = np.empty(len(inputs), np.float32) if self.has_unlike else None
        for number, example in enumerate(inputs):
            values = _quantise(example[np.newaxis], self._input)
            with self._lock:  # two threads would take each other's answers
                self._interpreter.set_tensor(self._input["index"], values)
                self._interpreter.invoke()
                answers = [self._interpreter.get_tensor(output["index"]) for output in self._outputs]
            probabilities[number], *others = (
                _dequantise(tensor, output)[0] for tensor, output in zip(answers, self._outputs, strict=True)
            )
            if unlike is not None:
                unlike[number] = others[0][0]
        return probabilities, unlike

    def measure_saturation(
        self, inputs: NDArray[Any], probabilities: NDArray[np.float32]
    ) -> tuple[float | None, float | None]:
        """Returns the shares of inputs and of outputs of `predict` at an end of the quantised range."""
        return _measure_saturation(inputs, self._input), _measure_saturation(probabilities, self._outputs[0])


def _measure_saturation(values: NDArray[Any], tensor: Mapping[str, Any]) -> float | None:
    """Returns the share of values at an end of the range, 0..1; None if the tensor is not quantised."""
    if not np.issubdtype(tensor["dtype"], np.integer) or not tensor["quantization"][0]:
        return None
    limits = np.iinfo(tensor["dtype"])
    levels = (_quantise(example, tensor) for example in values)
    return float(np.mean([np.mean((level == limits.min) | (level == limits.max)) for level in levels]))


def _quantise(values: NDArray[Any], tensor: Mapping[str, Any]) -> NDArray[Any]:
    """Rounds to the nearest and clips, as TFLite's QUANTIZE does; a bare cast would wrap 128 to -128."""
    dtype = np.dtype(tensor["dtype"])
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(dtype)
    levels = np.rint(values.astype(np.float32) / np.float32(scale or 1.0)) + zero_point
    return levels.clip(limits.min, limits.max).astype(dtype)


def _dequantise(values: NDArray[Any], tensor: Mapping[str, Any]) -> NDArray[np.float32]:
    if not np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32)
    scale, zero_point = tensor["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale or 1.0)
