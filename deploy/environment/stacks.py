"""The TFX stacks that this machine can run; this module runs under any Python from 3.8 on."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass

WSL = "wsl --install -d Ubuntu-24.04    (and continue in there)"
CONTAINER = (
    'docker run --rm -it --platform linux/amd64 -v "$PWD":/project -w /project python:3.13-trixie make run'
)


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
        pythons = " or ".join(map(format_version, self.pythons))
        return f"Python {pythons} for {self.name.replace('tfx-', 'TFX ')}"


# The preferred one first. The ml-metadata and TFDV wheels of TFX 1.21 ask for glibc 2.39; in the other lock
# file Pillow's and h5py's ask for 2.28.
STACKS = (Stack("tfx-1.21", ((3, 13), (3, 12), (3, 11)), (2, 39)), Stack("tfx-1.16", ((3, 10),), (2, 28)))


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
