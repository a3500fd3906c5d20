"""Layers of the text model, for which TFLite needs only its builtin operations.

Keras's own LSTM keeps its steps in a list of tensors with an open batch size, which the converter refuses
without Flex. Here the loop carries plain tensors and looks each step up. It becomes one WHILE for any length;
unrolled, 64 steps are 1,800 operations and 400 kB more.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class BidirectionalLSTM(keras.layers.Layer):
    """The final states of two LSTMs that read a masked sequence forwards and backwards.

    Equal to `keras.layers.Bidirectional(keras.layers.LSTM(units))`: a masked step leaves the state as it was.
    The mask is required.
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self.units = units
        self.ahead, self.back = keras.layers.LSTMCell(units), keras.layers.LSTMCell(units)

    def build(self, input_shape: Any) -> None:
        """Creates the weights outside the loop, which must not create any."""
        for cell in (self.ahead, self.back):
            cell.build((input_shape[0], input_shape[2]))

    def call(self, sequence: tf.Tensor, mask: Any = None, training: bool = False) -> tf.Tensor:
        """Maps float32 [N, length, E] to [N, 2 * units].

        Args:
            sequence: Embedded words; the length is fixed.
            mask: Tells words from padding, bool [N, length]; Keras passes that of the layer before.
            training: If true, steps are read in a way whose gradient needs less memory.
        """
        length = sequence.shape[1]
        steps = tf.transpose(sequence, (1, 0, 2))
        present = tf.transpose(mask)[:, :, tf.newaxis]
        if training:
            # The gradient of a look-up is as large as all steps together; a TensorArray has a smaller one.
            read_step = tf.TensorArray(steps.dtype, length, clear_after_read=False).unstack(steps).read
        else:
            read_step = lambda step: tf.gather(steps, step)  # noqa: E731

        def advance(cell: Any, step: tf.Tensor, state: list[tf.Tensor]) -> list[tf.Tensor]:
            _, after = cell(read_step(step), state)
            is_word = tf.gather(present, step)
            return [tf.where(is_word, new, old) for new, old in zip(after, state, strict=True)]

        def advance_both(step: tf.Tensor, ahead: list[tf.Tensor], back: list[tf.Tensor]) -> tuple[Any, ...]:
            return step + 1, advance(self.ahead, step, ahead), advance(self.back, length - 1 - step, back)

        # Neither this loop nor PooledWords may have a float constant: float16 files dequantise it, and with
        # XNNPACK (TensorFlow 2.16) operations outside it then read wrong values: an empty text gives NaN.
        zeros = tf.repeat(tf.zeros_like(sequence[:, 0, :1]), self.units, axis=1)
        start = (tf.constant(0), [zeros, zeros], [zeros, zeros])
        _, ahead, back = tf.while_loop(
            lambda step, *_: step < length, advance_both, start, maximum_iterations=length
        )
        return tf.concat([ahead[0], back[0]], axis=1)

    def compute_mask(self, sequence: Any, mask: Any = None) -> None:
        """Returns None, as the output is not a sequence."""


class PooledWords(keras.layers.Layer):
    """The sum of a masked sequence divided by the root of its length; 0 if everything is masked.

    The root keeps a long text from looking like no text, and a short one from looking certain. With
    `largest`, the maximum over the sequence follows.
    """

    def __init__(self, largest: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self.largest = largest

    def call(self, sequence: tf.Tensor, mask: Any = None) -> tf.Tensor:
        """Maps float32 [N, length, E] to [N, E], or [N, 2 * E]."""
        words = sequence * tf.cast(mask, sequence.dtype)[:, :, tf.newaxis]
        length = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1, keepdims=True), 1)
        mean = tf.reduce_sum(words, axis=1) * tf.math.rsqrt(tf.cast(length, sequence.dtype))
        return tf.concat([mean, tf.reduce_max(words, axis=1)], axis=1) if self.largest else mean

    def compute_mask(self, sequence: Any, mask: Any = None) -> None:
        """Returns None, as the output is not a sequence."""
