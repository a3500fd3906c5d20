"""A scheduled run as a service and a timer of systemd: printed, installed, removed."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from errors import EdgelineError, UsageError
from locations import whole
from runners.timers.scheduled_run import ScheduledRun

# Units of the administrator; systemd.unit(5).
SYSTEM_FOLDER = Path("/etc/systemd/system")
_ALREADY_PLAIN = re.compile(r"[A-Za-z0-9_@:=,./+-]+")

_SERVICE = """\
# Written by `edgeline schedule --systemd`, which replaces it when it is asked again. What you want
# different (limits, OnFailure=, EnvironmentFile=) belongs in `systemctl{user} edit {name}.service`.
[Unit]
Description=Edgeline: train {workload} when its data changed
{after}
[Service]
# A service that still runs is not started again; a run by hand holds the workspace's lock (exit code 5).
Type=oneshot
{owner}WorkingDirectory={folder}
ExecStart={command}
{following}Environment=PYTHONUNBUFFERED=1
# Every exit code but 0 is a failure of the unit, also 3 (held back) and 4 (data refused): phones keep an
# older model until somebody looks, so OnFailure= fires and `systemctl --failed` lists it. The code tells
# which; the words that systemd puts beside it (3/NOTIMPLEMENTED, 4/NOPERMISSION) are not ours.
TimeoutStartSec=1d
# The run ends its own worker, and records how it ended. Where memory runs out it says so itself.
KillMode=mixed
OOMPolicy=continue
MemoryMax=80%
CPUWeight=20
IOWeight=20
Nice=10
StandardOutput=journal
StandardError=journal
SyslogIdentifier={name}
"""

_TIMER = """\
# Written by `edgeline schedule --systemd`, which replaces it when it is asked again.
[Unit]
Description=Edgeline: {workload}, {at}

[Timer]
OnCalendar={calendar}
# A machine that was off at that time runs it once it is up again.
Persistent=true

[Install]
WantedBy=timers.target
"""


def unit_texts(run: ScheduledRun) -> dict[str, str]:
    """The unit files of a run, text by file name.

    A root user's run for the whole machine, as the user whom the workspace belongs to; anyone else's for
    themselves.

    Raises:
        UsageError: systemd cannot start a program of that path.
    """
    if set(run.command[0]) & set("\"'\\"):
        raise UsageError(
            f"{run.command[0]} has a quote or a backslash in it.",
            "systemd starts no program with such a path.",
            "Use --cron, or move the project to another folder and make its environment again.",
        )
    system = os.geteuid() == 0
    mounts = " ".join(_quote_path(str(path)) for path in dict.fromkeys((run.folder, run.workspace)))
    after = "Wants=network-online.target\nAfter=network-online.target\n" + f"RequiresMountsFor={mounts}\n"
    service = _SERVICE.format(
        name=run.name,
        user="" if system else " --user",
        workload=run.workload,
        after=after if system else "",
        owner=f"User={_owner(run.workspace)}\n" if system else "",
        folder=str(run.folder).replace("%", "%%"),
        command=_line(run.command),
        # Also of a run that was killed; what comes of it is no part of how the unit ended.
        following=f"ExecStopPost=-{_line(run.after)}\n" if run.after else "",
    )
    timer = _TIMER.format(workload=run.workload, at=run.at, calendar=run.at.calendar)
    return {f"{run.name}.service": service, f"{run.name}.timer": timer}


def _line(command: Sequence[str]) -> str:
    return " ".join((_quote_path(command[0]), *map(_quote, command[1:])))


def _quote_path(text: str) -> str:
    """One word of a unit's line, with no specifier in it (systemd.syntax(7), systemd.unit(5) on %)."""
    text = text.replace("%", "%%")
    if _ALREADY_PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quote(argument: str) -> str:
    """One argument of a command, in which no variable is to be replaced either (systemd.service(5))."""
    return _quote_path(argument.replace("$", "$$")) if argument else '""'


def _owner(workspace: Path) -> str:
    """Who the workspace belongs to, or will: a run as root would leave files that they cannot replace."""
    there = next(path for path in (workspace, *workspace.parents) if path.exists())
    try:
        return there.owner()
    except KeyError:
        return str(there.stat().st_uid)


def unit_folder() -> Path:
    """Where this user's units lie."""
    if os.geteuid() == 0:
        return SYSTEM_FOLDER
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config, "systemd", "user")


def installed() -> list[str]:
    """Names of this user's installed schedules."""
    return sorted(path.stem for path in unit_folder().glob("edgeline-*.timer"))


def install(run: ScheduledRun) -> None:
    """Puts the units in place and starts the timer; a failure leaves what was there before.

    Raises:
        EdgelineError: systemd does not run here, or refuses the units.
        OSError: The files cannot be written.
    """
    _systemctl("daemon-reload")
    texts = unit_texts(run)
    before = {name: _read(name) for name in texts}
    try:
        _write(texts)
        _systemctl("daemon-reload")
        _systemctl("enable", f"{run.name}.timer")
        # A timer that ran before takes its new time only when it starts again.
        _systemctl("restart", f"{run.name}.timer")
    except BaseException:
        with suppress(EdgelineError, OSError):
            if before[f"{run.name}.timer"] is None:
                _systemctl("disable", "--now", f"{run.name}.timer")
        with suppress(EdgelineError, OSError):
            _write(before)
            _systemctl("daemon-reload")
        raise


def remove(name: str) -> None:
    """Stops the timer of a schedule and takes its units away; a run that goes on is left alone.

    Raises:
        EdgelineError: systemd does not run here.
    """
    _systemctl("disable", "--now", f"{name}.timer")
    _write({f"{name}.timer": None, f"{name}.service": None})
    _systemctl("daemon-reload")


def _read(name: str) -> str | None:
    try:
        return (unit_folder() / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _write(texts: Mapping[str, str | None]) -> None:
    """Replaces each file, whole or not at all; None takes it away."""
    folder = unit_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        if text is None:
            (folder / name).unlink(missing_ok=True)
            continue
        with whole(folder / name) as file:
            file.write(text.encode())


def _systemctl(*arguments: str) -> None:
    """Asks this user's systemd; an EdgelineError where it is not there, or refuses."""
    command = ["systemctl", *([] if os.geteuid() == 0 else ["--user"]), *arguments]
    if shutil.which("systemctl") is None:
        said = "There is no systemctl on this machine"
    else:
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if ended.returncode == 0:
            return
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        said = f"`{' '.join(command)}` failed: {' '.join(lines) or f'exit code {ended.returncode}'}"
    raise EdgelineError(
        f"{said.rstrip('.')}.",
        "A timer needs a systemd that runs; nothing was changed.",
        "Use --cron instead, or print the units without --install and put them where systemd runs.",
    )
