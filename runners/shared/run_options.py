"""The options of commands as values: named settings, a run with them, and one step of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.spans.layout import find_spans
from edgeline.errors import UsageError
from edgeline.store.locations import Location, list_names
from edgeline.workspace.workloads import WORKLOAD, find_workload_file

if TYPE_CHECKING:
    from edgeline.records.workload import Workload
    from pipeline.settings import Settings


@dataclass(frozen=True)
class NamedSettings:
    """A workload, and the layers over its settings."""

    workload: str  # a built-in name, or the path of a workload.yaml
    profile: str | None  # the path of a YAML file of settings, or the name of one
    overrides: tuple[str, ...]  # single settings, `a.b=c` each
    platform: str | None = None  # the path of a YAML file for what is the cluster's
    base: Mapping[str, Any] | None = None  # recorded settings in place of those of the workload

    def with_whole_path(self) -> "NamedSettings":
        """Returns a copy in which the path of a workload file is absolute."""
        from pipeline.workloads import BUILT_IN

        if self.workload in BUILT_IN or not os.path.exists(self.workload):
            return self
        return replace(self, workload=str(Path(self.workload).absolute()))

    def within(self, workspace: Path) -> "NamedSettings":
        """Returns a copy that names the file of the workload, where the workspace has one of that name."""
        return replace(self, workload=str(find_workload_file(self.workload, workspace) or self.workload))

    def load(self) -> "tuple[Workload, Settings]":
        """Reads the workload and all settings. Raises UsageError if one of them is invalid."""
        from pipeline import settings, workloads

        workload = workloads.with_features(workloads.find_workload(self.workload))
        base = workload.settings if self.base is None else self.base
        return workload, settings.load_settings(base, self.profile, self.overrides, workload, self.platform)


def check_path(folder: Path, option: str) -> None:
    """Refuses a folder of artifacts whose path is a pattern; `option` is what another one is passed with.

    Raises UsageError if its path has a character of patterns.
    """
    if marks := sorted({*"[*?"} & {*str(folder)}):
        raise UsageError(
            f"The path of {folder} has the character {marks[0]}.",
            "TensorFlow and Beam read it as a pattern, and would find no files there.",
            f"Pass another folder with {option} DIR.",
        )


def find_own_workload(data: Location | None) -> str:
    """Returns the path of the workload in a folder of data; the name of the sample's if there is none.

    Raises EdgelineError if the folder is in a store that does not answer, or has a workload.
    """
    if data is None:
        return "shelf"
    if isinstance(data, Path):
        return str(file) if (file := data / WORKLOAD).is_file() else "shelf"
    if WORKLOAD in list_names(data):
        raise UsageError(
            f"{data} has a {WORKLOAD}, and --workload is not given.",
            "A workload names code to run, which is not taken from a store.",
            f"Copy it and its schema to this machine, and pass it: --workload {WORKLOAD}",
        )
    return "shelf"


@dataclass(frozen=True)
class RunOptions:
    """The options of `edgeline run`."""

    named: NamedSettings
    data: Location | None
    workspace: Path
    source: str | None = None  # what to import first; its data has a workload then
    sample: bool = False  # makes the sample without asking, if there is no data
    if_changed: bool = False
    wait: bool = False  # for another run of the workspace
    as_json: bool = False

    def __post_init__(self) -> None:
        """Names the file of the workload, by default the one in the data's folder, else the sample's.

        The spans beside a workload's file are the data where no other data is named.
        """
        if self.source is not None:
            return
        named = self.named.workload or find_own_workload(self.data)
        file = find_workload_file(named, self.workspace) if self.named.workload else None
        object.__setattr__(self, "named", replace(self.named, workload=str(file or named)))
        if file is not None and self.data is None and find_spans(file.parent):
            object.__setattr__(self, "data", file.parent)


@dataclass(frozen=True)
class StepOptions:
    """The options of `edgeline step`."""

    step: str
    run: str  # an id, the beginning of one, latest or production
    workspace: Path
    overrides: tuple[str, ...] = ()  # single settings, `a.b=c` each
    out: Path | None = None  # a folder that is empty or missing; by default one in the current folder
    as_json: bool = False
