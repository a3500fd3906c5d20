"""A scheduled run as a service and a timer of systemd."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from edgeline.errors import EdgelineError, UsageError
from edgeline.store.locations import write_atomically
from runners.timers.scheduled_run import ScheduledRun

# The administrator's units are there; systemd.unit(5).
SYSTEM_FOLDER = Path("/etc/systemd/system")
_PLAIN = re.compile(r"[A-Za-z0-9_@:=,./+-]+")

# Templates of the units.
_SERVICE, _TIMER = (Path(__file__).with_name(f"edgeline.{kind}") for kind in ("service", "timer"))


def render_units(run: ScheduledRun) -> dict[str, str]:
    """Returns the unit files of a run, text by file name.

    For root these are units of the whole machine, which run as the workspace's owner; for another user they
    are that user's own. Raises UsageError if systemd cannot start a program with that path.
    """
    if set(run.command[0]) & set("\"'\\"):
        raise UsageError(
            f"{run.command[0]} contains a quote or a backslash.",
            "systemd cannot start a program with such a path.",
            "Use --cron, or move the project to another folder and make its environment again.",
        )
    is_root = os.geteuid() == 0
    mounts = " ".join(_quote_path(str(path)) for path in dict.fromkeys((run.folder, run.workspace)))
    after = "Wants=network-online.target\nAfter=network-online.target\n" + f"RequiresMountsFor={mounts}\n"
    service = _SERVICE.read_text(encoding="utf-8").format(
        name=run.name,
        user="" if is_root else " --user",
        workload=run.workload,
        after=after if is_root else "",
        owner=f"User={_find_owner(run.workspace)}\n" if is_root else "",
        folder=str(run.folder).replace("%", "%%"),
        command=_quote_command(run.command),
        # It runs after a killed run too; because of the minus its exit code does not count for the unit.
        following=f"ExecStopPost=-{_quote_command(run.after)}\n" if run.after else "",
    )
    timer = _TIMER.read_text(encoding="utf-8").format(
        workload=run.workload, at=run.at, calendar=run.at.calendar
    )
    return {f"{run.name}.service": service, f"{run.name}.timer": timer}


def _quote_command(command: Sequence[str]) -> str:
    return " ".join((_quote_path(command[0]), *map(_quote, command[1:])))


def _quote_path(text: str) -> str:
    """Quotes one word of a unit's line, and escapes specifiers (systemd.syntax(7), systemd.unit(5) on %)."""
    text = text.replace("%", "%%")
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quote(argument: str) -> str:
    """Quotes one argument of a command, and escapes variables too (systemd.service(5))."""
    return _quote_path(argument.replace("$", "$$")) if argument else '""'


def _find_owner(workspace: Path) -> str:
    """Returns the owner of the workspace or, before it exists, of its closest parent folder.

    A run as root would leave files that the owner cannot replace.
    """
    existing = next(path for path in (workspace, *workspace.parents) if path.exists())
    try:
        return existing.owner()
    except KeyError:
        return str(existing.stat().st_uid)


def locate_unit_folder() -> Path:
    """Returns the folder of this user's units."""
    if os.geteuid() == 0:
        return SYSTEM_FOLDER
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(config, "systemd", "user")


def list_installed() -> list[str]:
    """Returns the names of this user's installed schedules."""
    return sorted(path.stem for path in locate_unit_folder().glob("edgeline-*.timer"))


def install(run: ScheduledRun) -> None:
    """Writes the units and starts the timer; after a failure the earlier units are put back.

    Raises:
        EdgelineError: systemd does not run here, or refuses the units.
        OSError: The files cannot be written.
    """
    _run_systemctl("daemon-reload")
    texts = render_units(run)
    before = {name: _read(name) for name in texts}
    try:
        _write(texts)
        _run_systemctl("daemon-reload")
        _run_systemctl("enable", f"{run.name}.timer")
        # A timer that is running takes its new time only when it is restarted.
        _run_systemctl("restart", f"{run.name}.timer")
    except BaseException:
        with suppress(EdgelineError, OSError):
            if before[f"{run.name}.timer"] is None:
                _run_systemctl("disable", "--now", f"{run.name}.timer")
        with suppress(EdgelineError, OSError):
            _write(before)
            _run_systemctl("daemon-reload")
        raise


def remove(name: str) -> None:
    """Stops the timer of a schedule and removes its units; a run that is going on continues.

    Raises EdgelineError if systemd does not run here.
    """
    _run_systemctl("disable", "--now", f"{name}.timer")
    _write({f"{name}.timer": None, f"{name}.service": None})
    _run_systemctl("daemon-reload")


def _read(name: str) -> str | None:
    try:
        return (locate_unit_folder() / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _write(texts: Mapping[str, str | None]) -> None:
    """Replaces each file, whole or not at all; None removes it."""
    folder = locate_unit_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        if text is None:
            (folder / name).unlink(missing_ok=True)
            continue
        with write_atomically(folder / name) as file:
            file.write(text.encode())


def _run_systemctl(*arguments: str) -> None:
    """Runs systemctl for this user; raises EdgelineError if it is missing or fails."""
    command = ["systemctl", *([] if os.geteuid() == 0 else ["--user"]), *arguments]
    if shutil.which("systemctl") is None:
        problem = "There is no systemctl on this machine"
    else:
        process = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if process.returncode == 0:
            return
        lines = [line for line in process.stderr.splitlines() if line.strip()]
        problem = f"`{' '.join(command)}` failed: {' '.join(lines) or f'exit code {process.returncode}'}"
    raise EdgelineError(
        f"{problem.rstrip('.')}.",
        "A timer needs a running systemd; nothing was changed.",
        "Use --cron instead, or print the units without --install and put them where systemd runs.",
    )
