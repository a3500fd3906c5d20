"""A frozen front: what training leaves as it is, is computed once.

A network that begins with weights of its own is trained in three steps. The front gives its features of every
example, in a few variations, once. The last layer is fitted to them, which takes seconds; from random weights
there, the first steps would spoil what the others know. Then all that comes after the front is trained.

How many variations there are is a setting. Where neither memory nor disk has room for their features, each
epoch computes them again: the same numbers, so that a seed gives the same model on any machine.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from math import prod
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from trainer_module.input_pipeline import READ_BATCH, Split, draws_of, evaluation_batches, keep
from trainer_module.workload_module import FRONT

_progress = logging.getLogger("edgeline.progress")

# Batches by which the time of features is measured.
_TIMED = 3
# Seconds between two lines on how far it is.
_TOLD_EVERY_S = 10.0
# The last layer is fitted by so many steps of all examples, or of some where there are more: of 1,280 numbers
# each these are 256 MB.
_STEPS, _MOST_EXAMPLES = 200, 50_000
_LEARNING_RATE, _L2 = 1e-2, 1e-3


def parts(model: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """The frozen front of a model and the rest of it, which share its weights; None where it has no front."""
    if all(layer.name != FRONT for layer in model.layers):
        return None
    features = model.get_layer(FRONT).output
    return keras.Model(model.input, features), keras.Model(features, model.output)


def rounded(front: keras.Model) -> keras.Model:
    """The front, whose features are as exact as those that are kept: float16, given as float32."""
    features = keras.ops.cast(keras.ops.cast(front.output, "float16"), "float32")
    return keras.Model(front.input, features)


def size_of(front: keras.Model, split: Split, variations: int = 1) -> int:
    """The bytes that the features of a split's examples take, float16, in so many variations."""
    return len(split.shown) * variations * prod(front.output_shape[1:]) * 2


def seconds_each(
    split: Split, front: keras.Model, augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None
) -> float:
    """The time that the features of one example take, without the first batch, which traces the graph."""
    batches = _computed(split, front, 2, 0, augment)
    next(batches)
    began = time.monotonic()
    examples = sum(map(len, islice(batches, _TIMED)))
    return (time.monotonic() - began) / examples


def features(
    split: Split,
    front: keras.Model,
    copies: int = 1,
    seed: int = 0,
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
    scratch: Path | None = None,
) -> Split:
    """What is shown of a split as the front gives it, float16, and nothing else of it.

    Of each copy every example is varied by draws of its own; `scratch` takes what memory cannot hold.
    """
    shape = (copies * len(split.shown), *front.output_shape[1:])
    kept = keep(_computed(split, front, copies, seed, augment), shape, np.float16, scratch)
    made = replace(split, inputs=kept, copies=copies)
    if split.only is None:
        return made
    labels, groups = split.labels[split.shown], split.groups[split.shown]
    return replace(made, counts=(len(labels),), labels=labels, groups=groups, only=None)


def _computed(
    split: Split,
    front: keras.Model,
    copies: int,
    seed: int,
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None,
) -> Iterator[np.ndarray]:
    """The features of each variation of a split's examples, batch by batch, and how far they are."""
    compute = tf.function(
        lambda inputs: tf.cast(front(inputs, training=False), tf.float16), reduce_retracing=True
    )
    examples, began = len(split.shown), time.monotonic()
    told, done = began, 0
    for copy in range(copies):
        indices = tf.data.Dataset.from_tensor_slices(split.shown)
        draws = indices.map(lambda index, copy=copy: draws_of(seed, copy, index)).batch(READ_BATCH)
        for (inputs, _), here in zip(evaluation_batches(split, READ_BATCH), draws, strict=True):
            computed = compute(inputs if augment is None else augment(inputs, here)).numpy()
            done += len(computed)
            if (now := time.monotonic()) - told > _TOLD_EVERY_S:
                told, left_s = now, (now - began) * (copies * examples / done - 1)
                share = "Features of %d of %d examples, variation %d of %d, %.0f s to go."
                _progress.info(share, done - copy * examples, examples, copy + 1, copies, left_s)
            yield computed


def fit_last_layer(model: keras.Model, batches: tf.data.Dataset, front: keras.Model | None = None) -> None:
    """Fits the last layer, a Dense one with softmax, to what the others give of these weighted batches.

    Batches are of what `front` reads, or of features where there is none. The layer's inputs are standardised
    for that, and the standardisation becomes part of its weights.
    """
    last = model.layers[-1]
    before = keras.Model(model.get_layer(FRONT).output, last.input)

    @tf.function
    def compute(inputs: tf.Tensor) -> tf.Tensor:
        return before(front(inputs, training=False) if front else inputs, training=False)

    found, examples = [], 0
    for inputs, labels, weights in batches:
        found.append((compute(inputs).numpy(), labels, weights))
        examples += len(labels)
        if examples >= _MOST_EXAMPLES:
            break
    inputs, labels, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    inputs = inputs.astype(np.float32)
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0)
    # What hardly varies here must not count for as much as what does: another photo may have a lot of it.
    deviation += 0.1 * deviation.mean()
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
    standard = (inputs - mean) / deviation
    fitted.fit(standard, labels, len(labels), _STEPS, sample_weight=weights, shuffle=False, verbose=0)
    kernel, bias = fitted.get_weights()
    kernel /= deviation[:, np.newaxis]
    last.set_weights([kernel, bias - mean @ kernel])
