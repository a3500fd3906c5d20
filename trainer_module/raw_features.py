"""Raw features: as Transform hands them to a `preprocessing_fn`, and of a single example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def one_string_each(feature: Any) -> tf.Tensor:
    """Returns one string per example, [N], of a feature without a shape in the schema; empty if missing."""
    import tensorflow as tf

    if isinstance(feature, tf.SparseTensor):
        # There is one column even if every example of the batch lacks the feature.
        one_column = tf.stack([feature.dense_shape[0], tf.maximum(feature.dense_shape[1], 1)])
        feature = tf.sparse.to_dense(tf.sparse.reset_shape(feature, one_column))[:, 0]
    return tf.reshape(feature, [-1])


def label_ids(names: tf.Tensor, labels: Sequence[str]) -> tf.Tensor:
    """Returns the index of each name in `labels`, int64 [N], -1 if it is not in `labels`."""
    import tensorflow as tf

    matches = tf.equal(names[:, tf.newaxis], tf.constant(list(labels))[tf.newaxis, :])
    index = tf.argmax(tf.cast(matches, tf.int32), axis=1, output_type=tf.int64)
    return tf.where(tf.reduce_any(matches, axis=1), index, tf.constant(-1, tf.int64))


def first_text(feature: Any) -> str:
    """Returns the first value of a `tf.train.Feature` as text; empty if it has none."""
    kind = feature.WhichOneof("kind")
    value = next(iter(getattr(feature, kind).value), "") if kind else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
