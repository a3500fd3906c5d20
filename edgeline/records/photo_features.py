"""Features of photos by a frozen network: ingest computes them for near twins, and the Evaluator reads them.

They are the mean and the largest value of each channel of `seen_photo` over the cells of a photo.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeline.records.seen_photo import SIZE, unpack

_FILE = "photo_features.npz"
_AT_ONCE = 1_000


def write_features(folder: Path, photos: Iterable[tuple[str, bytes]]) -> None:
    """Writes the features of photos, given the id and the packed features of each at the end of its look.

    Nothing is written without photos, or if one has no packed features since the network is not installed.
    """
    ids: list[str] = []
    waiting: list[bytes] = []
    features: list[NDArray[np.float16]] = []

    def describe() -> None:
        cells = unpack(waiting)
        features.append(np.concatenate([cells.mean(1), cells.max(1)], 1).astype(np.float16))
        waiting.clear()

    for name, look in photos:
        if len(look) <= SIZE:
            return
        ids.append(name)
        waiting.append(look[-SIZE:])
        if len(waiting) == _AT_ONCE:
            describe()
    if waiting:
        describe()
    if ids:
        np.savez(folder / _FILE, ids=np.array(ids), features=np.concatenate(features))


def read_features(folder: Path) -> Mapping[str, NDArray[np.float16]]:
    """Reads the features, [464], by the id of a photo; empty if there are none."""
    if not (folder / _FILE).is_file():
        return {}
    with np.load(folder / _FILE) as file:
        return dict(zip(file["ids"].tolist(), file["features"], strict=True))
