"""Search for photos of one object by a network's features: other crops, light, positions, bursts.

The features of a photo are means, deviations and extremes, over its rare parts (`rare_parts.py`), of the
outputs of three early stages of a network: later stages tell kinds of things apart, but not single things.
Whitening removes what varies among all photos, since photos of one shop, or drawn alike, are all similar.
Each photo then shows how similar an unrelated one gets to it: the similarities to its nearest photos, beyond
those that may show the same object, fall off exponentially. The evidence of a pair is -ln of the number of
unrelated photos that would be as similar, and is the smaller one of its two photos' values.
"""

import numpy as np
from numpy.typing import NDArray

from data.photos.likeness import ALIKE, NO_PAIRS, Alike, Looks, find_alike, join_pairs, normalize_looks

# The evidence from which two photos show one object; the evidence that neighbours in time or number have in
# addition; and the least for photos with the same look, which the same background alone gives.
SAME, NEIGHBOURS, WITH_LOOK = 2.0, 2.5, -1.0
# A report that a split separates photos of one object needs more evidence than joining them. At 2, 13 of 100
# photos that are drawn alike and share no object have a twin by chance (e^-2); at 5, one has. Of 210 eval
# photos of rendered shelves, the same lanes week after week, 0.09 had one at 4, and 0.05 at 5.
SURE = 5.0
# Least mean evidence between two parts of a group: the ends of a chain of pairs have none.
_WITHIN = -0.5
# Evidence is clipped here, so that one pair of copies does not outweigh others.
_MOST = 5.0
# Ranks at which the similarities of unrelated photos begin, and how far these are followed. An object may
# have as many photos.
_RANKS, _FOLLOWED = (12, 48), 4
# Largest share of photos that look like one and are taken for its object; ranks need a third of all.
_MOST_ALIKE = 0.5
_KEPT, _FEWEST, _REFERENCES, _ROWS, _LARGEST = 128, 25, 4_096, 256, 1_000

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int64]


def find_same(
    looks: Looks, features: _Floats, queries: int, neighbours: _Ints = NO_PAIRS, least: float = SAME
) -> Alike:
    """Compares the first `queries` photos with all; fewer than 25, too few for statistics, by looks alone.

    Args:
        looks: Uint8 [n, 256], as `stack_looks` returns them.
        features: Float32 [n, f], or [n, 0] if there is no network: then looks alone count.
        queries: The number of photos at the beginning that get a twin, each among those after them.
        neighbours: Pairs of positions that time or number make likely, [m, 2]; they have more evidence.
        least: The evidence from which two photos show one object.
    """
    if len(features) < _FEWEST or not features.size:
        return find_alike(looks, queries, neighbours)
    unit = normalize_looks(looks)
    evidence = _Evidence(features, np.sort(neighbours, 1), unit)
    twins = np.full(queries, -1)
    pairs = list[_Ints]()
    strengths = list[_Floats]()
    for top in range(0, queries, _ROWS):
        rows = np.arange(top, min(top + _ROWS, queries))
        strength = evidence.compare(rows, np.arange(len(features)))
        is_same = (strength >= least) | ((unit[rows] @ unit.T >= ALIKE) & (strength >= WITH_LOOK))
        is_same[rows - top, rows] = False
        first, second = np.nonzero(is_same)
        pairs.append(np.stack([first + top, second], 1))
        strengths.append(strength[first, second])
        if queries < len(features):
            best = np.where(is_same[:, queries:], strength[:, queries:], -np.inf)
            twins[rows] = np.where(is_same[:, queries:].any(1), queries + best.argmax(1), -1)
    groups = np.arange(len(features))
    _join_groups(groups, np.concatenate(pairs), np.concatenate(strengths), evidence)
    return Alike(groups, twins)


def _join_groups(groups: _Ints, pairs: _Ints, strengths: _Floats, evidence: "_Evidence") -> None:
    """Joins the groups of pairs, except for chains; if too many are connected, by stronger pairs alone."""
    joined = join_pairs(groups, *pairs.T)
    order = np.argsort(joined, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(joined[order])) + 1):
        if len(members) > _LARGEST:
            inside = np.isin(pairs[:, 0], members)
            inside[inside] = strengths[inside] > strengths[inside].min() + 1
            _join_groups(groups, pairs[inside], strengths[inside], evidence)
        elif len(members) > 1:
            groups[members] = members[evidence.split_group(members)]


class _Evidence:
    """The evidence that pairs of photos show one object."""

    def __init__(self, features: _Floats, likely: _Ints, looks: _Floats) -> None:
        self._white = _whiten(features)
        self._likely = likely
        count = len(features)
        step = -(-count // _REFERENCES)
        references = self._white[::step]
        most = max(1, len(references) // 12)
        self._ranks = sorted({min(rank, most) for rank in _RANKS})
        starts, scales = [], []

        for top in range(0, count, _ROWS):
            similar = self._white[top : top + _ROWS] @ references.T
            is_alike = looks[top : top + _ROWS] @ looks[::step].T >= ALIKE
            # Those may show the same object; where most photos look alike, looks are no evidence.
            similar[is_alike & (is_alike.mean(1, keepdims=True) < _MOST_ALIKE)] = -1
            near = -np.sort(-similar, 1)
            start = near[:, self._ranks]
            starts.append(start)
            scales.append((start - near[:, [rank * _FOLLOWED for rank in self._ranks]]) / np.log(_FOLLOWED))
        self._start = np.concatenate(starts)
        self._scale = np.maximum(np.concatenate(scales), 1e-6)
        self._expected = np.log(np.array(self._ranks, np.float32) * step)

    def compare(self, rows: _Ints, columns: _Ints) -> _Floats:
        """Returns the evidence of pairs of photos, float32 [rows, columns]."""
        similar = self._white[rows] @ self._white[columns].T
        evidence = np.full(similar.shape, -np.inf, np.float32)
        for number, expected in enumerate(self._expected):
            start, scale = self._start[:, number], self._scale[:, number]
            first = (similar - start[rows, None]) / scale[rows, None]
            second = (similar - start[columns]) / scale[columns]
            np.maximum(evidence, np.minimum(first, second) - expected, out=evidence)
        near = self._likely[np.isin(self._likely, rows).any(1)]
        for one, other in (near.T, near.T[::-1]):
            at, to = (np.searchsorted(part, ends) for part, ends in ((rows, one), (columns, other)))
            is_asked = (rows.take(at, mode="clip") == one) & (columns.take(to, mode="clip") == other)
            evidence[at[is_asked], to[is_asked]] += NEIGHBOURS
        return evidence

    def split_group(self, members: _Ints) -> _Ints:
        """Splits a group by the mean evidence between parts, and returns each part's first position."""
        from scipy.cluster.hierarchy import fcluster, linkage
        from scipy.spatial.distance import squareform

        evidence = self.compare(members, members).clip(-_MOST, _MOST)
        tree = linkage(squareform(_MOST - evidence, checks=False), "average")
        _, first, part = np.unique(
            fcluster(tree, _MOST - _WITHIN, "distance"), return_index=True, return_inverse=True
        )
        return first[part].astype(np.int64)


def _whiten(features: _Floats) -> _Floats:
    """Whitens features to length 1, more weakly for fewer photos, since less is known about them."""
    from scipy.linalg import eigh

    count, size = features.shape
    centred = features - features.mean(0)
    # The products of photos have the eigenvalues of those of features, and are few where photos are.
    is_few = count < size
    products = (centred @ centred.T if is_few else centred.T @ centred) / count
    last = len(products) - 1
    values, vectors = eigh(products, subset_by_index=[max(0, last + 1 - _KEPT), last])
    values, mean = values.clip(0), products.trace() / size
    components = vectors * np.sqrt(count * values) if is_few else centred @ vectors
    white = components / np.sqrt(values + (0.1 + 0.5 * size / count) * mean + 1e-12)
    return (white / np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-6)).astype(np.float32)
