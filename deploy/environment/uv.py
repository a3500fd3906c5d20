"""uv, which makes the environment: the one on PATH, or a pinned one in a small environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.environment.stacks import InstallError, SetupError, dotted

# The oldest whose `pip sync` was tried with hashes and build constraints.
OLDEST_UV = (0, 5, 0)


def find_uv(root: Path, pythons: Sequence[str], search_path: str, pinned_only: bool = False) -> str:
    """Finds uv, or installs the one that requirements/uv.txt pins into `root/.uv`.

    Args:
        root: The checkout.
        pythons: Pythons to make the small environment with, tried in order.
        search_path: Folders to look in, as PATH has them.
        pinned_only: Takes no other version, so that what uv writes does not depend on the machine.

    Returns:
        The path of the program.

    Raises:
        SetupError: No Python here has venv and pip.
        InstallError: The download failed.
    """
    requirements = root / "requirements" / "uv.txt"
    pinned = _version_in(re.search(r"^uv==(\S+)", requirements.read_text(), re.MULTILINE))
    on_path = shutil.which("uv", path=search_path)
    if on_path:
        version = uv_version(on_path)
        if version == pinned or (version >= OLDEST_UV and not pinned_only):
            return on_path
    folder = root / ".uv"
    own = folder / "bin" / "uv"
    if uv_version(str(own)) != pinned:
        _install(folder, requirements, pythons)
    return os.path.relpath(own, root)


def uv_version(program: str) -> tuple[int, ...]:
    """The version that a uv says it is; () where it does not run."""
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return _version_in(re.search(r"^uv (\d\S*)", answer.stdout))


def _version_in(match: re.Match[str] | None) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", match[1])[:3]) if match else ()


def _install(folder: Path, requirements: Path, pythons: Sequence[str]) -> None:
    for python in pythons:
        shutil.rmtree(folder, ignore_errors=True)
        made = subprocess.run([python, "-m", "venv", str(folder)], capture_output=True)
        if made.returncode == 0:
            break
    else:
        # Debian and Ubuntu ship Python without ensurepip.
        raise SetupError(
            f"no uv {dotted(OLDEST_UV)} or newer on PATH, and no Python that can make a virtual environment.",
            "Python's venv module with pip, to install uv.",
            "sudo apt-get install python3-venv && make setup",
        )
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    got = subprocess.run(
        [*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(requirements)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if got.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        said = got.stdout.strip().splitlines() or ["nothing"]
        raise InstallError(
            f"pip could not install uv; it said: {said[-1]}",
            "access to the Python package index that pip is set to.",
            "make setup    (again, where the download is allowed)",
        )


def run_uv(uv: str, root: Path, command: str, *arguments: str | Path) -> None:
    """Runs uv in the checkout; what it says goes to the terminal.

    Raises:
        InstallError: It failed.
    """
    # On a terminal uv draws its progress; elsewhere it would list each of the packages.
    quiet = () if sys.stderr.isatty() else ("--quiet",)
    command_line = [uv, *quiet, *command.split(), *arguments]
    # It inherits the set-up's lock, so that none begins while the uv of a killed one is still at work.
    ended = subprocess.run(command_line, cwd=root, stdin=subprocess.DEVNULL, close_fds=False)
    if ended.returncode:
        raise InstallError(
            f"`uv {command}` ended with exit code {ended.returncode}; it says why above.",
            "mostly access to the package index, or room: 4 GB on the disk of .venv and of uv's cache.",
            "make setup    (again: what was downloaded is kept)",
        )


def provide_python(uv: str, minor: tuple[int, int]) -> tuple[str, str]:
    """Has uv find or download a Python of its own.

    Returns:
        The path of the Python and "", or "" and the reason why there is none.
    """
    installed = _own_python(uv, "install", dotted(minor))
    if installed.returncode:
        causes = [line.strip() for line in installed.stderr.splitlines() if line.strip()]
        return "", causes[-1].rpartition("cause: ")[2] if causes else "uv did not say why"
    found = _own_python(uv, "find", "--no-project", dotted(minor))
    return found.stdout.strip(), found.stderr.strip()


def _own_python(uv: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [uv, "python", *arguments],
        # The others are looked for without uv, which stops at a pyenv shim that does not answer.
        env={**os.environ, "UV_PYTHON_PREFERENCE": "only-managed"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
