"""A scheduled run as a line of a crontab, which the user adds with `crontab -e`."""

import re
import shlex
from pathlib import Path

from runners.timers.scheduled_run import ScheduledRun


def log_path(run: ScheduledRun) -> Path:
    """Returns the file with the output of the last run."""
    return run.workspace / f"schedule-{run.workload}.log"


def crontab_line(run: ScheduledRun) -> str:
    """Returns the crontab line of a run.

    The workspace's lock keeps two runs apart. The output goes to a file in the workspace; if the run ends
    with an exit code other than 0, also to cron, which mails it.
    """
    log = shlex.quote(str(log_path(run)))
    after = f" {shlex.join(run.after)} >/dev/null;" if run.after else ""
    command = f"{{ {shlex.join(run.command)} >{log} 2>&1 || cat {log};{after} }}"
    return f"{run.at.cron} {_escape_for_cron(f'cd {shlex.quote(str(run.folder))} && {command}')}"


def _escape_for_cron(command: str) -> str:
    """Escapes a quoted command for a crontab, where a plain % would be a line end (crontab(5)).

    Some crons also read two backslashes as one. All backslashes stand within single quotes, so the quotes are
    closed and opened again after each one that a backslash or % follows: then every cron reads it as it is.
    """
    return re.sub(r"\\(?=[\\%])", r"\\''", command).replace("%", "\\%")
