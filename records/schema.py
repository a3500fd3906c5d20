"""What differs between the curated schema and what a window of data looks like."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Difference:
    """One difference: a feature that the schema lacks, values that its domain lacks, or a number's range."""

    feature: str
    kind: Literal["feature", "values", "range"]  # a range inside or outside of its bounds
    curated: str  # what the schema says, for people
    seen: str  # what the window has, for people
    breaks: bool = False  # whether the window breaks the schema
    values: tuple[str, ...] = ()  # that the domain lacks
    bounds: tuple[float, float] | None = None  # least and largest number seen
    type: str = ""  # of a feature that the schema lacks: `BYTES`, `INT` or `FLOAT`
