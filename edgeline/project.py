"""The project around this package, which a machine may have without it."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from edgeline.errors import UsageError

ROOT = Path(__file__).parents[1]

# The program of a command, which begins a text or its code, or follows a colon; a path may have the name too.
_PROGRAM = re.compile(r"(^|`|: )edgeline (?=--help|[a-z])")


def spell_commands(text: str) -> str:
    """Returns a text for a page or a mail, which is read elsewhere, with commands as the docs spell them."""
    return _PROGRAM.sub(r"\1.venv/bin/edgeline ", text)


def has_project() -> bool:
    """Returns whether the project is around this package."""
    return (ROOT / "runners" / "cli" / "main.py").is_file()


def make_missing_error(what: str) -> UsageError:
    """Returns the error for `what`, which needs the whole project, where only the package is installed."""
    return UsageError(
        f"{what} needs the project, and only its package is installed here.",
        "It needs TFX, or the project's own files.",
        "Run it in a clone of the project, after `make setup`.",
    )


def import_from_project(module: str, what: str) -> Any:
    """Imports a module of the project for `what`. Raises UsageError if there is only the package."""
    if not has_project():
        raise make_missing_error(what)
    return import_module(module)


def pipeline(*_: Any, **__: Any) -> None:
    """Stands in for `edgeline.pipeline` without the project. Raises UsageError."""
    raise make_missing_error("edgeline.pipeline")
