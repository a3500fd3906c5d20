"""`python3 -m deploy.environment`: brings `.venv` to what the lock file says, if it is not there yet."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.environment import stamp
from deploy.environment.pythons import ask, find_pythons
from deploy.environment.stacks import (
    Choice,
    Machine,
    SetupError,
    choose,
    dotted,
    no_python,
    stacks_for,
)
from deploy.environment.uv import find_uv, provide_python, run_uv

ROOT = Path(__file__).resolve().parents[2]


def this_machine() -> Machine:
    """Asks the kernel and the C library what this machine is."""
    glibc = None
    with contextlib.suppress(AttributeError, OSError, ValueError):
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        if name == "glibc":
            major, minor = version.split(".")[:2]
            glibc = int(major), int(minor)
    return Machine(platform.system(), platform.machine(), glibc)


def choose_here(root: Path, machine: Machine, environ: Mapping[str, str]) -> Choice:
    """The stack and the Python for this machine; where none is there, uv is asked for one.

    Raises:
        SetupError: No stack fits, or no Python does and none could be downloaded, or nothing compiles C++.
    """
    stacks = stacks_for(machine)
    pythons = find_pythons(environ)
    choice = choose(stacks, pythons)
    if not choice:
        uv = find_uv(root, [python.path for python in pythons], environ.get("PATH", ""))
        reasons = []
        for stack in stacks:
            print(f"No fitting Python here; asking uv for Python {dotted(stack.pythons[0])}.", flush=True)
            path, reason = provide_python(uv, stack.pythons[0])
            reasons.append(reason)
            provided = ask(Path(path)) if path else None
            choice = choose([stack], [provided] if provided else [])
            if choice:
                break
        else:
            raise no_python(machine, stacks, pythons, uv, reasons[0])
    if not any(shutil.which(name, path=environ.get("PATH")) for name in ("c++", "g++", "clang++")):
        raise SetupError(
            "no C++ compiler.",
            "one, for a dependency that comes as source.",
            "sudo apt-get install g++ && make setup",
        )
    return choice


def make(root: Path, wanted: stamp.Stamp, uv: str) -> Iterator[str]:
    """Makes the environment that a stamp describes, and yields the name of each phase when it is done.

    Raises:
        InstallError: uv failed; it has said why.
    """
    venv = root / ".venv"
    before = stamp.read(venv)
    stamp.remove(venv)
    # A finished environment is brought up to date in place; one that was interrupted may hold anything.
    if not before or not before.same_interpreter(wanted) or not (venv / "bin" / "python").exists():
        _empty(venv)
        run_uv(uv, root, "venv --no-project --python", wanted.python, venv)
    into = ("--python", venv / "bin" / "python")
    lock = stamp.lock_file(root, wanted.stack)
    # What comes as source is built with the lock's own setuptools, not with whatever is newest that day.
    run_uv(uv, root, "pip sync --require-hashes", *into, "--build-constraint", lock, lock)
    yield "packages"
    run_uv(uv, root, "pip install --no-deps --no-build-isolation", *into, "--editable", ".")
    yield "project"
    stamp.write(venv, wanted)


def _empty(folder: Path) -> None:
    """Empties a folder but keeps it: it may be a link to a larger disk."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Holds the lock of the set-up; the kernel lets it go when this process and its uv have ended."""
    import fcntl  # not on Windows, where a message says that no stack fits

    with (root / ".venv.lock").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up is at work in this checkout; waiting for it.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def set_up(root: Path, environ: Mapping[str, str]) -> None:
    """Brings `root/.venv` to what the lock file and setup.py say, and prints where the time went.

    Raises:
        SetupError: No stack fits this machine, or installing it failed.
    """
    machine = this_machine()
    stacks_for(machine)
    laps = [("", time.monotonic())]
    if not stamp.is_current(root, machine):
        with _alone(root):
            if not stamp.is_current(root, machine):
                choice = choose_here(root, machine, environ)
                laps.append(("Python", time.monotonic()))
                uv = find_uv(root, [choice.interpreter.path, sys.executable], environ.get("PATH", ""))
                laps.append(("uv", time.monotonic()))
                print(f"Setting up {choice.stack.name} on {choice.interpreter} in .venv", flush=True)
                wanted = stamp.expected(root, choice.stack.name, choice.interpreter.path, machine)
                laps.extend((phase, time.monotonic()) for phase in make(root, wanted, uv))
    if len(laps) == 1:
        print(".venv is ready.")
        return
    phases = [f"{name} {end - start:.1f} s" for (_, start), (name, end) in zip(laps, laps[1:])]
    print(f"Set up in {laps[-1][1] - laps[0][1]:.1f} s: {', '.join(phases)}")


def main() -> int:
    """Sets up this checkout and returns the exit code: 2 where no stack fits, 1 where installing failed."""
    try:
        set_up(ROOT, os.environ)
    except SetupError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
