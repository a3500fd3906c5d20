"""The workload of labelled photos: the Transform step of a photo, and the model that reads it.

Nothing here is learned from data: sizes come from the settings and label ids from the order of the schema's
domain, so a photo gives the same numbers in training, in evaluation and on a server.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer_module.raw_features import label_ids, one_string_each
from trainer_module.workload_module import LABEL

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from edgeline.records.workload import Workload
    from trainer_module.settings import ModelSettings, TrainerSettings

PHOTO = "photo"
IMAGE = "image"
# Images hold whole numbers in 0..255.
STORED_AS = {IMAGE: "uint8"}
LUMA = (0.299, 0.587, 0.114)  # weights of R, G and B, those of JPEG (ITU-T T.871)
_MAX_SIDE, _LEVELS = "_max_side", "_levels"
RAW_SIGNATURE = ("serve_jpeg", {"jpeg": PHOTO})
TENSOR_SIGNATURE = "serve_image"


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Turns raw features into the model's features, as `WorkloadModule` describes; analyses no data.

    It reads `photo` (JPEG or PNG) and `label`, sparse or dense [N] or [N, 1], and scales a photo that is
    larger than `max_side` pixels down to these first. It returns `image`, float32 [N, image_size, image_size,
    channels] holding whole numbers 0..255 (Transform has no uint8), `label`, and what the contract has of the
    settings: `_max_side`, int64 [N], and `_levels`, int64 [N, 2], which ingest has applied.
    """
    import tensorflow as tf

    photos = one_string_each(inputs[PHOTO])
    max_side = custom_config["max_side"]
    pixels = decode_photos(photos, custom_config["image_size"], custom_config["channels"], max_side)
    features = {
        IMAGE: tf.cast(pixels, tf.float32),
        _MAX_SIDE: tf.fill(tf.shape(photos), tf.constant(max_side, tf.int64)),
        LABEL: label_ids(one_string_each(inputs[LABEL]), custom_config["labels"]),
    }
    if levels := custom_config.get("levels"):
        features[_LEVELS] = tf.tile(tf.constant([levels], tf.int64), [tf.size(photos), 1])
    return features


def build_model(
    labels: Sequence[str], settings: ModelSettings, transform: tft.TFTransformOutput
) -> keras.Model:
    """Builds the classifier: float32 [N, H, W, C] of 0..255 to probabilities; raises as `build_body`.

    Args:
        labels: Only their number counts.
        settings: Have the backbone, its weights and the size of the input.
        transform: Not read.
    """
    from trainer_module.networks import backbones

    return backbones.build_classifier(settings, len(labels))


def find_features(model: keras.Model) -> keras.KerasTensor:
    """Returns what the last layer of a model reads."""
    return model.layers[-1].input


def edge_contract(
    transform: tft.TFTransformOutput, settings: ModelSettings, workload: Workload
) -> dict[str, Any]:
    """Returns preprocessing.json: the Transform graph, and the steps of `edgeline.edge.contracts.image`.

    Args:
        transform: Has `max_side` and `levels`, which are no settings of the model.
        settings: Have the size and the channels of the image.
        workload: Not read.
    """
    import tensorflow as tf

    features = {name: tf.constant([[value]]) for name, value in neutral_features().items()}
    if isinstance(transform.raw_feature_spec()[PHOTO], tf.io.VarLenFeature):
        features = {name: tf.sparse.from_dense(value) for name, value in features.items()}
    transformed = transform.transform_features_layer()(features)
    levels = {"levels": transformed[_LEVELS][0].numpy().tolist()} if _LEVELS in transformed else {}
    return {
        "version": 4 if levels else 3,  # a reader of version 3 would read photos of 16 bits otherwise
        "kind": "image",
        "image_size": settings.image_size,
        "channels": settings.channels,
        "color": "luma" if settings.channels == 1 else "rgb",
        "luma": list(LUMA),
        "max_side": int(transformed[_MAX_SIDE][0]),
        **levels,
        "resize": "bilinear-antialias",
        "rounding": "nearest-uint8",
        "orientation": "upright",
        "transparency": "on-white",
        "input_dtype": "uint8",
    }


def neutral_features() -> dict[str, bytes]:
    """Returns a grey photo."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (640, 480), (128, 128, 128)).save(file, "JPEG")
    return {PHOTO: file.getvalue()}


def augment(images: tf.Tensor, draws: tf.Tensor, settings: TrainerSettings) -> tf.Tensor:
    """Varies photos as another shot might: turns, crops, mirrors, changes contrast and brightness.

    Args:
        images: float32 [N, H, W, C] in 0..255.
        draws: Uniform in 0..1, [N, DRAWS]; the same ones vary a photo in the same way.
        settings: Have the largest change of each kind, 0 for none.
    """
    import tensorflow as tf

    if settings.rotation:
        # Mirroring takes the first bit of this draw; later ones are as random.
        images = _turn(images, (draws[:, 0] * 256.0) % 1.0, settings.rotation)
    if settings.crop:
        images = _crop(images, draws[:, 2:], settings.crop)
    draws = draws[:, :, tf.newaxis, tf.newaxis, tf.newaxis]
    if settings.flip:
        images = tf.where(draws[:, 0] < 0.5, images, tf.reverse(images, axis=[2]))
    if settings.contrast:
        mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
        images = mean + (images - mean) * (1.0 + (2.0 * draws[:, 6] - 1.0) * settings.contrast)
    if settings.brightness:
        images += (2.0 * draws[:, 1] - 1.0) * settings.brightness * 255.0
    return tf.clip_by_value(images, 0.0, 255.0)


def _turn(images: tf.Tensor, draws: tf.Tensor, most: float) -> tf.Tensor:
    """Turns each photo around its centre by up to the share `most` of a full turn, to either side."""
    import tensorflow as tf

    angles = (2.0 * draws - 1.0) * most * 2.0 * math.pi
    sine = tf.sin(angles)
    cosine = tf.cos(angles)
    zero = tf.zeros_like(angles)
    height, width = (side - 1.0 for side in images.shape[1:3])
    # The centre stays where it is.
    right = (width - (cosine * width - sine * height)) / 2.0
    down = (height - (sine * width + cosine * height)) / 2.0
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([cosine, -sine, right, sine, cosine, down, zero, zero], axis=1),
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _crop(images: tf.Tensor, draws: tf.Tensor, most: float) -> tf.Tensor:
    """Crops each photo by a share of up to `most` of its sides, and stretches it by up to a fifth."""
    import tensorflow as tf

    side = 1.0 - most * draws[:, 0]
    stretch = tf.exp(0.2 * (2.0 * draws[:, 1] - 1.0))
    sides = tf.minimum(tf.stack([side * stretch, side / stretch], axis=1), 1.0)
    corner = (1.0 - sides) * draws[:, 2:4]
    boxes = tf.concat([corner, corner + sides], axis=1)
    return tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), images.shape[1:3])


def decode_photos(photos: tf.Tensor, image_size: int, channels: int, max_side: int) -> tf.Tensor:
    """Decodes JPEG or PNG bytes, string [N], to uint8 [N, image_size, image_size, channels].

    The steps are those of `edgeline/edge/contracts/image.py`. Ingest has already done the first scaling; a
    client that sends its own upright photo to a server has not. Pillow uses the same accurate integer DCT and
    antialiased bilinear filter, so that a phone with another decoder can reproduce the pixels.

    Args:
        photos: May differ in size.
        image_size: In pixels.
        channels: 1 for luma, 3 for RGB.
        max_side: A photo with a longer side, in pixels, is scaled down to it first.
    """
    import tensorflow as tf

    def resize(pixels: tf.Tensor, size: Any) -> tf.Tensor:
        exact = tf.image.resize(pixels, size, method="bilinear", antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(exact), 0.0, 255.0), tf.uint8)

    def decode(photo: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_jpeg(photo, channels=3, dct_method="INTEGER_ACCURATE")  # PNG too
        size = tf.shape(pixels, tf.int64)[:2]
        longest = tf.reduce_max(size)
        first = tf.cast(tf.maximum((2 * size * max_side + longest) // (2 * longest), 1), tf.int32)
        pixels = tf.cond(longest > max_side, lambda: resize(pixels, first), lambda: pixels)
        if channels == 1:
            pixels = tf.tensordot(tf.cast(pixels, tf.float32), tf.constant(LUMA), 1)[..., tf.newaxis]
        return resize(pixels, (image_size, image_size))

    shape = (image_size, image_size, channels)
    images = tf.map_fn(decode, photos, fn_output_signature=tf.TensorSpec(shape, tf.uint8))
    return tf.ensure_shape(images, (None, *shape))
