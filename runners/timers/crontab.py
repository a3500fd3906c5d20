"""A scheduled run as lines of the user's crontab: printed, installed, removed; no other line is touched."""

import os
import re
import shlex
import shutil
import subprocess

from errors import EdgelineError
from runners.timers.scheduled_run import ScheduledRun

_BEGIN = "# {name}: begin, written by `edgeline schedule --cron`, which replaces it when it is asked again"
_END = "# {name}: end"
_MARK = re.compile(r"# (edgeline-\S+): (begin|end)\b")


def block(run: ScheduledRun) -> str:
    """The lines of a run: one command between two marks.

    The workspace's lock keeps two runs apart. The output goes to a file in the workspace, and where the run
    ends with another exit code than 0 on to cron, which mails it.
    """
    log = shlex.quote(str(run.workspace / f"schedule-{run.workload}.log"))
    after = f" {shlex.join(run.after)} >/dev/null;" if run.after else ""
    command = f"{{ {shlex.join(run.command)} >{log} 2>&1 || cat {log};{after} }}"
    command = f"cd {shlex.quote(str(run.folder))} && {command}"
    line = f"{run.at.cron} {_for_cron(command)}"
    return "\n".join((_BEGIN.format(name=run.name), line, _END.format(name=run.name))) + "\n"


def _for_cron(command: str) -> str:
    """A quoted command as a crontab has it, in which a plain % would be a line end (crontab(5)).

    Some crons also take two backslashes for one. Each stands within single quotes, which end and begin again
    after one that another or a % follows: then no cron takes it for more than it is.
    """
    return re.sub(r"\\(?=[\\%])", r"\\''", command).replace("%", "\\%")


def installed() -> list[str]:
    """Names of the schedules in this user's crontab.

    Raises:
        EdgelineError: There is no crontab command, or it fails.
    """
    marks = (_MARK.match(line) for line in _read().split("\n"))
    return sorted({mark[1] for mark in marks if mark})


def install(run: ScheduledRun) -> None:
    """Puts the lines of a run into this user's crontab, in the place of earlier ones.

    Raises:
        EdgelineError: There is no crontab command, it fails, or the marks in it are damaged.
    """
    before, after = _parted(_read(), run.name)
    _write(before + block(run) + after)


def remove(name: str) -> None:
    """Takes the lines of a schedule out of this user's crontab. Raises as `install` does."""
    before, after = _parted(_read(), name)
    _write(before + after)


def _parted(crontab: str, name: str) -> tuple[str, str]:
    """What stands before and after the lines of a schedule; all of it before, where there are none."""
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
        found = ", ".join(f"{kind} in line {number + 1}" for kind, number in marks)
        raise EdgelineError(
            f"The marks of {name} in the crontab are not one begin and one end: {found}.",
            "Which lines between them are to go cannot be told; nothing was changed.",
            "Take those lines out with `crontab -e`, and run the same command again.",
        )
    (_, begin), (_, end) = marks
    return "".join(lines[:begin]), "".join(lines[end + 1 :])


def _read() -> str:
    """This user's crontab; empty where there is none yet."""
    ended = _crontab("-l")
    if ended.returncode == 0:
        return os.fsdecode(ended.stdout)
    # Any other failure must not be taken for an empty crontab, which would then be written over.
    if "no crontab for" in os.fsdecode(ended.stderr):
        return ""
    raise _failed("crontab -l", ended)


def _write(crontab: str) -> None:
    ended = _crontab("-", os.fsencode(crontab))
    if ended.returncode != 0:
        raise _failed("crontab -", ended)


def _crontab(argument: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    if shutil.which("crontab") is None:
        raise EdgelineError(
            "There is no crontab command on this machine.",
            "The lines have to be put into a crontab by it.",
            "Install cron (`apt-get install cron`), use --systemd, or print the lines without --install.",
        )
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(["crontab", argument], input=stdin, capture_output=True, env=environment)


def _failed(command: str, ended: "subprocess.CompletedProcess[bytes]") -> EdgelineError:
    said = " ".join(os.fsdecode(ended.stderr or ended.stdout).split()) or f"exit code {ended.returncode}"
    return EdgelineError(
        f"`{command}` failed: {said.rstrip('.')}.",
        "The crontab is as it was.",
        "Fix that and run the same command again; where a line is too long for cron, put settings into a"
        " profile, a YAML file.",
    )
