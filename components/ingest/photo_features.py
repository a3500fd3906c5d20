"""Features of photos by a frozen network: ingest computes them for near twins, the Evaluator reads them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.ingest.example_shards import Look
from edgeline.records.seen_photo import SIZE, unpack

_FILE = "photo_features.npz"
# Train photos whose features are kept; 928 bytes each.
_MOST_TRAINED = 20_000
_AT_ONCE = 1_000


def write_features(folder: Path, shards: Iterable[list[Look]]) -> None:
    """Writes the features of eval photos and of a random sample of train photos; nothing without a network.

    The features are the mean and the largest value of each channel over the cells of a photo.
    """
    places: list[str] = []
    features: list[NDArray[np.float16]] = []
    waiting: list[Look] = []
    trained = 0

    def describe() -> None:
        cells = unpack([look.look[-SIZE:] for look in waiting])
        places.extend(look.place for look in waiting)
        features.append(np.concatenate([cells.mean(1), cells.max(1)], 1).astype(np.float16))
        waiting.clear()

    for shard in shards:
        for look in shard:
            if len(look.look) <= SIZE:
                return  # the network is not installed
            trained += look.split == "train"
            if look.split == "eval" or trained <= _MOST_TRAINED:
                waiting.append(look)
            if len(waiting) == _AT_ONCE:
                describe()
    if waiting:
        describe()
    if places:
        np.savez(folder / _FILE, places=np.array(places), features=np.concatenate(features))


def read_features(folder: Path) -> Mapping[str, NDArray[np.float16]]:
    """Reads the features, [464], by the id of a photo; empty if there are none."""
    if not (folder / _FILE).is_file():
        return {}
    with np.load(folder / _FILE) as file:
        return dict(zip(file["places"].tolist(), file["features"], strict=True))
