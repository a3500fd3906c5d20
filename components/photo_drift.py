"""Drift of photos: the share of the newest span's photos that are unlike all photos of earlier spans.

A photo's distance is the mean of those to its nearest photos of other earlier spans and sessions, by features
of a frozen network. A photo of the newest span is unlike those before if its distance is larger than 99 % of
theirs, so about 1 % are by chance.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.predictions import write_previews
from components.raw_rows import Rows
from edgeline.intervals import compute_group_interval
from edgeline.records.evaluation import PHOTO_DRIFT, PhotoDrift, UnlikePhoto
from edgeline.records.workload import Workload

# A random sample of each span is compared; the features of so few photos tell nothing.
_MOST_PHOTOS, _FEWEST_PHOTOS, _FEWEST_SPANS = 400, 30, 3
_NEIGHBOURS, _QUANTILE = 5, 0.99
_MOST_SHOWN = 10
_SEED = 20


def write_photo_drift(
    folder: Path, examples: Any, splits: Sequence[tuple[str, Rows]], workload: Workload
) -> PhotoDrift | None:
    """Writes how many photos of the newest span are unlike those before, with previews, and returns it.

    Writes nothing unless enough spans have photos to compare.

    Args:
        folder: The folder of the ModelValidator's evaluation.
        examples: The artifact with the examples, for the previews.
        splits: The name of each split, with the features of its photos.
        workload: Tells how a photo is shown.

    Returns:
        The record that was written; None if nothing was.
    """
    split_of = {name: split for split, rows in splits for name in rows.ids}
    ids = np.concatenate([rows.ids for _, rows in splits])
    features = np.concatenate([rows.features for _, rows in splits])
    groups = np.concatenate([rows.groups for _, rows in splits])
    spans = np.array([name.partition("/")[0] for name in ids])
    chosen = _sample(spans)
    names = sorted(set(spans[chosen].tolist()))
    if len(names) < _FEWEST_SPANS or names[-1] != max(spans):
        return None
    ids, spans, groups = ids[chosen], spans[chosen], np.unique(groups[chosen], return_inverse=True)[1]
    is_new = spans == names[-1]
    distances = _measure_distances(features[chosen], spans, groups, ~is_new)
    threshold = np.quantile(distances[~is_new], _QUANTILE)
    is_unlike = distances > threshold
    interval = compute_group_interval(is_unlike[is_new], groups[is_new])
    order = np.argsort(-distances, kind="stable")
    unlike = ids[order[is_new[order] & is_unlike[order]]][:_MOST_SHOWN].tolist()
    previews = write_previews(
        folder, "photo_drift", examples, {name: split_of[name] for name in unlike}, workload
    )
    shown = tuple(UnlikePhoto(name, preview.file) for name, preview in previews.items())
    share = float(is_unlike[is_new].mean())
    count = int(is_new.sum())
    drift = PhotoDrift(names[-1], count, share, *interval, shown)
    PHOTO_DRIFT.write(folder, drift)
    return drift


def _sample(spans: NDArray[Any]) -> NDArray[np.int64]:
    """Returns the positions of a random sample of the photos of each span that has enough."""
    random = np.random.default_rng(_SEED)
    parts = []
    for name in sorted(set(spans)):
        numbers = np.flatnonzero(spans == name)
        if len(numbers) >= _FEWEST_PHOTOS:
            parts.append(np.sort(random.permutation(numbers)[:_MOST_PHOTOS]))
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _measure_distances(
    features: NDArray[Any], spans: NDArray[Any], groups: NDArray[Any], is_earlier: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Returns the mean distance of each photo to the nearest earlier ones of other spans and sessions."""
    scaled = (features - features[is_earlier].mean(0)) / (features[is_earlier].std(0) + 1e-6)
    earlier = scaled[is_earlier]
    squares = (earlier**2).sum(1)
    means = []
    for photo, span, group in zip(scaled, spans, groups, strict=True):
        distances = squares - 2 * earlier @ photo + photo @ photo
        others = (spans[is_earlier] != span) & (groups[is_earlier] != group)
        nearest = np.sort(distances[others])[:_NEIGHBOURS]
        means.append(np.sqrt(nearest.clip(0)).mean() if len(nearest) else 0.0)
    return np.array(means)
