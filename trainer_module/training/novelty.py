"""The output `unlike`: how far the features of an example are from those of the training examples.

The distance has two parts: within the first principal components, that of Mahalanobis to the nearest class
mean (Lee and others, 2018, arXiv:1807.03888); and what these components do not explain (virtual logits, Wang
and others, 2022, arXiv:2203.10807, measure both too). Both survive int8: a steep tanh keeps weak features
apart, and constant far rows beside the example widen the ranges, which calibration takes from training
examples only.
"""

from dataclasses import astuple, dataclass, replace

import keras
import numpy as np
from keras import ops

from edgeline.records.edge import UNLIKE
from trainer_module.training import calibration
from trainer_module.training.input_pipeline import Split

_FALSE_ALARMS = 0.05
# Features of photos of 224 pixels take 40 ms each on a processor.
_MOST_COMPONENTS, MOST_EXAMPLES = 16, 1_000
# Fewer examples describe no class; and 5 % of fewer held-out ones is less than one.
_FEWEST_TRAINED, _FEWEST_HELD_OUT = 30, 20
# Features of the mean size are multiplied to this value before tanh.
_GAIN = 2.0
# Deviation of a feature by the rounding in an int8 file; no component is taken for more precise.
_ROUNDING = 0.02
# The largest distance that the output shows, in thresholds, and the steepness of the output.
_FAR, _STEEPNESS = 2.0, 8.0
_SEED = 30


def add_unlike(
    model: keras.Model, features: keras.KerasTensor, training: Split, held_out: Split, batch_size: int
) -> keras.Model | None:
    """Returns a trained model with a second output, float32 [N, 1] in 0..1; None for too few examples.

    Of large splits, a sample is taken.

    Args:
        model: Its own output stays the first one.
        features: A tensor in it, [N, features], from which the output is computed.
        training: The examples that it was trained on.
        held_out: Others, of which 5 % get more than 0.5; of 20 none.
        batch_size: For speed and memory alone.
    """
    if len(training.shown) < _FEWEST_TRAINED or len(held_out.shown) < _FEWEST_HELD_OUT:
        return None
    reader, (training, held_out) = keras.Model(model.input, features), map(_sample, (training, held_out))
    trained = calibration.predict(reader, training, batch_size)
    gain = _GAIN / max(float(np.abs(trained).mean()), 1e-6)
    space = _fit(np.tanh(gain * trained), training.labels[training.shown])
    new = space.measure(np.tanh(gain * calibration.predict(reader, held_out, batch_size)))
    middles = np.median(new, axis=0) + 1e-6
    threshold = np.quantile((new / middles).sum(axis=1), 1 - _FALSE_ALARMS, method="higher")
    scaled = keras.layers.Rescaling(gain, dtype="float32")(features)
    unlike = _Unlike(space, middles * threshold, name=UNLIKE, dtype="float32")(ops.tanh(scaled))
    return keras.Model(model.input, [model.output, unlike])


def _sample(split: Split) -> Split:
    chosen = np.random.default_rng(_SEED).permutation(split.shown)[:MOST_EXAMPLES]
    return replace(split, only=np.isin(np.arange(len(split.labels)), chosen))


@dataclass(frozen=True)
class _Space:
    """The principal components of features, [features, components], and the class means."""

    center: np.ndarray  # [features]
    directions: np.ndarray  # orthonormal
    whitening: np.ndarray  # directions in which the deviation within a class is 1
    means: np.ndarray  # [classes, components], whitened

    def measure(self, features: np.ndarray) -> np.ndarray:
        """Returns both distances of each example, [N, 2]."""
        centered = features - self.center
        apart = np.abs((centered @ self.whitening)[:, np.newaxis] - self.means)
        rest = centered - centered @ self.directions @ self.directions.T
        return np.stack([apart.mean(-1).min(1), np.abs(rest).mean(1)], axis=1)


def _fit(features: np.ndarray, labels: np.ndarray) -> _Space:
    features = features.astype(np.float64)
    names, classes = np.unique(labels, return_inverse=True)
    means = np.stack([features[labels == name].mean(axis=0) for name in names])
    center = features.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(features - center, rowvar=False))
    directions = directions[:, : -_MOST_COMPONENTS - 1 : -1]
    within = (features - means[classes]) @ directions
    covariance = within.T @ within / len(within) + _ROUNDING**2 * np.eye(within.shape[1])
    whitening = directions @ np.linalg.cholesky(np.linalg.inv(covariance))
    return _Space(center, directions, whitening, (means - center) @ whitening)


class _Unlike(keras.layers.Layer):
    """Maps features to 0.5 where the sum of both distances, each by its scale, is 1."""

    def __init__(self, space: _Space, scales: np.ndarray, **options: str) -> None:
        super().__init__(**options)
        self._space, self._scales = space, scales
        inside, rest = _FAR * scales
        signs = np.where(np.arange(len(space.center)) % 2, 1.0, -1.0)
        widest = inside + np.abs(space.means).max(axis=0)
        along = np.linalg.pinv(space.whitening).T @ (widest * signs[: len(widest)])
        across = signs - space.directions @ (space.directions.T @ signs)
        across *= rest / max(np.abs(across).mean(), 1e-6)
        self._far = (space.center + np.stack([along, across])).clip(-1, 1)

    def call(self, features: keras.KerasTensor) -> keras.KerasTensor:
        constants = (self._far, *astuple(self._space), *(1 / self._scales))
        far, center, directions, whitening, means, inside, rest = (
            ops.convert_to_tensor(constant, "float32") for constant in constants
        )
        centered = ops.concatenate([features, far]) - center
        apart = ops.matmul(centered, whitening)[:, np.newaxis] - means
        residual = centered - ops.matmul(ops.matmul(centered, directions), ops.transpose(directions))
        distances = ops.min(ops.mean(ops.abs(apart), axis=-1), axis=1) * inside
        distances += ops.mean(ops.abs(residual), axis=-1) * rest
        return ops.sigmoid(_STEEPNESS * (ops.minimum(distances, _FAR) - 1.0))[: -len(self._far), np.newaxis]
