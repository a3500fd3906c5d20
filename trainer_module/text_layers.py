"""The layers of the model that reads texts, for which TFLite needs nothing but its builtin operations.

Keras's own LSTM keeps its steps in a list of tensors whose batch the SavedModel leaves open, which the
converter refuses without Flex. Here the loop carries plain tensors and looks each step up, and becomes one
WHILE whatever the length; unrolled, 64 steps are 1,800 operations and 400 kB more.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class BidirectionalLSTM(keras.layers.Layer):
    """The state of an LSTM at the end of a masked sequence, of another at its beginning.

    Equal to `keras.layers.Bidirectional(keras.layers.LSTM(units))`: a masked step leaves the state as it was.
    The mask is required.

    Args:
        units: Numbers that each of the two carries.
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self.units = units
        self.ahead, self.back = keras.layers.LSTMCell(units), keras.layers.LSTMCell(units)

    def build(self, input_shape: Any) -> None:
        """Makes the weights, which a loop must not."""
        for cell in (self.ahead, self.back):
            cell.build((input_shape[0], input_shape[2]))

    def call(self, sequence: tf.Tensor, mask: Any = None, training: bool = False) -> tf.Tensor:
        """Float32 [N, length, E] to [N, 2 * units]."""
        length = sequence.shape[1]
        steps, present = tf.transpose(sequence, (1, 0, 2)), tf.transpose(mask)[:, :, tf.newaxis]
        if training:
            # The gradient of a look-up is as large as all steps together; a list of tensors has a better one.
            read = tf.TensorArray(steps.dtype, length, clear_after_read=False).unstack(steps).read
        else:
            read = lambda step: tf.gather(steps, step)  # noqa: E731

        def one(cell: Any, step: tf.Tensor, state: list[tf.Tensor]) -> list[tf.Tensor]:
            _, after = cell(read(step), state)
            here = tf.gather(present, step)
            return [tf.where(here, new, old) for new, old in zip(after, state, strict=True)]

        def both(step: tf.Tensor, ahead: list[tf.Tensor], back: list[tf.Tensor]) -> tuple[Any, ...]:
            return step + 1, one(self.ahead, step, ahead), one(self.back, length - 1 - step, back)

        # Neither here nor in PooledWords a constant of floats: float16 files dequantise it, and with XNNPACK
        # (TensorFlow 2.16) operations that it leaves to others then read something else: NaN for no text.
        nothing = tf.repeat(tf.zeros_like(sequence[:, 0, :1]), self.units, axis=1)
        start = (tf.constant(0), [nothing, nothing], [nothing, nothing])
        _, ahead, back = tf.while_loop(lambda step, *_: step < length, both, start, maximum_iterations=length)
        return tf.concat([ahead[0], back[0]], axis=1)

    def compute_mask(self, sequence: Any, mask: Any = None) -> None:
        """None: what is given is no sequence."""

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        """Two states."""
        return input_shape[0], 2 * self.units


class PooledWords(keras.layers.Layer):
    """The sum of a masked sequence over the root of its length; where all is masked, 0.

    The root keeps a long text from looking like no text, and a short one from looking certain.

    Args:
        largest: Give the largest numbers of the sequence too.
    """

    def __init__(self, largest: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self.largest = largest

    def call(self, sequence: tf.Tensor, mask: Any = None) -> tf.Tensor:
        """Float32 [N, length, E] to [N, E], or [N, 2 * E]."""
        words = sequence * tf.cast(mask, sequence.dtype)[:, :, tf.newaxis]
        length = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1, keepdims=True), 1)
        mean = tf.reduce_sum(words, axis=1) * tf.math.rsqrt(tf.cast(length, sequence.dtype))
        return tf.concat([mean, tf.reduce_max(words, axis=1)], axis=1) if self.largest else mean

    def compute_mask(self, sequence: Any, mask: Any = None) -> None:
        """None: what is given is no sequence."""

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        """One number of each kind, or two."""
        return input_shape[0], input_shape[2] * (2 if self.largest else 1)
