"""Loads a user's own weights of a backbone from a file that Keras wrote."""

import io
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from edgeline.errors import UsageError

# Name of a layer in the file, and its weights.
_Layer = tuple[str, Sequence[np.ndarray]]


def load_weights(body: keras.Model, path: Path) -> None:
    """Loads the weights of a network from a file, which may have more layers after the network's.

    The file is a `.weights.h5` or `.keras` of Keras 3, or an `.h5` of Keras 2 such as those of
    keras.applications. Weights for colour fit a network for grey photos, which have three equal channels.

    Raises UsageError if the file is missing, cannot be read, or is of another network; the message names the
    first layer that differs, with its actual and expected shapes and dtypes.
    """
    wanted = [layer for layer in body.layers if layer.weights]
    try:
        stored = _read(path, wanted)
    except FileNotFoundError:
        raise UsageError(
            f"model.weights names {path}, which is not a file.",
            "The network has no weights to begin with.",
            "Correct the path, or set model.weights to none to train from random weights.",
        ) from None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"model.weights names {path}, which cannot be read as weights of Keras: {error}",
            "The file is truncated, damaged or of another format.",
            "Pass an intact .weights.h5, .keras or .h5 file, or set model.weights to none.",
        ) from None
    if body.input_shape[-1] == 1:
        stored[:1] = [(name, _sum_channels(arrays)) for name, arrays in stored[:1]]
    for number, layer in enumerate(wanted):
        name, arrays = stored[number] if number < len(stored) else ("none", [])
        expected = [(tuple(weight.shape), str(weight.dtype)) for weight in layer.weights]
        actual = [(array.shape, str(array.dtype)) for array in arrays]
        if actual != expected:
            raise UsageError(
                f"model.weights names {path}, whose layer {name} does not fit {layer.name} of {body.name}: it"
                f" has {_describe_shapes(actual)} instead of {_describe_shapes(expected)}.",
                f"The file is for another network, or not for {body.input_shape[-1]} channels.",
                "Set model.backbone and model.channels to fit the file, or set model.weights to none.",
            )
    for layer, (_, arrays) in zip(wanted, stored, strict=False):
        layer.set_weights(arrays)


def _sum_channels(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Sums a first kernel [height, width, 3, filters] over its channels."""
    return [array.sum(axis=2, keepdims=True) if array.shape[2:3] == (3,) else array for array in arrays]


def _read(path: Path, wanted: Sequence[keras.Layer]) -> list[_Layer]:
    """Reads the layers of the file that have weights, in the order of the network."""
    content: Any = path
    if path.suffix == ".keras":
        content = io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5"))
    with h5py.File(content) as file:
        if "layers" in file:
            return _read_keras_3(file["layers"], wanted)
        file = file.get("model_weights", file)
        weight_names = {name: file[name].attrs["weight_names"] for name in file.attrs["layer_names"]}
        return [
            (str(name), [file[name][weight][()] for weight in weights])
            for name, weights in weight_names.items()
            if len(weights)
        ]


def _read_keras_3(layers: Mapping[str, Any], wanted: Sequence[keras.Layer]) -> list[_Layer]:
    """Reads layers, which Keras 3 names by class and number: `depthwise_conv2d`, `depthwise_conv2d_1`."""
    counts: Counter[str] = Counter()
    stored: list[_Layer] = []
    for layer in wanted:
        kind = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__).lower()
        name = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
        group = layers.get(name, {}).get("vars", {})
        stored.append((name, [group[number][()] for number in sorted(group, key=int)]))
    return stored


def _describe_shapes(weights: Sequence[tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{dtype} {list(shape)}" for shape, dtype in weights) or "no weights"
