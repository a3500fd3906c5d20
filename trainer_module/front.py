"""A frozen front: what training leaves as it is, is computed once.

A network that begins with weights of its own is trained in three steps. The front gives its features of every
example, in a few variations, once. The last layer is fitted to them, which takes seconds; from random weights
there, the first steps would spoil what the others know. Then all that comes after the front is trained.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod

import keras
import numpy as np
import tensorflow as tf

from trainer_module.input_pipeline import READ_BATCH, Split, bytes_to_keep, evaluation_batches, keep
from trainer_module.workload_module import DRAWS, FRONT

_progress = logging.getLogger("edgeline.progress")

# Variations of each example that features are kept of: epochs take one after the other.
COPIES = 4
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


def copies_that_fit(front: keras.Model, examples: int, epochs: int) -> int:
    """Of how many variations the features of so many examples can be kept, beside the eval split's."""
    size = examples * prod(front.output_shape[1:]) * 2  # float16
    return min(COPIES, epochs, bytes_to_keep() // size)


def features(
    split: Split,
    front: keras.Model,
    copies: int = 1,
    seed: int = 0,
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> Split:
    """A split as the front gives it, float16; of each copy every example is varied by draws of its own."""
    compute = tf.function(lambda inputs: tf.cast(front(inputs, training=False), tf.float16))
    examples = len(split.labels)

    def computed() -> Iterator[np.ndarray]:
        for copy in range(copies):
            draws = tf.random.stateless_uniform((examples, DRAWS), (seed, copy))
            at = 0
            for inputs, labels in evaluation_batches(split, READ_BATCH):
                here = draws[at : at + len(labels)]
                at += len(labels)
                yield compute(inputs if augment is None else augment(inputs, here)).numpy()
            _progress.info("Features of %d examples, variation %d of %d.", examples, copy + 1, copies)

    shape = (copies * examples, *front.output_shape[1:])
    return replace(split, inputs=keep(computed(), shape, np.float16), copies=copies)


def fit_last_layer(model: keras.Model, batches: tf.data.Dataset, kept: bool) -> None:
    """Fits the last layer, a Dense one with softmax, to what the others give of these weighted batches.

    Batches are of what the front gives where that is `kept`, else of what the model reads. The layer's inputs
    are standardised for that, and the standardisation becomes part of its weights.
    """
    last = model.layers[-1]
    before = keras.Model(model.get_layer(FRONT).output if kept else model.input, last.input)
    compute = tf.function(lambda inputs: before(inputs, training=False))
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
