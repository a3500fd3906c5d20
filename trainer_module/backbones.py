"""The image classifiers: a small CNN that survives 8 bits, and MobileNetV3-Small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UsageError

if TYPE_CHECKING:
    import keras

    from trainer_module.settings import ModelSettings

# Moving averages at Keras's 0.99 and MobileNetV3's 0.999 need thousands of steps to reach the data's mean; a
# weekly run has hundreds. Measured on 1,200 photos: train 1.00 and eval 0.57 with 0.999.
BATCH_NORM_MOMENTUM = 0.9
DROPOUT = 0.2


def classifier(settings: ModelSettings, classes: int) -> keras.Model:
    """Builds a classifier on one of `BACKBONES`.

    Returns:
        float32 [N, image_size, image_size, channels] holding 0..255 to probabilities float32 [N, classes].

    Raises:
        UsageError: When the weights do not fit the backbone.
    """
    import keras

    shape = (settings.image_size, settings.image_size, settings.channels)
    body = BACKBONES[settings.backbone](shape)
    _tune_batch_norm(body)
    if settings.weights is not None:
        _load(body, settings.backbone, settings.weights)

    image = keras.Input(shape, name="image")
    features = body(keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image))
    features = keras.layers.GlobalAveragePooling2D()(features)
    features = keras.layers.Dropout(DROPOUT)(features)
    probabilities = keras.layers.Dense(classes, activation="softmax", name="probabilities")(features)
    return keras.Model(image, probabilities, name=settings.backbone)


def _compact(shape: tuple[int, int, int]) -> keras.Model:
    """Five convolutions of plain ReLU, which 8 bits do little harm to.

    Pooling comes before BatchNorm and ReLU: a quarter of the values to normalise trains twice as fast.
    """
    import keras

    image = keras.Input(shape)
    features = image
    for filters in (16, 32, 64, 96, 128):
        features = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(features)
        if filters < 128:  # the last one keeps its size
            features = keras.layers.MaxPooling2D(padding="same")(features)
        features = keras.layers.BatchNormalization()(features)
        features = keras.layers.ReLU()(features)
    return keras.Model(image, features, name="compact_body")


def _mobilenet_v3_small(shape: tuple[int, int, int]) -> keras.Model:
    """MobileNetV3-Small (Howard et al., 2019, arXiv:1905.02244) without its head and its own rescaling."""
    import keras

    return keras.applications.MobileNetV3Small(
        input_shape=shape, include_top=False, weights=None, include_preprocessing=False
    )


BACKBONES: dict[str, Callable[[tuple[int, int, int]], keras.Model]] = {
    "compact": _compact,
    "mobilenet_v3_small": _mobilenet_v3_small,
}


def _tune_batch_norm(body: keras.Model) -> None:
    """Short runs need fast averages; replicas, whose averages Keras lets drift apart, need shared ones."""
    import keras

    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
            layer.synchronized = True


def _load(body: keras.Model, backbone: str, weights: Path) -> None:
    if not weights.is_file():
        raise UsageError(
            f"model.weights names {weights}, which is not a file.",
            f"{backbone} cannot start from weights that are not there.",
            "Correct the path, or set model.weights to null to train from scratch.",
        )
    try:
        body.load_weights(weights)
    except (ValueError, OSError, KeyError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise UsageError(
            f"model.weights names {weights}, which could not be loaded: {first_line}",
            f"It must hold the weights of {backbone} without its head, for {body.input_shape[-1]} channels, "
            "as Keras writes them (.weights.h5, or the .h5 of keras.applications).",
            "Give such a file, make model.channels fit it, or set model.weights to null.",
        ) from error
