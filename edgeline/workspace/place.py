"""The place of runs and releases that a command looks at."""

from dataclasses import dataclass
from pathlib import Path

from edgeline.workspace.workloads import resolve_model


@dataclass(frozen=True)
class Place:
    """The place of runs and releases, and their model; None stands for the only one there.

    The model may be given as its workload.yaml or as the name of data in the workspace.
    """

    workspace: Path
    workload: str | None
    store: str | None = None

    def __post_init__(self) -> None:
        if self.workload is not None:
            object.__setattr__(self, "workload", resolve_model(self.workload, self.workspace))
