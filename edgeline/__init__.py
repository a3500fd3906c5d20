"""Edgeline from Python: `open` reads runs and releases, `pipeline` builds the DAG for TFX's runners."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

# They are imported when they are used; `pipeline` belongs to the project around this package.
_FUNCTIONS = {"open": "edgeline.reading", "pipeline": "runners.local.dag"}


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS, "__version__"})


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("edgeline")
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _FUNCTIONS[name]
    if name == "pipeline" and not import_module("edgeline.project").has_project():
        module = "edgeline.project"
    return getattr(import_module(module), name)
