"""Features of photos among others, in which parts that many of them show count little.

A small thing before a background that stands behind others too is told by itself: each cell of a photo
weighs as much as it is unlike the cells of other photos. Like the words of a text, which weigh more the
fewer other texts have them (Spärck Jones, 1972; Sivic and Zisserman, 2003, for parts of photos).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.photos.likeness import SIDE
from records.seen_photo import CELLS, SIZE, STAGES, unpack

# Photos that cells are compared with; how many of these may show one object, the photo itself among them; and
# photos that tell how cells vary. Of pairs of rendered things, at 0.3 false ones a photo, 0.43 were told, and
# 0.34 with 24 others; 0.33 without weights. Of real things cut out and put elsewhere 0.73, and 0.41 without.
_OTHERS, _MATES, _SAMPLE = 96, 4, 512
# A cell is compared by the two stages that see least around it.
_CHANNELS = sum(STAGES[:2])
_SHRINKAGE, _LEAST, _ROWS = 0.02, 1e-3, 256

_Floats = NDArray[np.float32]


def as_features(looks: Sequence[bytes]) -> _Floats:
    """Returns what a network saw, float32 [n, 928]; [n, 0] unless it saw all.

    Of each channel there are mean, deviation, largest and smallest value over a photo's cells, by weight.
    """
    if not looks or any(len(look) != SIDE * SIDE + SIZE for look in looks):
        return np.empty((len(looks), 0), np.float32)
    weigh = _Rarity(_seen(looks, _spread(len(looks), _SAMPLE)))
    features = []
    for top in range(0, len(looks), _ROWS):
        cells = _seen(looks, range(top, min(top + _ROWS, len(looks))))
        features.append(_pooled(cells, weigh(cells)))
    return np.concatenate(features)


def _seen(looks: Sequence[bytes], numbers: Sequence[int]) -> _Floats:
    return unpack([looks[number][SIDE * SIDE :] for number in numbers])


def _spread(count: int, most: int) -> list[int]:
    return [round(number) for number in np.linspace(0, count - 1, min(count, most))]


class _Rarity:
    """How much the cells of photos weigh, from a sample of all."""

    def __init__(self, sample: _Floats) -> None:
        cells = _compared(sample).reshape(-1, _CHANNELS)
        self._mean = cells.mean(0)
        covariance = (cells - self._mean).T @ (cells - self._mean) / len(cells)
        values, vectors = np.linalg.eigh(covariance)
        self._whitening = vectors / np.sqrt(values.clip(0) + _SHRINKAGE * values.mean() + 1e-12)
        others = sample[_spread(len(sample), _OTHERS)]
        self._others = self._white(others).reshape(-1, _CHANNELS)

    def __call__(self, photos: _Floats) -> _Floats:
        """float32 [n, 64]: of the n photos' cells, the square of 1 - the similarity to the other photos."""
        weights = []
        for cells in self._white(photos):
            nearest = (cells @ self._others.T).reshape(CELLS, -1, CELLS).max(2)
            mates = min(_MATES, nearest.shape[1] - 1)
            weights.append(1 - -np.partition(-nearest, mates, axis=1)[:, mates])
        return np.maximum(weights, _LEAST).astype(np.float32) ** 2

    def _white(self, photos: _Floats) -> _Floats:
        return _unit((_compared(photos) - self._mean) @ self._whitening)


def _compared(photos: _Floats) -> _Floats:
    first, second = STAGES[:2]
    return np.concatenate([_unit(photos[..., :first]), _unit(photos[..., first : first + second])], -1)


def _pooled(photos: _Floats, weights: _Floats) -> _Floats:
    shares = (weights / weights.sum(1, keepdims=True))[..., None]
    strengths = (weights / weights.max(1, keepdims=True))[..., None]
    features = []
    for stage in np.split(photos, np.cumsum(STAGES)[:-1], axis=2):
        mean = (stage * shares).sum(1)
        deviation = np.sqrt(((stage - mean[:, None]) ** 2 * shares).sum(1))
        apart = (stage - stage.mean(1, keepdims=True)) * strengths
        features += [_unit(part) for part in (mean, deviation, apart.max(1), apart.min(1))]
    return np.concatenate(features, 1)


def _unit(vectors: _Floats) -> _Floats:
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)).astype(np.float32)
