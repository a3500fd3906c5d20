"""What differs between the curated schema and what a window of data looks like."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Difference:
    """One difference.

    Attributes:
        feature: Its name.
        kind: `feature` that the schema lacks, `values` that its domain lacks, or `range`: what was seen of a
            number, inside or outside of its bounds.
        curated: What the schema says, for people.
        seen: What the window has, for people.
        breaks: Whether the window breaks the schema.
        values: Those that the domain lacks.
        bounds: Least and largest number seen.
        type: Of a feature that the schema lacks: `BYTES`, `INT` or `FLOAT`.
    """

    feature: str
    kind: Literal["feature", "values", "range"]
    curated: str
    seen: str
    breaks: bool = False
    values: tuple[str, ...] = ()
    bounds: tuple[float, float] | None = None
    type: str = ""
