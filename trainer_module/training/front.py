"""The frozen front of a network, whose features are computed only once.

A network that begins with pretrained weights is trained in three steps. First the front computes the features
of every example, in a few variations. Then the last layer is fitted to them, which takes seconds; from random
weights there, the first steps would spoil the other layers. Last, everything after the front is trained.

The number of variations is a setting. If neither memory nor disk has room for their features, each epoch
computes them again, with the same numbers, so that a seed gives the same model on any machine.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from math import prod
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from trainer_module.training import input_pipeline
from trainer_module.training.input_pipeline import READ_BATCH, Augment, Split, make_draws, make_eval_batches
from trainer_module.workload_module import FRONT

_progress = logging.getLogger("edgeline.progress")

# Number of batches by which the time of features is measured.
_TIMED = 3
# Seconds between two lines of progress.
_REPORT_EVERY_S = 10.0
# The last layer is fitted by this many steps on all examples, or on this many: with 1,280 numbers each, they
# take 256 MB.
_STEPS, _MOST_EXAMPLES = 200, 50_000
_LEARNING_RATE, _L2 = 1e-2, 1e-3


def split_model(model: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """Splits a model into its frozen front and the rest, which share its weights; None if it has no front."""
    if all(layer.name != FRONT for layer in model.layers):
        return None
    features = model.get_layer(FRONT).output
    return keras.Model(model.input, features), keras.Model(features, model.output)


def round_features(front: keras.Model) -> keras.Model:
    """Returns the front with features rounded to float16, as stored ones are, in float32."""
    features = keras.ops.cast(keras.ops.cast(front.output, "float16"), "float32")
    return keras.Model(front.input, features)


def count_feature_bytes(front: keras.Model, split: Split, variations: int = 1) -> int:
    """Returns the bytes of a split's float16 features in a number of variations.

    Args:
        front: The shape of its output is that of an example's features.
        split: Only the examples that are shown count.
        variations: Each has features of its own.
    """
    return len(split.shown) * variations * prod(front.output_shape[1:]) * 2


def measure_seconds_each(split: Split, front: keras.Model, augment: Augment | None) -> float:
    """Measures the seconds per example, without the first batch, which traces the graph.

    Args:
        split: Its first batches are computed.
        front: Computes the features.
        augment: Takes a part of the time; None for no variation.
    """
    batches = _compute_batches(split, front, 2, 0, augment)
    next(batches)
    began = time.monotonic()
    examples = sum(map(len, islice(batches, _TIMED)))
    return (time.monotonic() - began) / examples


def compute_features(
    split: Split,
    front: keras.Model,
    copies: int = 1,
    seed: int = 0,
    augment: Augment | None = None,
    scratch: Path | None = None,
) -> Split:
    """Returns a split of the shown examples whose inputs are their features, float16.

    Args:
        split: Has the inputs that `front` reads.
        front: Computes the features.
        copies: Variations of all examples, one after the other.
        seed: Each variation has other draws of it.
        augment: None for no variation.
        scratch: Folder that takes what memory cannot hold; None for the system's temporary folder.
    """
    shape = (copies * len(split.shown), *front.output_shape[1:])
    batches = _compute_batches(split, front, copies, seed, augment)
    inputs = input_pipeline.store(batches, shape, np.float16, scratch)
    result = replace(split, inputs=inputs, copies=copies)
    if split.only is None:
        return result
    labels, groups = split.labels[split.shown], split.groups[split.shown]
    return replace(result, counts=(len(labels),), labels=labels, groups=groups, only=None)


def _compute_batches(
    split: Split, front: keras.Model, copies: int, seed: int, augment: Augment | None
) -> Iterator[np.ndarray]:
    """Yields the features of each variation of a split's examples batch by batch, and logs progress."""
    compute = tf.function(
        lambda inputs: tf.cast(front(inputs, training=False), tf.float16),
        reduce_retracing=True,
        autograph=False,
    )
    examples = len(split.shown)
    began = time.monotonic()
    reported, count = began, 0

    for copy in range(copies):
        draws = tf.gather(make_draws(seed, copy, len(split.labels)), split.shown)
        draws = tf.data.Dataset.from_tensor_slices(draws).batch(READ_BATCH)
        for (inputs, _), batch_draws in zip(make_eval_batches(split, READ_BATCH), draws, strict=True):
            computed = compute(inputs if augment is None else augment(inputs, batch_draws)).numpy()
            count += len(computed)
            if (now := time.monotonic()) - reported > _REPORT_EVERY_S:
                reported, left_s = now, (now - began) * (copies * examples / count - 1)
                text = "Features of %d of %d examples, variation %d of %d, %.0f s to go."
                _progress.info(text, count - copy * examples, examples, copy + 1, copies, left_s)
            yield computed


def fit_last_layer(model: keras.Model, batches: tf.data.Dataset, front: keras.Model | None = None) -> None:
    """Fits the last layer, a Dense one with softmax, to the other layers' output for weighted batches.

    The layer's inputs are standardised for the fit, and the standardisation becomes part of its weights.

    Args:
        model: Has a layer named `FRONT`; only the weights of its last layer change.
        batches: (input, label id, sample weight); the first 50,000 examples or so are read.
        front: Reads the inputs of batches; None if these are features.
    """
    last = model.layers[-1]
    others = keras.Model(model.get_layer(FRONT).output, last.input)

    @tf.function(autograph=False)
    def compute(inputs: tf.Tensor) -> tf.Tensor:
        return others(front(inputs, training=False) if front else inputs, training=False)

    computed, examples = [], 0
    for inputs, labels, weights, *_ in batches:  # the answers of a teacher come last
        computed.append((compute(inputs).numpy(), labels, weights))
        examples += len(labels)
        if examples >= _MOST_EXAMPLES:
            break
    inputs, labels, weights = (np.concatenate(parts) for parts in zip(*computed, strict=True))
    inputs = inputs.astype(np.float32)
    mean = inputs.mean(axis=0)
    deviation = inputs.std(axis=0)
    # A feature that hardly varies here must not count as much as others: another photo may have a lot of it.
    deviation += 0.1 * deviation.mean() or 1.0
    fitted = keras.Sequential(
        [
            keras.Input(inputs.shape[1:]),
            keras.layers.Dense(
                last.units,
                "softmax",
                kernel_initializer="zeros",
                kernel_regularizer=keras.regularizers.L2(_L2),
                dtype="float32",
            ),
        ]
    )
    fitted.compile(keras.optimizers.Adam(_LEARNING_RATE), keras.losses.SparseCategoricalCrossentropy())
    everything = tf.data.Dataset.from_tensors(((inputs - mean) / deviation, labels, weights))
    # As one epoch: Keras begins each with a new iterator, which takes ten times as long as a step.
    fitted.fit(everything.repeat(_STEPS), verbose=0)
    kernel, bias = fitted.get_weights()
    kernel /= deviation[:, np.newaxis]
    last.set_weights([kernel, bias - mean @ kernel])
