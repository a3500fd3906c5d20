"""Features of photos among others, in which parts that many of them show count little.

A small thing is found by itself, whatever other photos have the same background: the weight of each cell of a
photo grows with its distance from the cells of other photos. Words of a text likewise weigh more the fewer
other texts have them (Spärck Jones, 1972; Sivic and Zisserman, 2003, for parts of photos).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.photos.likeness import SIDE
from edgeline.records.photo_features import CELLS, SIZE, STAGES, unpack

# The number of photos that cells are compared with; how many of these may show one object, with the photo
# itself; and the number of photos for the variance of cells. Of pairs of rendered things, at 0.3 false ones a
# photo, 0.43 were found; with 24 others 0.34, without weights 0.33. Of real things that were cut out and put
# elsewhere, 0.73 were found, and 0.41 without weights.
_OTHERS, _MATES, _SAMPLE = 96, 4, 512
# A cell is compared by the two stages with the smallest receptive fields.
_CHANNELS = sum(STAGES[:2])
_SHRINKAGE, _LEAST, _ROWS, _AT_ONCE = 0.02, 1e-3, 256, 16

_Floats = NDArray[np.float32]


def compute_features(looks: Sequence[bytes]) -> _Floats:
    """Returns a network's features of looks, float32 [n, 928]; [n, 0] unless all looks have them.

    These are the weighted mean, deviation, largest and smallest value of each channel over a photo's cells.
    """
    if not looks or any(len(look) != SIDE * SIDE + SIZE for look in looks):
        return np.empty((len(looks), 0), np.float32)
    weigh = _Rarity(_unpack_cells(looks, _sample_evenly(len(looks), _SAMPLE)))
    features = []
    for top in range(0, len(looks), _ROWS):
        cells = _unpack_cells(looks, range(top, min(top + _ROWS, len(looks))))
        features.append(_pool(cells, weigh(cells)))
    return np.concatenate(features)


def _unpack_cells(looks: Sequence[bytes], numbers: Sequence[int]) -> _Floats:
    return unpack([looks[number][SIDE * SIDE :] for number in numbers])


def _sample_evenly(count: int, most: int) -> list[int]:
    return [round(number) for number in np.linspace(0, count - 1, min(count, most))]


class _Rarity:
    """The weights of photos' cells, from a sample of all photos."""

    def __init__(self, sample: _Floats) -> None:
        cells = _select_channels(sample).reshape(-1, _CHANNELS)
        self._mean = cells.mean(0)
        covariance = (cells - self._mean).T @ (cells - self._mean) / len(cells)
        values, vectors = np.linalg.eigh(covariance)
        self._whitening = vectors / np.sqrt(values.clip(0) + _SHRINKAGE * values.mean() + 1e-12)
        others = self._whiten(sample[_sample_evenly(len(sample), _OTHERS)])
        self._others = np.ascontiguousarray(others.transpose(1, 2, 0))  # [cells, channels, photos]

    def __call__(self, photos: _Floats) -> _Floats:
        """Returns the weights of n photos' cells, (1 - similarity to other photos)^2, float32 [n, 64]."""
        weights = []
        mates = min(_MATES, self._others.shape[2] - 1)
        for top in range(0, len(photos), _AT_ONCE):
            cells = self._whiten(photos[top : top + _AT_ONCE]).reshape(-1, _CHANNELS)
            nearest = cells @ self._others[0]
            for others in self._others[1:]:  # much faster than one product and its maxima
                np.maximum(nearest, cells @ others, out=nearest)
            weights.append(1 - -np.partition(-nearest, mates, axis=1)[:, mates])
        return np.maximum(np.concatenate(weights), _LEAST).reshape(-1, CELLS).astype(np.float32) ** 2

    def _whiten(self, photos: _Floats) -> _Floats:
        return _normalize((_select_channels(photos) - self._mean) @ self._whitening)


def _select_channels(photos: _Floats) -> _Floats:
    first, second = STAGES[:2]
    return np.concatenate(
        [_normalize(photos[..., :first]), _normalize(photos[..., first : first + second])], -1
    )


def _pool(photos: _Floats, weights: _Floats) -> _Floats:
    shares = (weights / weights.sum(1, keepdims=True))[..., None]
    strengths = (weights / weights.max(1, keepdims=True))[..., None]
    features = []
    for stage in np.split(photos, np.cumsum(STAGES)[:-1], axis=2):
        mean = (stage * shares).sum(1)
        deviation = np.sqrt(((stage - mean[:, None]) ** 2 * shares).sum(1))
        apart = (stage - stage.mean(1, keepdims=True)) * strengths
        features += [_normalize(part) for part in (mean, deviation, apart.max(1), apart.min(1))]
    return np.concatenate(features, 1)


def _normalize(vectors: _Floats) -> _Floats:
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)).astype(np.float32)
