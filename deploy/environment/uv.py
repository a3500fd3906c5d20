"""The uv that makes the environment: the one on PATH, or a pinned one in a small environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.environment.stacks import SetupError, format_version

# The oldest whose `pip sync` was tried with hashes and build constraints.
OLDEST_UV = (0, 5, 0)


def find_uv(root: Path, pythons: Sequence[str], search_path: str, pinned_only: bool = False) -> str:
    """Finds uv, or has one of the Pythons install the version in requirements/uv.txt into `root/.uv`.

    With `pinned_only` no other version is used, so that the output of uv does not depend on the machine.
    """
    pinned = _parse_version((root / "requirements" / "uv.txt").read_text())
    on_path = shutil.which("uv", path=search_path)
    if on_path:
        version = read_uv_version(on_path)
        if version == pinned or (version >= OLDEST_UV and not pinned_only):
            return on_path
    if read_uv_version(f"{root}/.uv/bin/uv") != pinned:
        _install(root, pythons)
    return ".uv/bin/uv"


def read_uv_version(program: str) -> tuple[int, ...]:
    """Asks a uv for its version; () if it does not run."""
    try:
        return _parse_version(_capture(program, "--version").stdout)
    except OSError:
        return ()


def _parse_version(text: str) -> tuple[int, ...]:
    match = re.search(r"^uv(?: |==)(\d+)\.(\d+)\.(\d+)", text, re.MULTILINE)
    return tuple(map(int, match.groups())) if match else ()


def _capture(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **variables}
    return subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def _install(root: Path, pythons: Sequence[str]) -> None:
    folder, oldest = str(root / ".uv"), format_version(OLDEST_UV)
    if not any(_capture(python, "-m", "venv", "--clear", folder).returncode == 0 for python in pythons):
        # Debian and Ubuntu ship Python without ensurepip.
        raise SetupError(
            f"no uv {oldest} or newer on PATH, and no Python that can make a virtual environment.",
            "Python's venv module with pip, to install uv.",
            "sudo apt-get install python3-venv && make setup",
        )
    options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:")
    pip = (f"{folder}/bin/python", "-m", "pip", "install", *options)
    result = _capture(*pip, "-r", f"{root}/requirements/uv.txt")
    if result.returncode:
        raise SetupError(
            f"pip could not install uv: {(result.stderr.strip().splitlines() or ['no message'])[-1]}",
            "access to the Python package index that pip is configured with.",
            "make setup    (again, where the download is allowed)",
            exit_code=1,
        )


def run_uv(uv: str, root: Path, command: str, *arguments: str | Path) -> None:
    """Runs uv in the checkout; its output goes to the terminal."""
    # On a terminal uv draws its progress; elsewhere it would list every package.
    quiet = () if sys.stderr.isatty() else ("--quiet",)
    command_line = [uv, *quiet, *command.split(), *arguments]
    # uv inherits the set-up's lock, so that no set-up begins while the uv of a killed one is still at work.
    result = subprocess.run(command_line, cwd=root, stdin=subprocess.DEVNULL, close_fds=False)
    if result.returncode:
        raise SetupError(
            f"`uv {command}` ended with exit code {result.returncode}; its message is above.",
            "usually access to the package index, or 4 GB of space on the disk of .venv and of uv's cache.",
            "make setup    (again: what was downloaded is kept)",
            exit_code=1,
        )


def provide_python(uv: str, minor: tuple[int, int]) -> tuple[str, str]:
    """Has uv find or download a Python; returns its path and "", or "" and the reason of the failure."""
    for step in ("install", "find"):
        result = _capture(uv, "python", step, format_version(minor), UV_PYTHON_PREFERENCE="only-managed")
        if result.returncode:
            last = (result.stderr.strip().splitlines() or ["uv gave no reason"])[-1]
            return "", last.rpartition("cause: ")[2]
    return result.stdout.strip(), ""
