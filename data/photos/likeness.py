"""Comparison of photos by their looks: exposures of one object, a burst, a photo that was saved again.

The look of a photo is a grey thumbnail of 16 x 16 pixels, compared without its brightness and contrast. Two
exposures each were made of 2,640 photos of groceries: cut by up to a twentieth on each side, darker or
brighter by up to 30 %, with another gamma, saved again. At a correlation of 0.85, 87 % of these pairs were
alike, and no two photos of different goods (81 kinds) were: those reached 0.78. With 32 x 32 pixels, where
every small shift counts, 60 % of the pairs were alike.

Of pairs that were also turned by up to 10 degrees and cut by 8 to 18 % on each side, 1 % were: for these, a
network's features of the photo follow its look (`same_object.py`) if there is a network.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE, SHOWN_SIDE = 16, 128
# Correlations from which two photos are near twins, and from which neighbours in a burst are.
ALIKE, IN_BURST = 0.85, 0.65
# Up to this many photos, all may be alike. With more, the part common to all (a belt below a fixed camera)
# says nothing and is removed, and a group of over a tenth of all is compared more strictly.
_FEW, _MOST_SHARE = 24, 10
_STRICTEST = 0.99
# Standard deviation in grey levels below which a photo has no look, as with a lens cap.
_FLATTEST = 2.0
_ROWS, _COLUMNS = 1024, 4096

Looks = NDArray[np.uint8]
_Floats = NDArray[np.float32]
_Ints = NDArray[np.int64]
NO_PAIRS: _Ints = np.empty((0, 2), np.int64)


def compute_look(image: Image.Image) -> bytes:
    """Returns the look of an upright picture: 256 bytes."""
    return image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()


def compute_pixels(image: Image.Image) -> bytes:
    """Returns a network's input for an upright picture, RGB, uint8 [128, 128, 3]."""
    return image.convert("RGB").resize((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.BILINEAR).tobytes()


def stack_looks(looks: Sequence[bytes]) -> Looks:
    """Returns looks as uint8 [n, 256], without a network's features."""
    return np.frombuffer(b"".join(look[: SIDE * SIDE] for look in looks), np.uint8).reshape(-1, SIDE * SIDE)


@dataclass(frozen=True)
class Alike:
    """The groups of n looks, and the twins of the first k of them."""

    groups: _Ints  # [n], one number for looks that chains of pairs connect; the first k have some of each
    twins: _Ints  # [k], the nearest of the other n - k looks if it is near enough, else -1


def find_alike(
    looks: Looks, queries: int, neighbours: _Ints = NO_PAIRS, bounds: tuple[float, float] = (ALIKE, IN_BURST)
) -> Alike:
    """Compares the first `queries` looks with all; memory does not grow with the number of pairs.

    A group of more than 24 looks and a tenth of all is compared again within itself, without its own common
    part and with bounds halfway to 1, until it falls apart: if everything looks alike, looks say nothing.

    Args:
        looks: Uint8 [n, 256], as `stack_looks` returns them.
        queries: The number of looks at the beginning that get a twin, each among those after them.
        neighbours: Pairs of positions that time or number make likely, [m, 2].
        bounds: The correlations from which any two are alike, and from which neighbours are.
    """
    unit = normalize_looks(looks)
    groups, twins = _link_looks(unit, queries, bounds[0])
    first, second = neighbours.T
    near = np.einsum("ij,ij->i", unit[first], unit[second]) >= bounds[1]
    groups = join_pairs(groups, first[near], second[near])
    del unit
    sizes = np.bincount(groups)
    for group in np.flatnonzero(sizes > max(_FEW, len(looks) // _MOST_SHARE)):
        members = np.flatnonzero(groups == group)
        within = int(np.searchsorted(members, queries))
        inner = Alike(np.arange(len(members)), np.full(within, -1))
        if bounds[0] < _STRICTEST:
            position = np.full(len(looks), -1)
            position[members] = np.arange(len(members))
            pairs = position[neighbours]
            stricter = ((1 + bounds[0]) / 2, (1 + bounds[1]) / 2)
            inner = find_alike(looks[members], within, pairs[(pairs >= 0).all(1)], stricter)
        groups[members] = groups.max() + 1 + inner.groups
        twins[members[:within]] = np.where(inner.twins < 0, -1, members[inner.twins])
    return Alike(groups, twins)


def normalize_looks(looks: Looks) -> _Floats:
    """Centres and scales looks to length 1, so that products are correlations; flat ones become zero."""
    unit = looks.astype(np.float32)
    unit -= unit.mean(1, keepdims=True)
    length = np.linalg.norm(unit, axis=1, keepdims=True)
    has_look = length[:, 0] > _FLATTEST * SIDE
    unit *= has_look[:, None] / np.maximum(length, 1e-6)
    if has_look.sum() > _FEW:
        unit[has_look] -= unit[has_look].mean(0)
        unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    return unit


def _link_looks(unit: _Floats, queries: int, bound: float) -> tuple[_Ints, _Ints]:
    groups = np.arange(len(unit))
    twins = np.full(queries, -1)
    nearest = np.full(queries, bound, np.float32)
    for top in range(0, queries, _ROWS):
        rows = slice(top, min(top + _ROWS, queries))
        for left in range(top, len(unit), _COLUMNS):  # pairs to the left were compared from the other side
            alike = unit[rows] @ unit[left : left + _COLUMNS].T
            first, second = np.nonzero(alike >= bound)
            groups = join_pairs(groups, first + top, second + left)
            if (first_known := max(queries - left, 0)) < alike.shape[1]:
                best = alike[:, first_known:].argmax(1)
                likeness = alike[np.arange(len(alike)), first_known + best]
                closer = np.flatnonzero(likeness >= nearest[rows])
                nearest[rows][closer] = likeness[closer]
                twins[rows][closer] = left + first_known + best[closer]
    return groups, twins


def join_pairs(groups: _Ints, first: _Ints, second: _Ints) -> _Ints:
    """Returns the groups with pairs of members joined.

    Args:
        groups: The number of the group of each member, int64 [n]; it is not changed.
        first: The position of one member of each pair, [m].
        second: The position of the other member, [m].
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = groups[first], groups[second]
    new = first != second
    if not new.any():
        return groups
    size = int(groups.max()) + 1
    graph = coo_array((np.ones(new.sum(), bool), (first[new], second[new])), shape=(size, size))
    joined: _Ints = connected_components(graph, directed=False)[1].astype(np.int64)[groups]
    return joined
