"""Weights of a person's own for a backbone, from a file that Keras wrote."""

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

from errors import UsageError

# Name of a layer in the file, and its weights.
_Layer = tuple[str, Sequence["np.ndarray"]]


def load(body: keras.Model, path: Path) -> None:
    """Gives the layers of a network the weights of a file, which may have more layers behind them.

    The file is a `.weights.h5` or `.keras` of Keras 3, or an `.h5` of Keras 2 as keras.applications has them.

    Raises:
        UsageError: It is not there, cannot be read, or is of another network: the first layer that differs is
            named, with the shape and dtype that it has and should have.
    """
    wanted = [layer for layer in body.layers if layer.weights]
    try:
        found = _read(path, wanted)
    except FileNotFoundError:
        raise UsageError(
            f"model.weights names {path}, which is not a file.",
            "A network cannot begin with weights that are not there.",
            "Correct the path, or set model.weights to none to train from random ones.",
        ) from None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"model.weights names {path}, which could not be read as weights of Keras: {error}",
            "It is cut off, damaged or of another kind.",
            "Give a .weights.h5, .keras or .h5 file, whole, or set model.weights to none.",
        ) from None
    for number, layer in enumerate(wanted):
        name, arrays = found[number] if number < len(found) else ("none", [])
        expected = [(tuple(weight.shape), str(weight.dtype)) for weight in layer.weights]
        there = [(array.shape, str(array.dtype)) for array in arrays]
        if there != expected:
            raise UsageError(
                f"model.weights names {path}, whose layer {name} does not fit {layer.name} of {body.name}: it"
                f" has {_words(there)}, expected are {_words(expected)}.",
                f"The file is of another network, or not for {body.input_shape[-1]} channels.",
                "Make model.backbone and model.channels fit it, or set model.weights to none.",
            )
    for layer, (_, arrays) in zip(wanted, found, strict=False):
        layer.set_weights(arrays)


def _read(path: Path, wanted: Sequence[keras.Layer]) -> list[_Layer]:
    """The layers of the file that have weights, in the order of the network."""
    content: Any = path
    if path.suffix == ".keras":
        content = io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5"))
    with h5py.File(content) as file:
        if "layers" in file:
            return _keras_3(file["layers"], wanted)
        file = file.get("model_weights", file)
        named = {name: file[name].attrs["weight_names"] for name in file.attrs["layer_names"]}
        return [
            (str(name), [file[name][of][()] for of in weights])
            for name, weights in named.items()
            if len(weights)
        ]


def _keras_3(layers: Mapping[str, Any], wanted: Sequence[keras.Layer]) -> list[_Layer]:
    """Keras 3 names a layer by its class, and counts: `depthwise_conv2d`, `depthwise_conv2d_1`."""
    counted: Counter[str] = Counter()
    found: list[_Layer] = []
    for layer in wanted:
        kind = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__).lower()
        name = f"{kind}_{counted[kind]}" if counted[kind] else kind
        counted[kind] += 1
        group = layers.get(name, {}).get("vars", {})
        found.append((name, [group[number][()] for number in sorted(group, key=int)]))
    return found


def _words(weights: Sequence[tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{dtype} {list(shape)}" for shape, dtype in weights) or "no weights"
