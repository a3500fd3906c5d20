"""The options of a drill, apart from what runs it, which takes long to import."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DrillOptions:
    """The options of `edgeline drill`."""

    weeks: int
    seed: int
    faults: Path | None
    workspace: Path
    photos: int
    overrides: tuple[str, ...]
