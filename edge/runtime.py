"""What a phone does with a photo and an edge file: numpy, Pillow and an interpreter, no TensorFlow needed.

This is the executable form of preprocessing.json. A phone team that writes its own in Kotlin or Swift can
compare with it, number by number.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from errors import EdgelineError
from labels import parse_labels

# First the runtimes that load in well under a second, then TensorFlow, which takes some seven.
_INTERPRETERS = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)
_KNOWN = {
    "version": (1,),
    "resize": ("bilinear-antialias",),
    "rounding": ("nearest-uint8",),
    "orientation": ("upright",),
}
_COLORS = {"luma": ("L", 1), "rgb": ("RGB", 3)}


def preprocess(image_bytes: bytes, contract: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Turns a photo's bytes into what the model looks at.

    Decodes with the accurate integer DCT, turns upright by EXIF, takes the luma or RGB, resizes to a
    square with an antialiased bilinear filter and rounds once, at the end, to whole grey levels. Equal to
    `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")` with `tf.image.resize(antialias=True)`, except that
    sums on the edge between two levels may round to the other one.

    Args:
        image_bytes: A JPEG, or another 8-bit format that Pillow reads.
        contract: The content of preprocessing.json.

    Returns:
        uint8 [1, image_size, image_size, channels].

    Raises:
        EdgelineError: The contract asks for what this version does not do, or the photo cannot be read.
    """
    mode, size = _color_and_size(contract)
    try:
        image: Image.Image = Image.open(io.BytesIO(image_bytes))
        if image.mode.startswith("I") or image.mode == "F":
            raise EdgelineError(
                f"The photo has more than 8 bits a channel (mode {image.mode}).",
                "The model has seen 8-bit photos only, and there is no one right way to scale it down.",
                "Save it as an 8-bit JPEG.",
            )
        if mode == "L":
            # Takes the stored Y plane itself; converting from RGB would round twice.
            image.draft("L", None)
        image = ImageOps.exif_transpose(image).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise EdgelineError(
            f"The photo ({len(image_bytes):,} bytes) cannot be read: {error}.",
            "Its bytes are damaged or are no image.",
            "Take the photo again.",
        ) from error
    # In mode F, because on 8-bit images Pillow rounds between its two passes, which moves one pixel in eight.
    planes = [
        np.asarray(plane.convert("F").resize((size, size), Image.Resampling.BILINEAR))
        for plane in image.split()
    ]
    return np.rint(np.stack(planes, axis=-1)).clip(0, 255).astype(np.uint8)[np.newaxis]


def _color_and_size(contract: Mapping[str, Any]) -> tuple[str, int]:
    wrong = [
        f"{key} is {contract.get(key)!r}, not {' or '.join(map(repr, known))}"
        for key, known in _KNOWN.items()
        if contract.get(key) not in known
    ]
    color, channels, size = contract.get("color"), contract.get("channels"), contract.get("image_size")
    if color not in _COLORS or channels != _COLORS[color][1]:
        wrong.append(f"color {color!r} with {channels!r} channels is neither luma with 1 nor rgb with 3")
    if not isinstance(size, int) or size < 1:
        wrong.append(f"image_size is {size!r}, not a number of pixels")
    if wrong:
        raise EdgelineError(
            f"The preprocessing contract cannot be followed: {'; '.join(wrong)}.",
            "Guessing would show the model another image than it was trained on.",
            "Use the runtime that was released with this bundle, or verify the bundle.",
        )
    return _COLORS[color][0], size  # type: ignore[index, return-value]


def load_interpreter(path: Path, num_threads: int = 1) -> tuple[Any, str]:
    """Loads an edge file into the first TFLite interpreter that is installed.

    Returns:
        The interpreter with its tensors allocated, and its distribution's name and version, such as
        `tensorflow 2.16.2`.

    Raises:
        EdgelineError: No interpreter is installed, or it cannot load the file.
    """
    interpreter_class, runtime = _installed_interpreter()
    try:
        with warnings.catch_warnings():
            # TensorFlow 2.21 says on each use that this class moves to ai-edge-litert, which is asked first.
            warnings.simplefilter("ignore")
            interpreter = interpreter_class(model_path=str(path), num_threads=num_threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise EdgelineError(
            f"{path.name} cannot be loaded by {runtime}: {error}.",
            "It is damaged, or holds operations that this runtime does not have.",
            "Check its digest against the manifest, or convert it again.",
        ) from error
    return interpreter, runtime


def _installed_interpreter() -> tuple[type[Any], str]:
    for module, distribution in _INTERPRETERS:
        try:
            version = importlib.metadata.version(distribution)
            return importlib.import_module(module).Interpreter, f"{distribution} {version}"
        except ImportError:  # PackageNotFoundError is one too
            continue
    raise EdgelineError(
        "No TFLite interpreter is installed.",
        f"One of {', '.join(distribution for _, distribution in _INTERPRETERS)} is needed to run edge files.",
        "Install one with: python -m pip install ai-edge-litert",
    )


class EdgeModel:
    """An edge file, ready to look at photos one at a time, as on a phone.

    Interpreters trust their file: one whose bytes are damaged can end the process. Where it has come a long
    way, check its digest first.

    Args:
        path: A .tflite file with one input [1, H, W, C] and one output [1, classes].
        num_threads: Threads of the interpreter. Defaults to 1.

    Attributes:
        input_shape: (H, W, C).
        classes: Length of the probability vector.
        runtime: Name and version of the interpreter.

    Raises:
        EdgelineError: The file is not a model that can be run, or not an image classifier of batch 1.
    """

    def __init__(self, path: Path | str, num_threads: int = 1) -> None:
        path = Path(path)
        if not path.is_file():
            raise EdgelineError(f"There is no file {path}.", do="Check the path of the edge file.")
        self._interpreter, self.runtime = load_interpreter(path, num_threads)
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        shapes = [tuple(int(size) for size in tensor["shape"]) for tensor in (*inputs, *outputs)]
        if [len(shape) for shape in shapes] != [4, 2] or {shape[0] for shape in shapes} != {1}:
            raise EdgelineError(
                f"{path.name} has {len(inputs)} inputs and {len(outputs)} outputs of shapes {shapes}.",
                "An edge file takes one photo [1, H, W, C] and gives its probabilities [1, classes].",
                "Convert it again from the signature that takes the image.",
            )
        self._input, self._output = inputs[0], outputs[0]
        self.input_shape, self.classes = shapes[0][1:], shapes[1][1]

    def read_labels(self, path: Path) -> tuple[str, ...]:
        """The label of each probability, from the labels.txt of the file's bundle.

        Raises:
            EdgelineError: It is missing, damaged, or has another number of labels than the model has classes.
        """
        try:
            return parse_labels(path.read_bytes(), path.name, self.classes)
        except OSError as error:
            raise EdgelineError(
                f"{path} cannot be read ({error.strerror}).",
                "What the model sees has no name then.",
                "Take the whole bundle.",
            ) from error

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Gives the probabilities of each photo.

        Args:
            images: uint8 [n, H, W, C], as `preprocess` makes them.

        Returns:
            float32 [n, classes].

        Raises:
            EdgelineError: Another dtype or shape.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != self.input_shape:
            raise EdgelineError(
                f"The images are {images.dtype} {list(images.shape)}.",
                f"The model takes uint8 {['n', *self.input_shape]}.",
                "Pass what preprocess() returns for the model's own preprocessing.json.",
            )
        probabilities = np.empty((len(images), self.classes), np.float32)
        for row, image in enumerate(images):
            self._interpreter.set_tensor(self._input["index"], _quantised(image[np.newaxis], self._input))
            self._interpreter.invoke()
            output = self._interpreter.get_tensor(self._output["index"])
            probabilities[row] = _dequantised(output, self._output)[0]
        return probabilities


def _quantised(values: NDArray[Any], tensor: Mapping[str, Any]) -> NDArray[Any]:
    """Rounds to the nearest and clips, as TFLite's QUANTIZE does; a bare cast would wrap 128 to -128."""
    dtype = np.dtype(tensor["dtype"])
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(dtype)
    levels = np.rint(values.astype(np.float32) / np.float32(scale or 1.0)) + zero_point
    return levels.clip(limits.min, limits.max).astype(dtype)


def _dequantised(values: NDArray[Any], tensor: Mapping[str, Any]) -> NDArray[np.float32]:
    if not np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32)
    scale, zero_point = tensor["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale or 1.0)
