"""The libraries that a model depends on, with the versions that are installed."""

import platform
from importlib.metadata import version

_LIBRARIES = ("tensorflow", "keras", "tfx", "tensorflow-transform", "apache-beam", "numpy", "pillow")


def library_versions() -> dict[str, str]:
    """Python's version, and those of the libraries, by name."""
    return {"python": platform.python_version(), **{library: version(library) for library in _LIBRARIES}}
