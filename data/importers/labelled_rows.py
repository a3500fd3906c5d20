"""The rows of a table whose cells are added to the profiles of its columns."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Rows of a table, each with its label, its place for messages, and its group, empty for none."""

    labels: Sequence[str]
    places: Sequence[str]
    groups: Sequence[str]

    def take(self, numbers: Sequence[int]) -> "Rows":
        """Returns some of the rows."""
        return Rows(*([texts[n] for n in numbers] for texts in (self.labels, self.places, self.groups)))

    @cached_property
    def counts(self) -> Counter[str]:
        """The number of rows of each label."""
        return Counter(self.labels)

    @cached_property
    def names(self) -> Sequence[str]:
        """The labels, each once, in the order of their codes."""
        return list(dict.fromkeys(self.labels))

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """The number of each row's label in `names`."""
        codes = {name: code for code, name in enumerate(self.names)}
        return np.array([codes[label] for label in self.labels], np.int64)
