"""Where things lie in a push folder, and which names are allowed there.

    <push>/serving/models.config            pins, for TF Serving, of every model in the folder
    <push>/serving/<model>/<version>/       SavedModel
    <push>/edge/<model>/<version>/          manifest.json, its manifest.sig, and the bundle of a phone
    <push>/edge/<model>/current.json        what is in production
    <push>/edge/<model>/history.jsonl       who changed that, when and why
    <push>/.scratch/                        what a writer is working on
    <push>/.lock                            held by the one writer

The folder may hold any number of models. It may be a place in an object store: readers take it as it lies
there, a writer works on a local copy (`mirror.py`).
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from errors import UsageError
from locations import names_in

if TYPE_CHECKING:
    from upath import UPath

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
LABELS, PREPROCESSING = "labels.txt", "preprocessing.json"

Place = TypeVar("Place", Path, "UPath", "Path | UPath")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PINS, POINTER, HISTORY = "models.config", "current.json", "history.jsonl"
_KNOWN_BY = {POINTER, HISTORY}
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_PUSH = re.compile(rf"push@({_NAME.pattern})@({_VERSION.pattern})")


class PushFolder(Generic[Place]):
    """The paths of one push folder."""

    def __init__(self, root: Place) -> None:
        self.root: Place = root
        self.lock: Place = root / ".lock"  # that a writer locks
        self.scratch: Place = root / ".scratch"  # unfinished work, on the file system of what it will become
        self.pins: Place = root / "serving" / PINS  # TF Serving's model configuration

    def serving(self, model: str) -> Place:
        """The folder that TF Serving calls the base path of `model`."""
        return self.root / "serving" / model

    def edge(self, model: str) -> Place:
        """The folder with the bundles of `model`."""
        return self.root / "edge" / model

    def parts(self, model: str, version: int) -> dict[str, Place]:
        """The two folders of one release, by the name of its part."""
        return {"serving": self.serving(model) / str(version), "edge": self.edge(model) / str(version)}

    def pointer(self, model: str) -> Place:
        """The file that names the release in production."""
        return self.edge(model) / POINTER

    def history(self, model: str) -> Place:
        """The audit log."""
        return self.edge(model) / HISTORY

    def relative(self, path: Place) -> str:
        """`path` as POSIX, relative to the push folder."""
        return path.as_posix().removeprefix(f"{self.root.as_posix()}/")

    def push_scratch(self, model: str, version: int) -> Place:
        """The scratch folder of a push; while it exists, that version may be half there."""
        return self.scratch / f"push@{model}@{version}"

    def unfinished_pushes(self) -> set[tuple[str, int]]:
        """Model and version of each push whose scratch folder is still there."""
        found = (_PUSH.fullmatch(name) for name in names_in(self.scratch))
        return {(match[1], int(match[2])) for match in found if match}

    def version_folders(self, model: str) -> set[int]:
        """All versions with a folder under serving/ or edge/, released or not."""
        names = names_in(self.serving(model)) + names_in(self.edge(model))
        return {int(name) for name in names if _VERSION.fullmatch(name)}

    def models(self) -> tuple[str, ...]:
        """The models that were ever in production here, sorted."""
        names = [name for name in names_in(self.root / "edge") if _NAME.fullmatch(name)]
        known = (name for name in names if _KNOWN_BY.intersection(names_in(self.edge(name))))
        return tuple(sorted(known))


def checked_name(name: str, what: str) -> str:
    """`name`, if it can be one folder or file of a push folder.

    Raises:
        UsageError: It has other characters than letters, digits, `.`, `_` and `-`, or is taken.
    """
    if not _NAME.fullmatch(name) or name == PINS:
        raise UsageError(
            f"The {what} is {name!r}.",
            "It becomes a name in the push folder: letters, digits, '.', '_' and '-', a letter or digit"
            f" first, at most 100 of them, and not {PINS}.",
            f"Choose another {what}.",
        )
    return name
