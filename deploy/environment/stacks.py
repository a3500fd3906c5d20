"""The choice of a TFX stack for this machine and its Pythons; runs under any Python from 3.8 on."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WSL = "wsl --install -d Ubuntu-24.04    (and continue in there)"
CONTAINER = (
    'docker run --rm -it --platform linux/amd64 -v "$PWD":/project -w /project python:3.13-trixie make run'
)
# pyfarmhash, which TFDV needs, is compiled at installation.
NO_HEADERS = "without its C headers"
# This code runs in each Python. The Python of a venv answers for the one it was made from.
_QUESTION = f"""
import json, os, platform, sys, sysconfig
missing = []
for module in ("bz2", "ctypes", "lzma", "sqlite3", "ssl", "zlib"):
    try:
        __import__(module)
    except ImportError:
        missing.append(module)
kind = platform.python_implementation()
print(json.dumps([
    getattr(sys, "_base_executable", None) or sys.executable,
    sys.version_info[:3],
    kind + ", not CPython" if kind != "CPython"
    else "32-bit" if sys.maxsize < 2**32
    else "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED")
    else "built without " + ", ".join(missing) if missing
    else "" if os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
    else "{NO_HEADERS}",
]))
"""


class SetupError(Exception):
    """The environment cannot be made: what was found, what is needed, and the one command that provides it.

    It is not in the project's tree of errors, which this Python may be too old to import. Its exit code is 2
    if no stack fits this machine, 1 if one fits and its installation failed.
    """

    def __init__(self, found: str, needed: str, do: str, exit_code: int = 2) -> None:
        super().__init__(f"Found:  {found}\nNeeded: {needed}\nDo:     {do}")
        self.exit_code = exit_code


def format_version(version: Sequence[int]) -> str:
    """Formats a version: (3, 10) becomes 3.10."""
    return ".".join(map(str, version))


@dataclass(frozen=True)
class Stack:
    """A TFX release, the Pythons it runs on, best first, and the oldest glibc that its wheels accept."""

    name: str
    pythons: tuple[tuple[int, int], ...]
    glibc: tuple[int, int]

    def __str__(self) -> str:
        return f"Python {' or '.join(map(format_version, self.pythons))}"


# The preferred one first. The ml-metadata and TFDV wheels of TFX 1.21 ask for glibc 2.39; in the other lock
# file Pillow's and h5py's ask for 2.28.
STACKS = (
    Stack("tfx-1.21", ((3, 13), (3, 12), (3, 11)), (2, 39)),
    Stack("tfx-1.16", ((3, 10),), (2, 28)),
)


@dataclass(frozen=True)
class Machine:
    """A machine by `platform.system()`, `platform.machine()`, and the version of its glibc, if any."""

    system: str
    architecture: str
    glibc: tuple[int, ...] | None

    def __str__(self) -> str:
        if self.system != "Linux":
            return f"{self.system.replace('Darwin', 'macOS')} on {self.architecture}"
        library = f"glibc {format_version(self.glibc)}" if self.glibc else "a C library that is not glibc"
        return f"Linux on {self.architecture} with {library}"


@dataclass(frozen=True)
class Interpreter:
    """A Python on this machine; `defect`, unless empty, says why it cannot run a stack."""

    path: str
    version: tuple[int, ...]
    defect: str = ""

    def __str__(self) -> str:
        return f"Python {format_version(self.version)} ({', '.join(filter(None, (self.path, self.defect)))})"


def detect_machine() -> Machine:
    """Reads the system, the architecture and the C library of this machine."""
    library, version = platform.libc_ver()
    glibc = tuple(map(int, version.split(".")[:2])) if library == "glibc" else None
    return Machine(platform.system(), platform.machine(), glibc)


def find_stacks(machine: Machine) -> list[Stack]:
    """Returns the stacks whose wheels this machine can run, the preferred one first; SetupError if none."""
    glibc = machine.glibc if (machine.system, machine.architecture) == ("Linux", "x86_64") else None
    stacks = [stack for stack in STACKS if glibc and glibc >= stack.glibc]
    if not stacks:
        needed = f"Linux on x86_64 with glibc {format_version(STACKS[-1].glibc)} or newer"
        needed += ": TFX's native libraries are published only for that."
        raise SetupError(f"{machine}.", needed, WSL if machine.system == "Windows" else CONTAINER)
    return stacks


def find_pythons(environ: Mapping[str, str]) -> list[Interpreter]:
    """Finds all Pythons that answer, each once: the running one, then PATH's, then pyenv's.

    The search of uv stops at a pyenv shim that does not answer, does not know pyenv's versions folder, and
    accepts a Python that lacks sqlite3 or its headers; so uv is asked for one only if none of these fits.
    """
    minors = [format_version(minor) for stack in STACKS for minor in stack.pythons]
    pyenv = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/"), ".pyenv"))
    search_path = environ.get("PATH", "").split(os.pathsep)
    # Every folder of PATH is searched: the first Python of a name may not answer. pyenv's shims are slow and
    # answer only for a version that a person has chosen; its versions folder lists all.
    folders = [folder for folder in search_path if Path(folder) != pyenv / "shims"]
    on_path = (shutil.which(f"python{minor}", path=folder) for folder in folders for minor in (*minors, "3"))
    in_pyenv = (path for minor in minors for path in pyenv.glob(f"versions/{minor}.*/bin/python{minor}"))
    first = [ask(path) for path in (sys.executable, *on_path) if path]
    newest_first = sorted(filter(None, map(ask, in_pyenv)), key=lambda python: python.version, reverse=True)
    return list(dict.fromkeys(filter(None, (*first, *newest_first))))


def ask(python: str | Path) -> Interpreter | None:
    """Runs a Python to learn its version and defects; None if it does not start or does not answer."""
    command = (python, "-I", "-c", _QUESTION)
    try:
        reply = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=True)
        path, version, defect = json.loads(reply.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    # The path is resolved, since `python3` may mean another Python after the next upgrade of the system.
    return Interpreter(os.path.realpath(path), tuple(version), defect)


def choose(stacks: Sequence[Stack], pythons: Sequence[Interpreter]) -> tuple[Stack, Interpreter] | None:
    """Returns the best stack that one of the Pythons can run, with the first such Python; None if none."""
    intact = [python for python in pythons if not python.defect]
    fits = ((s, p) for s in stacks for minor in s.pythons for p in intact if p.version[:2] == minor)
    return next(fits, None)


def missing_python(machine: Machine, pythons: Sequence[Interpreter], uv: str, reason: str) -> SetupError:
    """Returns the error for a machine where no Python fits and uv could not provide one, for `reason`."""
    stacks, newest = find_stacks(machine), STACKS[0]
    minors = [minor for stack in stacks for minor in stack.pythons]
    needed = ", or ".join(f"{stack} for {stack.name.replace('tfx-', 'TFX ')}" for stack in stacks)
    if newest not in stacks:
        system = f"a system with glibc {format_version(newest.glibc)} or newer and {newest}"
        needed += f" (or {system}, such as Debian 13 or Ubuntu 24.04)"
    do = f"{uv} python install {format_version(minors[0])} && make setup    (where the download is allowed)"
    if any(python.defect == NO_HEADERS and python.version[:2] in minors for python in pythons):
        do = "sudo apt-get install python3-dev && make setup"
    found = "; ".join(map(str, pythons)) or "no Python"
    return SetupError(f"{machine}, and {found}.", f"{needed}. uv could not download one: {reason}", do)
