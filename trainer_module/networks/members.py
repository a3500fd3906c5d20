"""Layers of an ensemble whose members share their weights, as plain operations of TFLite.

A member multiplies what a shared layer reads, and scales and shifts what it returns, by numbers of its own
(BatchEnsemble: Wen, Tran and Ba, 2020, arXiv:2002.06715). So it costs vectors, and not matrices.
"""

from __future__ import annotations

from typing import Any

import keras


class Scale(keras.layers.Layer):
    """A product of each member's input with numbers of its own, which begin as 1.

    With `signs`, they begin as -1 or 1 at random, which makes members differ.
    """

    def __init__(self, members: int, signs: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.members, self.signs = members, signs

    def build(self, input_shape: Any) -> None:
        """Creates the numbers."""

        def draw_signs(shape: Any, dtype: Any = None) -> Any:
            # Keras's global generator, by default, goes on where the training before this one stopped.
            return keras.ops.sign(keras.initializers.RandomUniform(-1.0, 1.0)(shape, dtype))

        initializer = draw_signs if self.signs else "ones"
        self.scale = self.add_weight((self.members, input_shape[-1]), initializer, name="scale")

    def call(self, inputs: Any) -> Any:
        """Maps float32 [N, 1 or members, size] to [N, members, size]."""
        return inputs * self.scale


class MeanOfMembers(keras.layers.Layer):
    """The mean of the members' probabilities, [N, members, labels]; in training, those of each."""

    def call(self, probabilities: Any, training: bool = False) -> Any:
        """Returns float32 [N, labels], or in training its input."""
        return probabilities if training else keras.ops.mean(probabilities, axis=1)
