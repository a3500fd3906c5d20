"""Chooses examples to label next: a tenth at random, the others those that a model learns most from.

With few labels a model does not know what it does not know, and examples that are typical of the data teach
more than those it doubts (Hacohen and others, 2022, arXiv:2202.02794): the ones nearest to the centres of
k-means. With more, it is those whose two most probable labels are close, of different kinds: the smallest
margin in each cluster of these (Zhdanov, 2019, arXiv:1901.05954).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.intp]
# Labels of a class, in the mean, from which doubts are worth more than typical examples; docs/field.md has
# the measurements.
ENOUGH_LABELS = 10
# The share that is drawn at random.
DRAWN = 0.1
# Examples with a small margin that are divided into clusters, for each that is suggested (Zhdanov, 2019); at
# most half of all.
_DOUBTED = 10
_COMPONENTS = 128


@dataclass(frozen=True)
class Chosen:
    """The positions of suggested examples."""

    useful: Ints  # the ones chosen first
    drawn: Ints  # at random from all


def choose(
    features: Floats, margins: Floats | None, slices: Sequence[str], count: int, random: np.random.Generator
) -> Chosen:
    """Chooses `count` examples of n, a tenth of them at random.

    Args:
        features: The features of `reduce`, [n, features].
        margins: The differences of each example's two highest probabilities, [n]; None with few labels.
        slices: The slice of each example; each gets its share of the suggestions.
        count: At most n.
        random: The source of the draws.
    """
    drawn = random.permutation(len(features))[: math.ceil(DRAWN * count)]
    rest = np.setdiff1d(np.arange(len(features)), drawn)
    of_slice = np.asarray(slices)[rest]
    quotas = assign_quotas(of_slice, count - len(drawn))
    useful = [
        members[_choose_useful(features[members], margins if margins is None else margins[members], quota)]
        for name, quota in quotas.items()
        if len(members := rest[of_slice == name]) and quota
    ]
    return Chosen(np.concatenate(useful) if useful else drawn[:0], drawn)


def assign_quotas(slices: NDArray[np.str_], count: int) -> dict[str, int]:
    """Divides `count` among slices by their sizes; fractions go to the largest remainders."""
    names, sizes = np.unique(slices, return_counts=True)
    shares = count * sizes / max(1, sizes.sum())
    quotas = np.floor(shares).astype(int)
    for place in np.argsort(quotas - shares, kind="stable")[: count - quotas.sum()]:
        quotas[place] += 1
    return dict(zip(names.tolist(), quotas.tolist(), strict=True))


def _choose_useful(features: Floats, margins: Floats | None, count: int) -> Ints:
    from sklearn.cluster import KMeans

    pool = np.arange(len(features))
    if margins is not None:
        pool = np.argsort(margins, kind="stable")[: _DOUBTED * count]
    if count >= len(pool):
        return pool
    # Equal features, as of equal texts, make fewer clusters.
    clusters = min(count, len(np.unique(features[pool], axis=0)))
    weights = None if margins is None else 1.001 - margins[pool]
    fitted = KMeans(clusters, n_init=1, random_state=0).fit(features[pool], sample_weight=weights)
    costs = fitted.transform(features[pool]).min(axis=1) if margins is None else margins[pool]
    order = np.lexsort((costs, fitted.labels_))
    firsts = order[np.unique(fitted.labels_[order], return_index=True)[1]]
    others = np.setdiff1d(np.argsort(costs, kind="stable"), firsts, assume_unique=True)
    return pool[np.concatenate([firsts, others])[:count]]


def reduce_features(features: Floats) -> Floats:
    """Returns the principal components of standardised features, [n, at most 128], of mean deviation 1."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(features)
    components = min(_COMPONENTS, *scaled.shape)
    reduced: Floats = PCA(components, svd_solver="randomized", random_state=0).fit_transform(scaled)
    return reduced / max(float(reduced.std()), 1e-6)


def measure_margins(probabilities: Floats) -> Floats:
    """Returns the differences of the two highest probabilities of each example, [n], of [n, labels]."""
    lower, higher = np.sort(probabilities, axis=1)[:, -2:].T
    margins: Floats = higher - lower
    return margins
