"""The installed versions of the libraries that a model depends on."""

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = ("tensorflow", "keras", "tfx", "tensorflow-transform", "apache-beam", "numpy", "pillow")


def library_versions() -> dict[str, str]:
    """Returns the versions of Python and of those libraries that are installed, by name."""
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[library] = version(library)
    return versions
