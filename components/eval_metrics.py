"""Keras's metrics as TFMA computes them, without AutoGraph.

It would take seconds of each evaluation to rewrite their code, which runs eagerly and stays the same.
"""

from typing import Any

import tensorflow as tf
from tensorflow_model_analysis.utils.keras_lib import tf_keras


class _Unconverted:
    @tf.autograph.experimental.do_not_convert
    def update_state(self, *arguments: Any, **keywords: Any) -> Any:
        return super().update_state(*arguments, **keywords)  # type: ignore[misc]


class SparseCategoricalAccuracy(_Unconverted, tf_keras.metrics.SparseCategoricalAccuracy):
    """Keras's metric of this name."""


class SparseCategoricalCrossentropy(_Unconverted, tf_keras.metrics.SparseCategoricalCrossentropy):
    """Keras's metric of this name."""
