"""The uv that makes the environment, on PATH or in a folder of its own, and the Python that it finds."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.environment.stacks import STACKS, Machine, SetupError, Stack, find_stacks, format_version

# The oldest whose `pip sync` was tried with hashes and build constraints.
OLDEST_UV = (0, 5, 0)
# TFX and its libraries need this of a Python, and uv does not check it: they import these modules, and
# pyfarmhash is compiled at its installation.
_NO_HEADERS = "without its C headers"
_CHECK = f"""
import bz2, ctypes, lzma, os, sqlite3, ssl, sys, sysconfig, zlib
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    sys.exit("{_NO_HEADERS}")
"""


def find_uv(root: Path, search_path: str, pinned_only: bool = False, python: str = sys.executable) -> str:
    """Finds uv, or has a Python install the pinned version into `root/.uv`.

    Args:
        root: The folder of the checkout; the pinned version is in its requirements/uv.txt.
        search_path: In the form of PATH.
        pinned_only: Takes no other version, so that the output of uv does not depend on the machine.
        python: A program that can make a virtual environment.

    Returns:
        The path of uv; that in `root/.uv` is relative to `root`.

    Raises:
        SetupError: `python` cannot make a virtual environment, or pip cannot install uv.
    """
    pinned = _parse_version((root / "requirements" / "uv.txt").read_text())
    on_path = shutil.which("uv", path=search_path)
    if on_path:
        version = read_uv_version(on_path)
        if version == pinned or (version >= OLDEST_UV and not pinned_only):
            return on_path
    if read_uv_version(f"{root}/.uv/bin/uv") != pinned:
        _install(root, python)
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


def _install(root: Path, python: str) -> None:
    folder = str(root / ".uv")
    oldest = format_version(OLDEST_UV)
    if _capture(python, "-m", "venv", "--clear", folder).returncode:
        # Debian and Ubuntu ship Python without ensurepip.
        raise SetupError(
            f"no uv {oldest} or newer on PATH, and {python} cannot make a virtual environment.",
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
    """Runs uv in the checkout; its output goes to the terminal.

    Args:
        uv: As `find_uv` returns it.
        root: The folder of the checkout, where uv runs.
        command: The subcommand with options, split at spaces; the errors name it.
        *arguments: Added as they are, so that paths may have spaces.

    Raises:
        SetupError: uv failed; its own message is on the terminal.
    """
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


def find_python(uv: str, machine: Machine, environ: Mapping[str, str]) -> tuple[Stack, str]:
    """Finds the preferred stack that a Python of this machine can run, else has uv install a Python for it.

    Args:
        uv: As `find_uv` returns it.
        machine: Decides which stacks fit.
        environ: PATH, PYENV_ROOT and HOME say where Pythons are looked for.

    Returns:
        The stack, and the path of its Python.

    Raises:
        SetupError: No Python fits, and uv could not install one; or no stack fits this machine.
    """
    fitting = find_stacks(machine)
    pythons = [f"Python {platform.python_version()} ({sys.executable})"]
    pyenv = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/"), ".pyenv"))
    # uv gives up at a shim of pyenv that does not answer, and does not look for pyenv's versions.
    folders = [
        folder for folder in environ.get("PATH", "").split(os.pathsep) if Path(folder) != pyenv / "shims"
    ]
    folders += map(str, sorted(pyenv.glob("versions/3.*/bin"), reverse=True))
    for stack, minor in [(one, minor) for one in fitting for minor in one.pythons]:
        options = ("--system", "--no-project", "--no-python-downloads", f"cpython@{format_version(minor)}")
        result = _capture(uv, "python", "find", *options, PATH=os.pathsep.join(folders))
        if result.returncode == 0:
            # The path is resolved: `python3` may mean another one after an upgrade of the system.
            path = os.path.realpath(result.stdout.strip())
            if not (defect := _capture(path, "-I", "-c", _CHECK).stderr.strip()):
                return stack, path
            pythons.append(f"{path} ({defect.splitlines()[-1]})")
    version = format_version(fitting[0].pythons[0])
    print(f"Found no suitable Python; getting Python {version} with uv.", flush=True)
    for step in ("install", "find"):
        result = _capture(uv, "python", step, version, UV_PYTHON_PREFERENCE="only-managed")
        if result.returncode:
            break
    else:
        return fitting[0], result.stdout.strip()
    reason = (result.stderr.strip().splitlines() or ["uv gave no reason"])[-1].rpartition("cause: ")[2]
    needed = ", or ".join(map(str, fitting))
    newest = STACKS[0]
    if newest not in fitting:
        system = f"a system with glibc {format_version(newest.glibc)} or newer and {newest}"
        needed += f" (or {system}, such as Debian 13 or Ubuntu 24.04)"
    do = f"{uv} python install {version} && make setup    (where the download is allowed)"
    if _NO_HEADERS in str(pythons):
        do = "sudo apt-get install python3-dev && make setup"
    raise SetupError(
        f"{machine}, and {', '.join(pythons)}.", f"{needed}. uv could not download one: {reason}", do
    )
