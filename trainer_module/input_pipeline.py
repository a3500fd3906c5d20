"""From raw serialized examples, through the Transform graph, to batches that a resumed run sees again.

What a run sees in epoch e depends on (seed, e) alone: the order, and each example's flip and brightness, come
from stateless random numbers. So a run that starts again in epoch e goes on as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from errors import EdgelineError
from trainer_module import photos

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tensorflow_transform as tft

# Decoded images are kept in memory up to here: 130,000 photos of 128x128x1. Beyond, each epoch decodes again.
CACHE_LIMIT_BYTES = 2 * 1024**3
# Records in the shuffle's buffer when images are not in memory; about 100 MB of JPEG.
SHUFFLE_BUFFER = 8192
READ_BATCH = 128


@dataclass(frozen=True)
class Split:
    """The examples of one split.

    Attributes:
        files: The gzipped TFRecord files, sorted.
        labels: Label ids, int64 [examples], in the order of the files' records.
        images: uint8 [examples, H, W, C] in the same order, or None when they do not fit into memory.
        decode: Serialized examples, string [N], to images, uint8 [N, H, W, C].
    """

    files: tuple[str, ...]
    labels: np.ndarray
    images: tf.Tensor | None
    decode: Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Augmentation:
    """How training images vary: mirrored at random, and brighter or darker by up to a share of the range."""

    flip: bool
    brightness: float


def open_split(
    patterns: Sequence[str],
    transform: tft.TFTransformOutput,
    name: str,
    cache_limit_bytes: int = CACHE_LIMIT_BYTES,
) -> Split:
    """Reads the labels of a split, and its images too when they fit into memory.

    Args:
        patterns: File patterns of gzipped TFRecord files of serialized tf.Examples.
        transform: The output of Transform.
        name: What the split is called in errors.
        cache_limit_bytes: Decoded images are kept up to this size.

    Raises:
        EdgelineError: When the split is empty, or an example has a label that the schema does not know.
    """
    import numpy as np
    import tensorflow as tf

    files = tuple(sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern)))
    label_of = _transformed(transform, photos.LABEL, photos.LABEL)
    batches = list(_records(files).batch(READ_BATCH).map(label_of, tf.data.AUTOTUNE).as_numpy_iterator())
    if not batches:
        raise EdgelineError(
            f"The {name} split has no examples ({', '.join(patterns)}).",
            "A model needs examples to train on and others to be measured on.",
            "Add labelled photos from more sessions, or change data.eval_fraction.",
        )
    labels = np.concatenate(batches)
    if (labels < 0).any():
        raise EdgelineError(
            f"{int((labels < 0).sum())} of {labels.size} examples of the {name} split have a label that is "
            "not in the schema's domain.",
            "There is no class that they could be trained or measured as.",
            "Correct the labels, or add them to the schema's domain of `label`.",
        )

    float_image = _transformed(transform, photos.PHOTO, photos.IMAGE)

    def decode(serialized: tf.Tensor) -> tf.Tensor:
        return tf.cast(float_image(serialized), tf.uint8)

    images = None
    shape = transform.transformed_feature_spec()[photos.IMAGE].shape
    if labels.size * int(np.prod(shape)) <= cache_limit_bytes:
        decoded = _records(files).batch(READ_BATCH).map(decode, tf.data.AUTOTUNE).prefetch(2)
        with tf.device("/cpu:0"):
            images = tf.constant(np.concatenate(list(decoded.as_numpy_iterator())))
    return Split(files, labels, images, decode)


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Steps in which every example is seen; the last batch is filled up from the epoch's beginning."""
    return -(-len(split.labels) // batch_size)


def training_batches(
    split: Split,
    batch_size: int,
    epochs: range,
    seed: int,
    augmentation: Augmentation,
    weights: Sequence[float],
) -> tf.data.Dataset:
    """Batches of the given epochs, one after another, `steps_per_epoch` full batches each.

    Args:
        split: The training split.
        batch_size: The global batch.
        epochs: The epochs to yield; `range(3, 10)` goes on after three epochs.
        seed: With the epoch's number and the example's index it decides all that is random.
        augmentation: What varies.
        weights: Sample weight of each class, in label order.

    Returns:
        (image float32 [batch, H, W, C] in 0..255, label int64 [batch], sample weight float32 [batch]).
    """
    import tensorflow as tf

    examples = len(split.labels)
    labels, class_weights = tf.constant(split.labels), tf.constant(weights, tf.float32)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = tf.random.fold_in(tf.constant([seed, 0], tf.int64), epoch)
        draws = tf.random.stateless_uniform((examples, 2), epoch_seed)
        return (
            _shuffled(split, epoch_seed)
            .repeat()
            .take(steps_per_epoch(split, batch_size) * batch_size)
            .map(lambda index, item: (index, item, tf.gather(draws, index)))
        )

    def batch_of(
        index: tf.Tensor, item: tf.Tensor, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        label = tf.gather(labels, index)
        images = _augment(tf.cast(_images(split, item), tf.float32), draws, augmentation)
        return images, label, tf.gather(class_weights, label)

    return _on_this_host(
        tf.data.Dataset.range(epochs.start, epochs.stop)
        .flat_map(one_epoch)
        .batch(batch_size, drop_remainder=True)
        .map(batch_of, tf.data.AUTOTUNE)
    )


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Every example once, in the order of the files, the last batch as small as it comes out.

    Returns:
        (image float32 [<=batch, H, W, C] in 0..255, label int64 [<=batch]).
    """
    import tensorflow as tf

    labels = tf.data.Dataset.from_tensor_slices(split.labels)
    items = _records(split.files) if split.images is None else tf.data.Dataset.range(len(split.labels))
    return (
        tf.data.Dataset.zip((items, labels))
        .batch(batch_size)
        .map(lambda item, label: (tf.cast(_images(split, item), tf.float32), label), tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _augment(images: tf.Tensor, draws: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Varies images, float32 [N, H, W, C], by two uniform draws each, [N, 2]."""
    import tensorflow as tf

    draws = draws[:, :, tf.newaxis, tf.newaxis, tf.newaxis]
    if augmentation.flip:
        images = tf.where(draws[:, 0] < 0.5, images, tf.reverse(images, axis=[2]))
    if augmentation.brightness:
        images += (2.0 * draws[:, 1] - 1.0) * augmentation.brightness * 255.0
    return tf.clip_by_value(images, 0.0, 255.0)


def _shuffled(split: Split, seed: tf.Tensor) -> tf.data.Dataset:
    """One epoch in another order, as (index, item): the item is the index itself, or the record to decode."""
    import tensorflow as tf

    if split.images is None:
        shuffled = _records(split.files).enumerate().shuffle(SHUFFLE_BUFFER, seed=seed[0])
        return shuffled
    order = tf.random.experimental.stateless_shuffle(tf.range(len(split.labels), dtype=tf.int64), seed)
    return tf.data.Dataset.from_tensor_slices((order, order))


def _images(split: Split, items: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return split.decode(items) if split.images is None else tf.gather(split.images, items)


def _records(files: Sequence[str]) -> tf.data.Dataset:
    import tensorflow as tf

    return tf.data.TFRecordDataset(list(files), compression_type="GZIP")


def _transformed(
    transform: tft.TFTransformOutput, raw: str, transformed: str
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Serialized examples to one transformed feature, parsing only the raw feature that it is made of."""
    import tensorflow as tf

    spec = {raw: transform.raw_feature_spec()[raw]}
    layer = transform.transform_features_layer()
    return lambda serialized: layer(tf.io.parse_example(serialized, spec))[transformed]


def _on_this_host(batches: tf.data.Dataset) -> tf.data.Dataset:
    """One host feeds all its replicas, so the files are not sharded; a global batch is split among them."""
    import tensorflow as tf

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    options.deterministic = True
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
