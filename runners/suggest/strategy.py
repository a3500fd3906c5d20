"""Chooses examples to label next: a tenth at random, the others those that a model learns most from.

With few labels a model does not know what it does not know, and examples that are typical of the data teach
more than those it doubts (Hacohen and others, 2022, arXiv:2202.02794): the nearest to the centres of k-means.
With more, it is those whose two most probable labels are close, one of each kind: the smallest margin in each
cluster of these (Zhdanov, 2019, arXiv:1901.05954).
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Places = NDArray[np.intp]
# Labels of a class, in the mean, from which doubts are worth more than typical examples, and the share that
# is drawn at random; docs/field.md has the measurements.
ENOUGH_LABELS, _DRAWN = 10, 0.1
# Examples with a small margin that are clustered for each suggestion (Zhdanov, 2019); at most half of all.
_DOUBTED = 10
_COMPONENTS = 128


def reduce_features(features: Floats) -> Floats:
    """Returns the principal components of standardised features, [n, at most 128], of mean deviation 1."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(features)
    components = min(_COMPONENTS, *scaled.shape)
    reduced: Floats = PCA(components, svd_solver="randomized", random_state=0).fit_transform(scaled)
    return reduced / max(float(reduced.std()), 1e-6)


def measure_margins(probabilities: Floats) -> Floats:
    """Returns the difference of the two highest probabilities of each example, [n], from [n, labels]."""
    lower, higher = np.sort(probabilities, axis=1)[:, -2:].T
    margins: Floats = higher - lower
    return margins


def choose(
    features: Floats,
    margins: Floats | None,
    slices: NDArray[np.str_],
    count: int,
    random: np.random.Generator,
) -> tuple[Places, Places]:
    """Returns the places of `count` of n examples: useful ones, and a tenth drawn at random from all.

    Args:
        features: Those of `reduce_features`, [n, features].
        margins: Those of `measure_margins`, [n]; None with few labels.
        slices: The slice of each example; each gets its share of the useful ones.
        count: At most n.
        random: The source of the draws.
    """
    sample = random.permutation(len(features))[: math.ceil(_DRAWN * count)]
    rest = np.setdiff1d(np.arange(len(features)), sample)
    of_slice = slices[rest]
    names, sizes = np.unique(of_slice, return_counts=True)
    shares = (count - len(sample)) * sizes / max(1, len(rest))
    quotas = np.floor(shares).astype(int)
    quotas[np.argsort(quotas - shares, kind="stable")[: count - len(sample) - quotas.sum()]] += 1
    useful = [sample[:0]]
    for name, quota in zip(names, quotas, strict=True):
        members = rest[of_slice == name]
        doubts = None if margins is None else margins[members]
        useful.append(members[_choose_useful(features[members], doubts, quota)])
    return np.concatenate(useful), sample


def _choose_useful(features: Floats, margins: Floats | None, count: int) -> Places:
    from sklearn.cluster import KMeans

    pool, weights = np.arange(len(features)), None
    if margins is not None:
        pool = np.argsort(margins, kind="stable")[: max(count, min(_DOUBTED * count, len(margins) // 2))]
        weights = 1.001 - margins[pool]
    # Equal features make fewer clusters.
    clusters = min(count, len(np.unique(features[pool], axis=0)))
    if not clusters or count == len(pool):
        return pool[:count]
    fitted = KMeans(clusters, n_init=1, random_state=0).fit(features[pool], sample_weight=weights)
    costs = fitted.transform(features[pool]).min(axis=1) if margins is None else margins[pool]
    order = np.lexsort((costs, fitted.labels_))
    firsts = order[np.unique(fitted.labels_[order], return_index=True)[1]]
    others = np.setdiff1d(np.argsort(costs, kind="stable"), firsts, assume_unique=True)
    return pool[np.concatenate([firsts, others])[:count]]
