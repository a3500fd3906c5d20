"""uv, which makes the environment: the one on PATH, or a pinned one in a small environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.stacks import InstallError, SetupError, dotted

# The oldest whose `pip sync` was tried with hashes and build constraints.
OLDEST_UV = (0, 5, 0)


def find_uv(root: Path, pythons: Sequence[str], environ: Mapping[str, str], pinned_only: bool = False) -> str:
    """Finds uv on PATH, or installs the one that requirements/uv.txt pins into `root/.uv`.

    Args:
        root: The checkout.
        pythons: Pythons to make the small environment with, tried in order.
        environ: PATH is read, and handed on.
        pinned_only: Takes no other version than the pinned one, so that lock files do not depend on the machine.

    Returns:
        The path of the program.

    Raises:
        SetupError: No Python here has venv and pip, or the download failed.
    """
    requirements = root / "requirements" / "uv.txt"
    pinned = _version_in(re.search(r"^uv==(\S+)", requirements.read_text(), re.MULTILINE))
    on_path = shutil.which("uv", path=environ.get("PATH"))
    if on_path:
        version = uv_version(on_path)
        if version == pinned or (version >= OLDEST_UV and not pinned_only):
            return on_path
    folder = root / ".uv"
    own = folder / "bin" / "uv"
    if uv_version(str(own)) != pinned:
        _install(folder, requirements, pythons, environ)
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


def _install(folder: Path, requirements: Path, pythons: Sequence[str], environ: Mapping[str, str]) -> None:
    for python in pythons:
        shutil.rmtree(folder, ignore_errors=True)
        made = subprocess.run([python, "-m", "venv", str(folder)], capture_output=True, env=environ)
        if made.returncode == 0:
            break
    else:
        # Debian and Ubuntu ship Python without ensurepip.
        raise SetupError(
            f"no uv of {dotted(OLDEST_UV)} or newer on PATH, and no Python here that can make a virtual environment.",
            "the venv module with pip, to install uv.",
            "sudo apt-get install python3-venv && make setup",
        )
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    got = subprocess.run(
        [*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(requirements)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environ,
    )
    if got.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        said = got.stdout.strip().splitlines() or ["nothing"]
        raise InstallError(
            f"pip could not install uv; it said: {said[-1]}",
            "access to the Python package index that pip is set to.",
            "make setup    (again, where the download is allowed)",
        )


def provide_python(uv: str, minor: tuple[int, int], environ: Mapping[str, str]) -> tuple[str, str]:
    """Has uv find or download a Python of its own.

    Returns:
        The path of the Python and "", or "" and the reason why there is none.
    """
    own = {**environ, "UV_PYTHON_PREFERENCE": "only-managed"}
    installed = _uv(uv, own, "python", "install", dotted(minor))
    if installed.returncode:
        lines = [line.strip() for line in installed.stderr.splitlines() if line.strip()]
        return "", lines[-1].rpartition("cause: ")[2] if lines else "uv said nothing"
    found = _uv(uv, own, "python", "find", "--no-project", dotted(minor))
    return found.stdout.strip(), found.stderr.strip()


def _uv(uv: str, environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [uv, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environ
    )
