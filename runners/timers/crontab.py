"""A scheduled run as lines of the user's crontab. No other line is touched."""

import os
import re
import shlex
import shutil
import subprocess

from errors import EdgelineError
from runners.timers.scheduled_run import ScheduledRun

_BEGIN = (
    "# {name}: begin, written by `edgeline schedule --cron`, which replaces these lines when it runs again"
)
_END = "# {name}: end"
_MARK = re.compile(r"# (edgeline-\S+): (begin|end)\b")


def block(run: ScheduledRun) -> str:
    """Returns the crontab lines of a run: one command between two marks.

    The workspace's lock keeps two runs apart. The output goes to a file in the workspace; if the run ends
    with an exit code other than 0, also to cron, which mails it.
    """
    log = shlex.quote(str(run.workspace / f"schedule-{run.workload}.log"))
    after = f" {shlex.join(run.after)} >/dev/null;" if run.after else ""
    command = f"{{ {shlex.join(run.command)} >{log} 2>&1 || cat {log};{after} }}"
    command = f"cd {shlex.quote(str(run.folder))} && {command}"
    line = f"{run.at.cron} {_escape_for_cron(command)}"
    return "\n".join((_BEGIN.format(name=run.name), line, _END.format(name=run.name))) + "\n"


def _escape_for_cron(command: str) -> str:
    """Escapes a quoted command for a crontab, where a plain % would be a line end (crontab(5)).

    Some crons also read two backslashes as one. All backslashes stand within single quotes, so the quotes are
    closed and opened again after each one that a backslash or % follows: then every cron reads it as it is.
    """
    return re.sub(r"\\(?=[\\%])", r"\\''", command).replace("%", "\\%")


def installed() -> list[str]:
    """Returns the names of the schedules in this user's crontab.

    Raises:
        EdgelineError: There is no crontab command, or it fails.
    """
    marks = (_MARK.match(line) for line in _read().split("\n"))
    return sorted({mark[1] for mark in marks if mark})


def install(run: ScheduledRun) -> None:
    """Puts the lines of a run into this user's crontab, in place of its earlier ones.

    Raises:
        EdgelineError: There is no crontab command, it fails, or the marks in it are damaged.
    """
    before, after = _split_at_block(_read(), run.name)
    _write(before + block(run) + after)


def remove(name: str) -> None:
    """Removes the lines of a schedule from this user's crontab. Raises as `install` does."""
    before, after = _split_at_block(_read(), name)
    _write(before + after)


def _split_at_block(crontab: str, name: str) -> tuple[str, str]:
    """Returns the text before and after the lines of a schedule; all text comes before if there are none."""
    if crontab and not crontab.endswith("\n"):
        crontab += "\n"
    lines = [line + "\n" for line in crontab.split("\n")[:-1]]
    marks = [
        (mark[2], number)
        for number, line in enumerate(lines)
        if (mark := _MARK.match(line)) and mark[1] == name
    ]
    if not marks:
        return crontab, ""
    if [kind for kind, _ in marks] != ["begin", "end"]:
        places = ", ".join(f"{kind} in line {number + 1}" for kind, number in marks)
        raise EdgelineError(
            f"The marks of {name} in the crontab are not one begin and one end: {places}.",
            "The lines to replace cannot be determined; nothing was changed.",
            "Remove those lines with `crontab -e`, and run the same command again.",
        )
    (_, begin), (_, end) = marks
    return "".join(lines[:begin]), "".join(lines[end + 1 :])


def _read() -> str:
    """Returns this user's crontab; an empty text if there is none yet."""
    process = _run_crontab("-l")
    if process.returncode == 0:
        return os.fsdecode(process.stdout)
    # Any other failure must not be taken for an empty crontab, which would then be overwritten.
    if "no crontab for" in os.fsdecode(process.stderr):
        return ""
    raise _make_error("crontab -l", process)


def _write(crontab: str) -> None:
    process = _run_crontab("-", os.fsencode(crontab))
    if process.returncode != 0:
        raise _make_error("crontab -", process)


def _run_crontab(argument: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    if shutil.which("crontab") is None:
        raise EdgelineError(
            "There is no crontab command on this machine.",
            "Only that command can change a crontab.",
            "Install cron (`apt-get install cron`), use --systemd, or print the lines without --install.",
        )
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(["crontab", argument], input=stdin, capture_output=True, env=environment)


def _make_error(command: str, process: "subprocess.CompletedProcess[bytes]") -> EdgelineError:
    reason = " ".join(os.fsdecode(process.stderr or process.stdout).split())
    reason = reason or f"exit code {process.returncode}"
    return EdgelineError(
        f"`{command}` failed: {reason.rstrip('.')}.",
        "The crontab was not changed.",
        "Fix that and run the same command again; if a line is too long for cron, move settings into"
        " a profile, a YAML file.",
    )
