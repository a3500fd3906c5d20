"""Makes `.venv` from the lock file of the TFX stack that fits this machine: `python3 -m deploy.environment`.

It needs the standard library of Python 3.8 or newer, and a C++ compiler. Run again, it does nothing while
nothing has changed; a set-up that was interrupted is made anew by the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy.pythons import ask, find_pythons
from deploy.stacks import (
    Choice,
    InstallError,
    Machine,
    SetupError,
    choose,
    dotted,
    no_python,
    stacks_for,
)
from deploy.uv import find_uv, provide_python

ROOT = Path(__file__).resolve().parents[1]
# Under it are the name of the stack, the digest of its lock file, and what makes the environment stale.
STAMP = "edgeline.json"


def this_machine() -> Machine:
    """Asks the C library and the kernel what this machine is."""
    glibc = None
    with contextlib.suppress(AttributeError, OSError, ValueError):
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        if name == "glibc":
            major, minor = version.split(".")[:2]
            glibc = int(major), int(minor)
    return Machine(platform.system(), platform.machine(), glibc)


def lock_file(root: Path, stack: str) -> Path:
    """Where the pins of a stack stand."""
    return root / "requirements" / f"{stack}.txt"


def stamp_for(root: Path, stack: str, python: str, machine: Machine) -> dict[str, Any]:
    """All that an environment is made from; an environment whose stamp differs is stale."""
    digests = {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in (("lock", lock_file(root, stack)), ("setup", root / "setup.py"))
    }
    return {"stack": stack, "python": python, "root": str(root), "machine": str(machine), "sha256": digests}


def read_stamp(venv: Path) -> dict[str, Any]:
    """The stamp of an environment; empty where it was never finished, or is not one of ours."""
    try:
        stamp = json.loads((venv / STAMP).read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(venv: Path, stamp: Mapping[str, Any]) -> None:
    """Marks an environment as finished, all at once."""
    unfinished = venv / f"{STAMP}.new"
    unfinished.write_text(json.dumps({**stamp, "packages": _packages(venv)}, indent=1))
    unfinished.replace(venv / STAMP)


def is_ready(root: Path, machine: Machine) -> bool:
    """Whether the environment is whole and made from what is there now."""
    venv = root / ".venv"
    stamp = read_stamp(venv)
    if not stamp or not (venv / "bin" / "python").exists():
        return False
    try:
        expected = stamp_for(root, stamp["stack"], stamp["python"], machine)
    except (KeyError, OSError):
        return False
    packages = stamp.pop("packages", None)
    return stamp == expected and isinstance(packages, list) and set(packages) <= set(_packages(venv))


def _packages(venv: Path) -> list[str]:
    return sorted(path.name for path in venv.glob("lib/python3.*/site-packages/*.dist-info"))


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Holds the lock of the set-up; the kernel lets it go however the process ends."""
    import fcntl

    with (root / ".venv.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up is at work in this checkout; waiting for it.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Clock:
    """Where the time went: seconds by phase."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self._phases: list[str] = []

    def lap(self, phase: str) -> None:
        now = time.monotonic()
        self._phases.append(f"{phase} {now - self._last:.1f} s")
        self._last = now

    def __str__(self) -> str:
        return f"{self._last - self._started:.1f} s: {', '.join(self._phases)}"


def choose_here(root: Path, machine: Machine, environ: Mapping[str, str]) -> Choice:
    """The stack and the Python for this machine, downloading one with uv where none is there.

    Raises:
        SetupError: No stack fits; says what was found, what is needed and how to get it.
    """
    stacks = stacks_for(machine)
    pythons = find_pythons(environ)
    choice = choose(stacks, pythons)
    if choice:
        return choice
    uv = find_uv(root, [python.path for python in pythons], environ)
    reason = ""
    for stack in stacks:
        print(f"No fitting Python here; asking uv for Python {dotted(stack.pythons[0])}.", flush=True)
        path, reason = provide_python(uv, stack.pythons[0], environ)
        provided = ask(Path(path)) if path else None
        if provided and not provided.defect:
            return Choice(stack, provided)
    raise no_python(machine, stacks, pythons, uv, reason)


def set_up(root: Path, environ: Mapping[str, str]) -> None:
    """Brings `root/.venv` to what the lock file and setup.py say.

    Raises:
        SetupError: No stack fits this machine, or installing it failed.
    """
    machine = this_machine()
    if is_ready(root, machine):
        print(f".venv is ready ({read_stamp(root / '.venv')['stack']}).")
        return
    stacks_for(machine)
    clock = _Clock()
    with _alone(root):
        if is_ready(root, machine):
            return
        choice = choose_here(root, machine, environ)
        if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
            raise SetupError(
                "no C++ compiler.",
                "one, for the dependencies that come as source.",
                "sudo apt-get install g++ && make setup",
            )
        clock.lap("Python")
        uv = find_uv(root, [choice.interpreter.path, sys.executable], environ)
        clock.lap("uv")
        print(f"Setting up {choice.stack.name} on {choice.interpreter} in .venv", flush=True)
        _make(root, machine, choice, uv, environ, clock)
    print(f"Set up in {clock}")


def _make(
    root: Path, machine: Machine, choice: Choice, uv: str, environ: Mapping[str, str], clock: _Clock
) -> None:
    venv = root / ".venv"
    stamp = stamp_for(root, choice.stack.name, choice.interpreter.path, machine)
    before = read_stamp(venv)
    (venv / STAMP).unlink(missing_ok=True)
    python = str(venv / "bin" / "python")
    kept = all(before.get(key) == stamp[key] for key in ("stack", "python", "root")) and Path(python).exists()
    if not kept:
        _empty(venv)
        _uv(uv, root, environ, "venv", "--no-project", "--python", choice.interpreter.path, str(venv))
    lock = str(lock_file(root, choice.stack.name))
    # What comes as source is built with the lock's own setuptools, not with whatever is newest that day.
    _uv(
        uv,
        root,
        environ,
        "pip",
        "sync",
        "--python",
        python,
        "--require-hashes",
        "--build-constraints",
        lock,
        lock,
    )
    clock.lap("packages")
    _uv(
        uv,
        root,
        environ,
        "pip",
        "install",
        "--python",
        python,
        "--no-deps",
        "--no-build-isolation",
        "--editable",
        ".",
    )
    clock.lap("project")
    write_stamp(venv, stamp)


def _empty(folder: Path) -> None:
    """Empties a folder but keeps it: it may be a link to a larger disk."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _uv(uv: str, root: Path, environ: Mapping[str, str], *arguments: str) -> None:
    # On a terminal uv draws its progress; elsewhere it would list each of the packages.
    quiet = () if sys.stderr.isatty() else ("--quiet",)
    ended = subprocess.run([uv, *quiet, *arguments], cwd=root, env=environ, stdin=subprocess.DEVNULL)
    if ended.returncode:
        raise InstallError(
            f"`uv {' '.join(arguments[:2])}` ended with exit code {ended.returncode}; it says why above.",
            "access to the package index, and 6 GB free on the disks of .venv and of uv's cache.",
            "make setup    (again: what was downloaded is kept)",
        )


def lock(root: Path, environ: Mapping[str, str]) -> None:
    """Resolves the requirements of both stacks anew, keeping pins that still hold.

    Raises:
        InstallError: A set of requirements cannot be resolved.
    """
    uv = find_uv(root, [sys.executable], environ, pinned_only=True)
    project = ("setup.py", "requirements/tools.in")
    manylinux = ("--python-version", "3.10", "--python-platform", "x86_64-manylinux2014")
    for name, sources, target in (
        ("tfx-1.16", project, manylinux),
        # One file for Python 3.11 to 3.13, with markers where they differ.
        ("tfx-1.21", project, ("--python-version", "3.11", "--universal")),
        ("uv", (), ("--python-version", "3.8", "--universal")),
    ):
        print(f"Resolving requirements/{name}.txt", flush=True)
        options = (
            "--generate-hashes",
            "--no-emit-index-url",
            "--custom-compile-command",
            "make lock",
            *target,
        )
        output = ("--output-file", f"requirements/{name}.txt")
        _uv(
            uv,
            root,
            environ,
            "pip",
            "compile",
            "--quiet",
            *options,
            *output,
            *sources,
            f"requirements/{name}.in",
        )


def main(arguments: list[str]) -> int:
    """Sets up, or with the word `lock` regenerates the lock files; returns the exit code."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    try:
        (lock if arguments == ["lock"] else set_up)(ROOT, environ)
    except SetupError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
