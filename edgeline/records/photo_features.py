"""Features of photos by a frozen network, computed by ingest for near twins and read by the ModelValidator.

They are the mean and the largest value of each channel over the cells of a photo.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Channels of the stages 3, 4 and 5 of EfficientNet-Lite0.
STAGES = (40, 80, 112)
CELLS = 64
_CHANNELS = sum(STAGES)
_LEVELS = 15
_LIMITS = 2 * 2 * _CHANNELS  # bytes of the smallest and largest values, float16
SIZE = _LIMITS + CELLS * _CHANNELS // 2


def pack(cells: NDArray[np.float32]) -> bytes:
    """Packs the features of one photo, float32 [64, 232]."""
    limits = np.stack([cells.min(0), cells.max(0)]).astype(np.float16)
    low, high = limits.astype(np.float32)
    levels = np.rint((cells - low) / np.maximum(high - low, 1e-6) * _LEVELS).clip(0, _LEVELS).astype(np.uint8)
    return limits.tobytes() + (levels[::2] << 4 | levels[1::2]).tobytes()


def unpack(photos: Sequence[bytes]) -> NDArray[np.float32]:
    """Returns the features of packed photos, float32 [n, 64, 232]."""
    packed = np.frombuffer(b"".join(photos), np.uint8).reshape(len(photos), SIZE)
    limits = packed[:, :_LIMITS].copy().view(np.float16).reshape(-1, 2, 1, _CHANNELS).astype(np.float32)
    low, high = limits[:, 0], limits[:, 1]
    pairs = packed[:, _LIMITS:].reshape(-1, CELLS // 2, 1, _CHANNELS)
    levels = np.concatenate([pairs >> 4, pairs & _LEVELS], 2).reshape(-1, CELLS, _CHANNELS)
    return low + levels * ((high - low) / np.float32(_LEVELS))


_FILE = "photo_features.npz"


def write_features(folder: Path, photos: Iterable[tuple[str, bytes]]) -> None:
    """Writes the features of photos; `photos` yields ids, and looks that end with the packed features.

    Nothing is written without photos, or if one has no packed features since the network is not installed.
    """
    features: dict[str, NDArray[np.float16]] = {}
    for name, look in photos:
        if len(look) <= SIZE:
            return
        (cells,) = unpack([look[-SIZE:]])
        features[name] = np.concatenate([cells.mean(0), cells.max(0)]).astype(np.float16)
    if features:
        np.savez(folder / _FILE, ids=np.array([*features]), features=np.stack([*features.values()]))


def read_features(folder: Path) -> Mapping[str, NDArray[np.float16]]:
    """Reads the features, [464], by the id of a photo; empty if there are none."""
    if not (folder / _FILE).is_file():
        return {}
    with np.load(folder / _FILE) as file:
        return dict(zip(file["ids"].tolist(), file["features"], strict=True))
