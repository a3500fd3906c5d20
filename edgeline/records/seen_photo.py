"""Packed features of a photo: 8,352 bytes for the outputs of a network in 64 cells (8 x 8).

Each cell has 232 values from three stages of the network, with 4 bits each, scaled between the smallest and
the largest value of the photo. On 300 photos, as many pairs were recognised as with float32.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Channels of the stages 3, 4 and 5 of EfficientNet-Lite0.
STAGES = (40, 80, 112)
CELLS = 64
_CHANNELS, _LEVELS = sum(STAGES), 15
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
