"""The image classifiers: a small CNN, MobileNetV3-Small, and EfficientNet-Lite with ImageNet weights."""

from collections.abc import Callable
from functools import partial
from itertools import takewhile
from pathlib import Path

import keras

from edgeline.errors import UsageError
from trainer_module.networks import efficientnet_lite, weights_file
from trainer_module.settings import PRETRAINED, ModelSettings
from trainer_module.workload_module import FRONT

# Moving averages at Keras's 0.99 and MobileNetV3's 0.999 need thousands of steps to reach the data's mean; a
# weekly run has hundreds. Measured on 1,200 photos: train 1.00 and eval 0.57 with 0.999.
BATCH_NORM_MOMENTUM = 0.9
DROPOUT = 0.2


def build_classifier(settings: ModelSettings, classes: int) -> keras.Model:
    """Builds a classifier on one of `BACKBONES`: photos of 0..255 to probabilities, float32 [N, classes].

    Photos are float32 [N, image_size, image_size, channels]. If EfficientNet-Lite begins with weights, its
    BatchNormalization is folded into its convolutions, and its first `frozen_stages` stages and all depthwise
    convolutions are frozen: the gradient of the 5 x 5 ones takes a quarter of a step on a CPU, and all of
    them together have 5 % of the weights. With `frozen_stages` all, any network but its last layer is frozen.
    Raises UsageError if the weights are missing, or do not fit the backbone.
    """
    model = build_body(settings)
    if any(layer.name == FRONT for layer in model.layers):
        model = _fold(model, settings)
    features = keras.layers.GlobalAveragePooling2D()(model.output)
    if settings.frozen_stages == "all" and settings.weights != "none":
        model.trainable = False
        features = keras.layers.Identity(name=FRONT)(features)
    features = keras.layers.Dropout(DROPOUT)(features)
    probabilities = keras.layers.Dense(classes, "softmax", name="probabilities", dtype="float32")(features)
    return keras.Model(model.input, probabilities, name=settings.backbone)


def build_body(settings: ModelSettings) -> keras.Model:
    """Builds a classifier without its head, with its initial weights; raises as `build_classifier`."""
    network = _build_network(settings)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
            layer.synchronized = True  # across replicas, whose averages would drift apart
    if settings.weights == "imagenet":
        if settings.backbone not in PRETRAINED:
            raise UsageError(
                f"model.weights is imagenet, but Edgeline has no such weights for {settings.backbone}.",
                "No package that can be pinned has them.",
                f"Set model.backbone to {' or '.join(PRETRAINED)}, or model.weights to none.",
            )
        efficientnet_lite.load_imagenet(network, SIZES[settings.backbone])
    elif settings.weights != "none":
        weights_file.load_weights(network, Path(settings.weights))
    return network


def _build_network(settings: ModelSettings, **options: bool) -> keras.Model:
    image = keras.Input((settings.image_size, settings.image_size, settings.channels), name="image")
    rescaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    features = BACKBONES[settings.backbone](rescaled, settings, **options)
    return keras.Model(image, features, name=f"{settings.backbone}_body")


def _fold(network: keras.Model, settings: ModelSettings) -> keras.Model:
    folded = _build_network(settings, folded=True)
    efficientnet_lite.fold(network, folded)
    before = takewhile(lambda layer: layer.name != FRONT, folded.layers)
    depthwise = (layer for layer in folded.layers if isinstance(layer, keras.layers.DepthwiseConv2D))
    for layer in (*before, *depthwise):
        layer.trainable = False
    return folded


def _build_compact(features: keras.KerasTensor, settings: ModelSettings) -> keras.KerasTensor:
    """Builds five convolutions with plain ReLU, which lose little when quantised to 8 bits.

    Pooling comes before BatchNorm and ReLU: normalising a quarter of the values, it trains twice as fast.
    """
    for filters in (16, 32, 64, 96, 128):
        features = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(features)
        if filters < 128:  # the last one keeps its size
            features = keras.layers.MaxPooling2D(padding="same")(features)
        features = keras.layers.BatchNormalization()(features)
        features = keras.layers.ReLU()(features)
    return features


def _build_mobilenet_v3_small(
    features: keras.KerasTensor, settings: ModelSettings, minimalistic: bool = False
) -> keras.KerasTensor:
    """Builds MobileNetV3-Small (Howard et al., 2019, arXiv:1905.02244) without its head and rescaling."""
    network = keras.applications.MobileNetV3Small(
        input_tensor=features,
        minimalistic=minimalistic,
        include_top=False,
        weights=None,
        include_preprocessing=False,
    )
    return network.output


def _build_efficientnet_lite(
    features: keras.KerasTensor, settings: ModelSettings, stages: int = 7, folded: bool = False
) -> keras.KerasTensor:
    stage = settings.frozen_stages
    front = min(stage, stages) if settings.weights != "none" and stage != "all" else 0
    return efficientnet_lite.build(features, SIZES[settings.backbone], stages, front, folded)


BACKBONES: dict[str, Callable[..., keras.KerasTensor]] = {
    "compact": _build_compact,
    "mobilenet_v3_small": _build_mobilenet_v3_small,
    # It has no squeeze-and-excitation and hard swish, for devices without fast kernels of these.
    "mobilenet_v3_small_minimalistic": partial(_build_mobilenet_v3_small, minimalistic=True),
    "efficientnet_lite0": _build_efficientnet_lite,
    # It lacks the last two stages and the head, and has a sixth of the weights.
    "efficientnet_lite0_cut": partial(_build_efficientnet_lite, stages=5),
    "efficientnet_lite2": _build_efficientnet_lite,
}
SIZES = dict(
    zip(PRETRAINED, (efficientnet_lite.LITE0, efficientnet_lite.LITE0, efficientnet_lite.LITE2), strict=True)
)
