"""Which of the two TFX stacks fits a machine, decided from facts alone; runs under any Python from 3.8 on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NO_HEADERS = "without its C headers"
CONTAINER = (
    'docker run --rm -it --platform linux/amd64 -v "$PWD":/project -w /project python:3.13-trixie make run'
)


@dataclass(frozen=True)
class Stack:
    """A TFX release with the Pythons and the C library that its wheels are made for.

    Args:
        name: Names the lock file, `requirements/NAME.txt`.
        pythons: Minor versions, the one to prefer first.
        glibc: The oldest C library that all wheels of the lock file accept.
    """

    name: str
    pythons: tuple[tuple[int, int], ...]
    glibc: tuple[int, int]


# The one to prefer first. The ml-metadata and TFDV wheels of TFX 1.21 ask for glibc 2.39; in the other lock
# file Pillow's and h5py's ask for 2.28.
STACKS = (
    Stack("tfx-1.21", ((3, 13), (3, 12), (3, 11)), (2, 39)),
    Stack("tfx-1.16", ((3, 10),), (2, 28)),
)


@dataclass(frozen=True)
class Machine:
    """What a machine is: `platform.system()`, `platform.machine()`, and the version of its glibc, if any."""

    system: str
    architecture: str
    glibc: tuple[int, int] | None

    def __str__(self) -> str:
        name = {"Darwin": "macOS"}.get(self.system, self.system)
        if self.system != "Linux":
            return f"{name} on {self.architecture}"
        library = f"glibc {dotted(self.glibc)}" if self.glibc else "a C library that is not glibc"
        return f"{name} on {self.architecture} with {library}"


@dataclass(frozen=True)
class Interpreter:
    """A Python that was found and asked; `defect`, unless empty, says why it cannot carry a stack."""

    path: str
    version: tuple[int, int, int]
    defect: str = ""

    def __str__(self) -> str:
        defect = f", {self.defect}" if self.defect else ""
        return f"Python {dotted(self.version)} ({self.path}{defect})"


@dataclass(frozen=True)
class Choice:
    """The stack to install, and the Python to make its environment with."""

    stack: Stack
    interpreter: Interpreter


class SetupError(Exception):
    """The environment cannot be made: what was found, what is needed, and the one command that gets it.

    It is not in the project's tree of errors, which this Python may be too old to import.
    """

    exit_code = 2

    def __init__(self, found: str, needed: str, do: str) -> None:
        super().__init__(f"Found:  {found}\nNeeded: {needed}\nDo:     {do}")


class InstallError(SetupError):
    """A stack fits, and installing it failed."""

    exit_code = 1


def dotted(version: Sequence[int]) -> str:
    """Writes a version as text: (3, 10) is 3.10."""
    return ".".join(map(str, version))


def stacks_for(machine: Machine) -> tuple[Stack, ...]:
    """The stacks whose wheels this machine can run, the one to prefer first.

    Raises:
        SetupError: There is none.
    """
    runs_wheels = machine.system == "Linux" and machine.architecture in ("x86_64", "AMD64") and machine.glibc
    stacks = tuple(
        stack for stack in STACKS if runs_wheels and machine.glibc and machine.glibc >= stack.glibc
    )
    if not stacks:
        oldest = dotted(min(stack.glibc for stack in STACKS))
        raise SetupError(
            f"{machine}.",
            f"Linux on x86_64 with glibc {oldest} or newer: TFX's native parts are published only for it.",
            "wsl --install -d Ubuntu-24.04    (and go on in there)"
            if machine.system == "Windows"
            else CONTAINER,
        )
    return stacks


def choose(stacks: Sequence[Stack], interpreters: Sequence[Interpreter]) -> Choice | None:
    """The best stack that one of the Pythons can carry; among equals the Python that was found first."""
    for stack in stacks:
        for minor in stack.pythons:
            for interpreter in interpreters:
                if interpreter.version[:2] == minor and not interpreter.defect:
                    return Choice(stack, interpreter)
    return None


def no_python(
    machine: Machine, stacks: Sequence[Stack], interpreters: Sequence[Interpreter], uv: str, reason: str
) -> SetupError:
    """The error to raise where no Python fits and uv could not provide one, for `reason`."""
    found = "; ".join(map(str, interpreters)) or "no Python"
    needed = ", or ".join(
        f"Python {' or '.join(map(dotted, stack.pythons))} for {stack.name.replace('tfx-', 'TFX ')}"
        for stack in stacks
    )
    minors = [minor for stack in stacks for minor in stack.pythons]
    if any(python.defect == NO_HEADERS and python.version[:2] in minors for python in interpreters):
        do = "sudo apt-get install python3-dev && make setup"
    else:
        do = f"{uv} python install {dotted(minors[0])} && make setup    (where the download is allowed)"
    newest = STACKS[0]
    if newest not in stacks:
        needed += (
            f" (or a system with glibc {dotted(newest.glibc)} or newer and Python"
            f" {' or '.join(map(dotted, newest.pythons))}, as Debian 13 and Ubuntu 24.04 are)"
        )
    return SetupError(f"{machine}, and {found}.", f"{needed}. uv could not download one: {reason}", do)
