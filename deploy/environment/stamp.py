"""What an environment was made from, written into it last: by it the next set-up knows what is left to do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.environment.stacks import Machine

FILE_NAME = "edgeline.json"


@dataclass(frozen=True)
class Stamp:
    """What an environment is made from; one whose stamp differs from what is there now is stale.

    Args:
        stack: Names the lock file.
        python: The Python that it was made with.
        root: The checkout, whose path stands in the environment's scripts.
        machine: What the stack was chosen by.
        lock_sha256: Of the lock file.
        setup_sha256: Of setup.py.
        packages: What was installed, by the names of the folders of its metadata.
    """

    stack: str
    python: str
    root: str
    machine: str
    lock_sha256: str
    setup_sha256: str
    packages: tuple[str, ...] = ()

    def same_interpreter(self, other: Stamp) -> bool:
        """Whether only what is installed differs."""
        return (self.stack, self.python, self.root) == (other.stack, other.python, other.root)


def lock_file(root: Path, stack: str) -> Path:
    """Where the pins of a stack stand."""
    return root / "requirements" / f"{stack}.txt"


def expected(root: Path, stack: str, python: str, machine: Machine, packages: tuple[str, ...] = ()) -> Stamp:
    """The stamp of an environment made now.

    Raises:
        OSError: There is no such lock file.
    """
    return Stamp(
        stack,
        python,
        str(root),
        str(machine),
        hashlib.sha256(lock_file(root, stack).read_bytes()).hexdigest(),
        hashlib.sha256((root / "setup.py").read_bytes()).hexdigest(),
        packages,
    )


def read(venv: Path) -> Stamp | None:
    """The stamp of an environment; None where it was never finished, or not by this set-up."""
    try:
        fields = json.loads((venv / FILE_NAME).read_text())
        return Stamp(**{**fields, "packages": tuple(fields["packages"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(venv: Path, stamp: Stamp) -> None:
    """Marks an environment as finished, all at once, with what is installed in it."""
    unfinished = venv / f"{FILE_NAME}.new"
    unfinished.write_text(json.dumps({**asdict(stamp), "packages": _packages(venv)}, indent=1))
    unfinished.replace(venv / FILE_NAME)


def remove(venv: Path) -> None:
    """Marks an environment as unfinished."""
    (venv / FILE_NAME).unlink(missing_ok=True)


def is_current(root: Path, machine: Machine) -> bool:
    """Whether `root/.venv` is whole, and made from what is there now."""
    venv = root / ".venv"
    stamp = read(venv)
    if not stamp or not (venv / "bin" / "python").exists():
        return False
    try:
        now = expected(root, stamp.stack, stamp.python, machine, stamp.packages)
    except OSError:
        return False
    return stamp == now and set(stamp.packages) <= set(_packages(venv))


def _packages(venv: Path) -> list[str]:
    return sorted(path.name for path in venv.glob("lib/python3.*/site-packages/*.dist-info"))
