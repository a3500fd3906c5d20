"""The run that a timer starts: one command line, the same from whatever folder and with whatever PATH."""

import hashlib
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from errors import EdgelineError, UsageError
from runners.shared.stdout import visible
from runners.timers.weekly_time import WeeklyTime

_LINE_END = re.compile(r"[\t\n]")


@dataclass(frozen=True)
class ScheduledRun:
    """A run of one workload in one workspace, at some times of every week."""

    name: str  # of the units or lines that start it: one for each workload and workspace
    workload: str  # the model's name
    command: tuple[str, ...]  # program and arguments; every path is absolute
    folder: Path  # where it runs, as relative paths in settings are meant
    workspace: Path  # where its runs live
    at: WeeklyTime  # when it starts
    after: tuple[str, ...] = ()  # what is started when it has ended, as `command`; empty for nothing

    def __post_init__(self) -> None:
        for text in (*self.command, *self.after, str(self.folder)):
            _check_text(text)
        # systemd takes a folder's name as it stands in the line, and knows no quotes there.
        if str(self.folder).endswith((" ", "\\")):
            raise _unfit(str(self.folder), "ends in a blank or a backslash")


def schedule_name(workload: str, workspace: Path) -> str:
    """The name of a workload's schedule in a workspace: the same one however the workspace is written."""
    digest = hashlib.sha256(os.fsencode(workspace.resolve())).hexdigest()
    return f"edgeline-{workload}-{digest[:8]}"


def program() -> str:
    """The `edgeline` of the environment that runs this.

    Raises:
        EdgelineError: It is not there.
    """
    path = Path(sys.prefix, "bin", "edgeline")
    if shutil.which(path) is None:
        raise EdgelineError(
            f"{path} is not there.",
            "A schedule starts the edgeline command of its environment.",
            "Make the environment with `make setup`, and schedule with its .venv/bin/edgeline.",
        )
    return str(path)


def _check_text(text: str) -> None:
    """Refuses what neither a unit nor a crontab can hold, however it is quoted."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _unfit(text, "is not UTF-8") from None
    if visible(text) != text or _LINE_END.search(text):
        raise _unfit(text, "has a line end or another control character in it")


def _unfit(text: str, is_what: str) -> UsageError:
    return UsageError(
        f"{text!r} {is_what}.",
        "A timer could not pass it on as it is.",
        "Rename the file or folder; a setting can stand in a profile, a YAML file, instead.",
    )
