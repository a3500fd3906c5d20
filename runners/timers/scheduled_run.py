"""The run that a timer starts: a command line that works from any folder, also as a line of a crontab."""

import hashlib
import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from edgeline.errors import EdgelineError, UsageError
from edgeline.visible import make_visible
from runners.timers.weekly_time import WeeklyTime

_LINE_END = re.compile(r"[\t\n]")


@dataclass(frozen=True)
class ScheduledRun:
    """A run of one workload in one workspace, at the same times every week."""

    name: str  # of the units that start it: one for each workload and workspace
    workload: str  # the model's name
    command: tuple[str, ...]  # program and arguments; every path is absolute
    folder: Path  # its working directory, to which paths in settings are relative
    workspace: Path  # the folder of its runs
    at: WeeklyTime  # its start times
    after: tuple[str, ...] = ()  # the command to start when it has ended, in the form of `command`, or empty

    def __post_init__(self) -> None:
        for text in (*self.command, *self.after, str(self.folder)):
            _check_text(text)
        # systemd reads a folder's name to the end of its line, without quotes.
        if str(self.folder).endswith((" ", "\\")):
            raise _make_error(str(self.folder), "ends in a blank or a backslash")


def name_schedule(workload: str, workspace: Path) -> str:
    """Returns the name of a workload's schedule in a workspace, the same for every spelling of its path."""
    digest = hashlib.sha256(os.fsencode(workspace.resolve())).hexdigest()
    return f"edgeline-{workload}-{digest[:8]}"


def find_program() -> str:
    """Returns the path of the `edgeline` command of the running Python environment.

    Raises EdgelineError if it does not exist.
    """
    path = Path(sys.prefix, "bin", "edgeline")
    if shutil.which(path) is None:
        raise EdgelineError(
            f"{path} does not exist.",
            "A schedule starts the edgeline command of its environment.",
            "Make the environment with `make setup`, and schedule with its .venv/bin/edgeline.",
        )
    return str(path)


def locate_log(run: ScheduledRun) -> Path:
    """Returns the file with the output of the last run."""
    return run.workspace / f"schedule-{run.workload}.log"


def render_crontab(run: ScheduledRun) -> str:
    """Returns the crontab line of a run.

    The workspace's lock keeps two runs apart. The output goes to a file in the workspace, where the lines of
    a run that is going on follow those of one that is refused beside it; if the run ends with an exit code
    other than 0, also to cron, which mails it.
    """
    log = shlex.quote(str(locate_log(run)))
    after = f" {shlex.join(run.after)} >/dev/null;" if run.after else ""
    command = f"{{ >{log}; {shlex.join(run.command)} >>{log} 2>&1 || cat {log};{after} }}"
    return f"{run.at.cron} {_escape_for_cron(f'cd {shlex.quote(str(run.folder))} && {command}')}"


def _escape_for_cron(command: str) -> str:
    """Escapes a quoted command for a crontab, where a plain % would be a line end (crontab(5)).

    Some crons also read two backslashes as one. All backslashes stand within single quotes, so the quotes are
    closed and opened again after each one that a backslash or % follows: then every cron reads it as it is.
    """
    return re.sub(r"\\(?=[\\%])", r"\\''", command).replace("%", "\\%")


def _check_text(text: str) -> None:
    """Raises UsageError for a text that neither a unit nor a crontab can hold, even quoted."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _make_error(text, "is not UTF-8") from None
    if make_visible(text) != text or _LINE_END.search(text):
        raise _make_error(text, "contains a line end or another control character")


def _make_error(text: str, problem: str) -> UsageError:
    return UsageError(
        f"{text!r} {problem}.",
        "A timer cannot pass it on unchanged.",
        "Rename the file or folder, or move the setting into a profile, a YAML file.",
    )
