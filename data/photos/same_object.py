"""Which photos show one object, by what a network sees in them: other crops, light, positions, bursts.

The features of a photo are means, deviations and extremes, over its rare parts (`rare_parts.py`), of what
three early stages of a network give: later ones tell kinds of things and no longer things. What varies among
all photos is taken out (whitening), since photos of one shop, or drawn alike, are all similar. Each photo
then says how similar an unrelated one gets to it: similarities to its nearest photos beyond those that may
show the same fall off exponentially. The evidence of a pair is -ln of the number of unrelated photos that
would be as similar, and is the smaller one of what its two photos say. `python -m benchmarks.bench_objects`
has the measurements.
"""

import numpy as np
from numpy.typing import NDArray

from data.photos.likeness import ALIKE, Alike, Looks, find_alike, join_pairs, unit_looks

# Evidence that two photos show one object; what neighbours in time or number have in addition; and the least
# of photos with the same look, which the same background alone gives.
SAME, NEIGHBOURS, WITH_LOOK = 2.0, 2.5, -1.0
# Who says that a split tears objects has to be surer than who joins: at 2, of 100 photos drawn alike that no
# object shares 13 have a twin by chance (e^-2), at 4 there are 2. Of rendered shelves, the same lanes week
# after week, 0.22 and 0.07 of eval had one; of parts of real photos 0.85 and 0.67 of the true ones were seen.
SURE = 4.0
# Least mean evidence between two parts of a group: a chain of pairs has none from end to end.
_WITHIN = -0.5
# Evidence beyond this counts as this, so that one pair of copies does not outweigh others.
_MOST = 5.0
# Ranks at which the similarity of unrelated photos begins, and how far it is followed. An object may have so
# many photos.
_RANKS, _FOLLOWED = (12, 48), 4
_KEPT, _FEWEST, _REFERENCES, _ROWS, _LARGEST = 128, 25, 4_096, 256, 1_000

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int64]


def find_same(
    looks: Looks, features: _Floats, asked: int, neighbours: _Ints | None = None, least: float = SAME
) -> Alike:
    """Compares the first `asked` photos with all; of fewer than 25, which tell nothing of others, by looks.

    Args:
        looks: uint8 [n, 256].
        features: float32 [n, f], or [n, 0] where there is no network.
        asked: k of `Alike`.
        neighbours: [m, 2], pairs that time or number make likely.
        least: Evidence from which two photos show one object.
    """
    if len(features) < _FEWEST or not features.size:
        return find_alike(looks, asked, neighbours)
    likely = np.empty((0, 2), np.int64) if neighbours is None else np.sort(neighbours, 1)
    evidence, unit = _Evidence(features, likely), unit_looks(looks)
    twins, pairs, strengths = np.full(asked, -1), list[_Ints](), list[_Floats]()
    for top in range(0, asked, _ROWS):
        rows = np.arange(top, min(top + _ROWS, asked))
        found = evidence.between(rows, np.arange(len(features)))
        same = (found >= least) | ((unit[rows] @ unit.T >= ALIKE) & (found >= WITH_LOOK))
        same[rows - top, rows] = False
        first, second = np.nonzero(same)
        pairs.append(np.stack([first + top, second], 1))
        strengths.append(found[first, second])
        if asked < len(features):
            best = np.where(same[:, asked:], found[:, asked:], -np.inf)
            twins[rows] = np.where(same[:, asked:].any(1), asked + best.argmax(1), -1)
    groups = np.arange(len(features))
    _join(groups, np.concatenate(pairs), np.concatenate(strengths), evidence)
    return Alike(groups, twins)


def _join(groups: _Ints, pairs: _Ints, strengths: _Floats, evidence: "_Evidence") -> None:
    """Joins the groups of pairs, but for chains; where too many are connected, by stronger pairs alone."""
    joined = join_pairs(groups, *pairs.T)
    order = np.argsort(joined, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(joined[order])) + 1):
        if len(members) > _LARGEST:
            inside = np.isin(pairs[:, 0], members)
            inside[inside] = strengths[inside] > strengths[inside].min() + 1
            _join(groups, pairs[inside], strengths[inside], evidence)
        elif len(members) > 1:
            groups[members] = members[evidence.first_of_part(members)]


class _Evidence:
    """The evidence that pairs of photos show one object."""

    def __init__(self, features: _Floats, likely: _Ints) -> None:
        self._white, self._likely = _whitened(features), likely
        count = len(features)
        step = -(-count // _REFERENCES)
        references = self._white[::step]
        most = max(1, len(references) // 12)
        self._ranks = sorted({min(rank, most) for rank in _RANKS})
        starts, scales = [], []
        for top in range(0, count, _ROWS):
            near = -np.sort(-(self._white[top : top + _ROWS] @ references.T), 1)  # itself is one of them
            start = near[:, self._ranks]
            starts.append(start)
            scales.append((start - near[:, [rank * _FOLLOWED for rank in self._ranks]]) / np.log(_FOLLOWED))
        self._start, self._scale = np.concatenate(starts), np.maximum(np.concatenate(scales), 1e-6)
        self._expected = np.log(np.array(self._ranks, np.float32) * step)

    def between(self, rows: _Ints, columns: _Ints) -> _Floats:
        """float32 [rows, columns]."""
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
            there = (rows.take(at, mode="clip") == one) & (columns.take(to, mode="clip") == other)
            evidence[at[there], to[there]] += NEIGHBOURS
        return evidence

    def first_of_part(self, members: _Ints) -> _Ints:
        """Parts photos by the mean evidence between parts; names each part by its first photo's position."""
        from scipy.cluster.hierarchy import fcluster, linkage
        from scipy.spatial.distance import squareform

        found = self.between(members, members).clip(-_MOST, _MOST)
        tree = linkage(squareform(_MOST - found, checks=False), "average")
        _, first, part = np.unique(
            fcluster(tree, _MOST - _WITHIN, "distance"), return_index=True, return_inverse=True
        )
        return first[part].astype(np.int64)


def _whitened(features: _Floats) -> _Floats:
    """Each of length 1, without what varies among all; the fewer photos, the less is known of that."""
    centred = features - features.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    values, vectors, mean = values[-_KEPT:], vectors[:, -_KEPT:], values.mean()
    count, size = features.shape
    white = centred @ vectors / np.sqrt(values.clip(0) + (0.1 + 0.5 * size / count) * mean + 1e-12)
    return (white / np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-6)).astype(np.float32)
