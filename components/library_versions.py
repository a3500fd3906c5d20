"""The libraries that a model depends on, with the versions that are installed."""

import platform
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = ("tensorflow", "keras", "tfx", "tensorflow-transform", "apache-beam", "numpy", "pillow")


def library_versions() -> dict[str, str]:
    """Python's version, and those of the libraries that are installed, by name."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
