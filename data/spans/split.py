"""The split into train and eval: by hash of the group, so that no group is in both.

Photos of one walk down a lane share light, angle and shelf, readings of a machine its wear: were they in both
splits, eval would flatter the model.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from errors import DataRefused

_End = tuple[float, str]


def group_position(group: str) -> float:
    """Where a group lies in [0, 1), the same in every window, week and machine."""
    digest = hashlib.sha256(b"split:" + group.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@dataclass(frozen=True)
class Ends:
    """The groups of a window, of which the two ends are enough to split by.

    Attributes:
        lowest: Position and name of the group with the lowest position; None where there is no group.
        highest: Of that with the highest.
    """

    lowest: _End | None = None
    highest: _End | None = None

    def with_group(self, group: str) -> "Ends":
        """These and one more, which may be among them."""
        if self.highest is not None and self.highest[1] == group:
            return self
        return self._with((group_position(group), group))

    def merged(self, others: "Iterable[Ends]") -> "Ends":
        """These and others."""
        found = self
        for other in others:
            for end in (other.lowest, other.highest):
                found = found._with(end) if end is not None else found
        return found

    def _with(self, end: _End) -> "Ends":
        if self.lowest is None or self.highest is None:
            return Ends(end, end)
        return Ends(min(self.lowest, end), max(self.highest, end))

    def check(self, nouns: str) -> None:
        """Refuses what cannot be split.

        Raises:
            DataRefused: All examples are of one group.
        """
        if self.lowest is not None and self.lowest == self.highest:
            raise DataRefused(
                f"All {nouns} belong to one group ({self.lowest[1]}).",
                "They cannot be split: one session, machine or author must not be in both train and eval.",
                "Give each its own name in the data, or leave the cell empty where rows are not related.",
            )

    def in_eval(self, group: str, fraction: float) -> bool:
        """Whether one of these groups belongs to the eval split, of a `fraction` in (0, 1).

        Those do whose position is below it. Where that leaves one split empty, the group with the lowest
        position goes to eval, or the one with the highest to train.
        """
        assert self.lowest is not None and self.highest is not None
        if self.lowest[0] >= fraction:
            return group == self.lowest[1]
        return group_position(group) < fraction and group != (
            self.highest[1] if self.highest[0] < fraction else None
        )
