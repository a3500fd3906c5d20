"""uv, which makes the environment: the one on PATH, or a pinned one in a small environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.environment.stacks import SetupError, dotted

# The oldest whose `pip sync` was tried with hashes and build constraints.
OLDEST_UV = (0, 5, 0)


def find_uv(root: Path, pythons: Sequence[str], search_path: str, pinned_only: bool = False) -> str:
    """Finds uv, or has one of the Pythons install the one that requirements/uv.txt pins into `root/.uv`.

    With `pinned_only` no other version is taken, so that what uv writes does not depend on the machine.
    """
    pinned = _version_in((root / "requirements" / "uv.txt").read_text())
    on_path = shutil.which("uv", path=search_path)
    if on_path:
        version = uv_version(on_path)
        if version == pinned or (version >= OLDEST_UV and not pinned_only):
            return on_path
    if uv_version(f"{root}/.uv/bin/uv") != pinned:
        _install(root, pythons)
    return ".uv/bin/uv"


def uv_version(program: str) -> tuple[int, ...]:
    """The version that a uv says it is; () where it does not run."""
    try:
        return _version_in(_capture(program, "--version").stdout)
    except OSError:
        return ()


def _version_in(text: str) -> tuple[int, ...]:
    match = re.search(r"^uv(?: |==)(\d+)\.(\d+)\.(\d+)", text, re.MULTILINE)
    return tuple(map(int, match.groups())) if match else ()


def _capture(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **variables}
    return subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def _install(root: Path, pythons: Sequence[str]) -> None:
    folder = str(root / ".uv")
    if not any(_capture(python, "-m", "venv", "--clear", folder).returncode == 0 for python in pythons):
        # Debian and Ubuntu ship Python without ensurepip.
        raise SetupError(
            f"no uv {dotted(OLDEST_UV)} or newer on PATH, and no Python that can make a virtual environment.",
            "Python's venv module with pip, to install uv.",
            "sudo apt-get install python3-venv && make setup",
        )
    options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:")
    pip = (f"{folder}/bin/python", "-m", "pip", "install", *options)
    got = _capture(*pip, "-r", f"{root}/requirements/uv.txt")
    if got.returncode:
        raise SetupError(
            f"pip could not install uv; it said: {(got.stderr.strip().splitlines() or ['nothing'])[-1]}",
            "access to the Python package index that pip is set to.",
            "make setup    (again, where the download is allowed)",
            exit_code=1,
        )


def run_uv(uv: str, root: Path, command: str, *arguments: str | Path) -> None:
    """Runs uv in the checkout; what it says goes to the terminal."""
    # On a terminal uv draws its progress; elsewhere it would list each of the packages.
    quiet = () if sys.stderr.isatty() else ("--quiet",)
    command_line = [uv, *quiet, *command.split(), *arguments]
    # It inherits the set-up's lock, so that none begins while the uv of a killed one is still at work.
    ended = subprocess.run(command_line, cwd=root, stdin=subprocess.DEVNULL, close_fds=False)
    if ended.returncode:
        raise SetupError(
            f"`uv {command}` ended with exit code {ended.returncode}; it says why above.",
            "mostly access to the package index, or room: 4 GB on the disk of .venv and of uv's cache.",
            "make setup    (again: what was downloaded is kept)",
            exit_code=1,
        )


def provide_python(uv: str, minor: tuple[int, int]) -> tuple[str, str]:
    """Has uv find or download a Python of its own: its path and "", or "" and why there is none."""
    for step in ("install", "find"):
        ended = _capture(uv, "python", step, dotted(minor), UV_PYTHON_PREFERENCE="only-managed")
        if ended.returncode:
            last = (ended.stderr.strip().splitlines() or ["uv did not say why"])[-1]
            return "", last.rpartition("cause: ")[2]
    return ended.stdout.strip(), ""
