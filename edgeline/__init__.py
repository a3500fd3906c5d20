"""Edgeline from Python."""

from importlib import import_module
from typing import Any

# Functions of the project around this package, by the module that has them.
_OF_THE_PROJECT = {"pipeline": "runners.local.dag"}


def __getattr__(name: str) -> Any:
    if name not in _OF_THE_PROJECT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_OF_THE_PROJECT[name]), name)
