"""The split into train and eval by group, as given by the data or else by hash, so that no group is in both.

Photos of one walk down a lane share light, angle and shelf, and readings of a machine share its wear: if they
were in both splits, eval would flatter the model.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from data.spans.source import SPLITS
from edgeline.errors import DataRefused

_BOTH = " and ".join(SPLITS)
_End = tuple[float, str]


def hash_group(group: str) -> float:
    """Returns the position of a group in [0, 1), the same in every window and week and on every machine."""
    digest = hashlib.sha256(b"split:" + group.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def add_side(sides: dict[str, str], group: str, side: str) -> None:
    """Records that a group is in a split; `Ends.check` refuses groups that are in both.

    Args:
        sides: The splits so far, by group; it is changed.
        group: The name of the session, machine or author.
        side: `train` or `eval`, or the mark of a group that is in both.
    """
    sides[group] = side if sides.get(group, side) == side else _BOTH


@dataclass(frozen=True)
class Ends:
    """The groups of a window; for those that the hash splits, only the lowest and the highest position."""

    lowest: _End | None = None  # lowest position of a group, and its name; None if there is no group
    highest: _End | None = None  # highest position of a group, and its name
    # The splits of groups that the data gives; these groups have no position.
    sides: Mapping[str, str] = field(default_factory=dict)

    def with_group(self, group: str) -> "Ends":
        """Returns these groups and one more that the hash splits; it may be among them."""
        end = (hash_group(group), group)
        return replace(self, lowest=min(self.lowest or end, end), highest=max(self.highest or end, end))

    def merged(self, others: "Iterable[Ends]") -> "Ends":
        """Returns these groups and others."""
        parts = [self, *others]
        sides = dict[str, str]()
        for part in parts:
            for group, side in part.sides.items():
                add_side(sides, group, side)
        lowest = min((part.lowest for part in parts if part.lowest), default=None)
        return Ends(lowest, max((part.highest for part in parts if part.highest), default=None), sides)

    def check(self, nouns: str) -> None:
        """Refuses a single group, and groups that have two splits. Raises DataRefused."""
        if both := sorted(group for group, side in self.sides.items() if side == _BOTH):
            raise DataRefused(
                f"The group {both[0]} is in {_BOTH} (groups in both: {len(both)}).",
                "A session must not be in both splits, or eval would overestimate the model.",
                "Give all its rows the same split in labels.csv, or none.",
            )
        if self.lowest is not None and self.lowest == self.highest and not self.sides:
            raise DataRefused(
                f"All {nouns} belong to one group ({self.lowest[1]}).",
                "They cannot be split: one session, machine or author must not be in both train and eval.",
                "Give each its own name in the data, or leave the cell of unrelated rows empty.",
            )

    def in_eval(self, group: str, fraction: float) -> bool:
        """Returns whether one of these groups belongs to the eval split of a `fraction` in (0, 1).

        A group is in the split that the data gives it; others are in eval if their position is below the
        fraction. If that leaves a split of several groups empty, the group with the lowest position goes to
        eval, or the one with the highest to train.
        """
        if side := self.sides.get(group):
            return side == "eval"
        if self.lowest == self.highest and self.sides:
            return hash_group(group) < fraction
        assert self.lowest is not None and self.highest is not None
        if self.lowest[0] >= fraction:
            return group == self.lowest[1]
        return hash_group(group) < fraction and group != self.highest[1]
