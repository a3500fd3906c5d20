"""The installed versions of the libraries that a model depends on."""

import platform
from importlib.metadata import version

_LIBRARIES = ("tensorflow", "keras", "tfx", "tensorflow-transform", "apache-beam", "numpy", "pillow")


def library_versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries, by name."""
    return {"python": platform.python_version(), **{library: version(library) for library in _LIBRARIES}}
