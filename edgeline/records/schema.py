"""Differences between the curated schema and a window of data."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Difference:
    """A difference: a feature that the schema lacks, values that its domain lacks, or a range of numbers."""

    feature: str
    kind: Literal["feature", "values", "range"]  # a range may be inside or outside of the bounds
    curated: str  # content of the schema, for people
    seen: str  # content of the window, for people
    breaks: bool = False  # true if the window breaks the schema
    values: tuple[str, ...] = ()  # values that the domain lacks
    bounds: tuple[float, float] | None = None  # least and largest number seen
    type: str = ""  # type of a feature that the schema lacks: `BYTES`, `INT` or `FLOAT`
