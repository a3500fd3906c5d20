"""The layout of a push folder, the names allowed in it, and its JSON documents.

    <push>/serving/models.config            pins, for TF Serving, of every model in the folder
    <push>/serving/<model>/<version>/       SavedModel
    <push>/edge/<model>/<version>/          manifest.json, signatures, provenance, and the bundle of a phone
    <push>/edge/<model>/current.json        names the release in production
    <push>/edge/<model>/history.jsonl       who changed that, when and why
    <push>/.scratch/                        unfinished work of a writer
    <push>/.lock                            held by the one writer

The folder may hold any number of models. It may be a place in an object store: readers read it in place, a
writer works on a local copy (`mirror.py`).
"""

import errno
import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from msgspec import Meta, to_builtins

from edgeline.errors import EdgelineError, UsageError
from edgeline.records.json_file import convert
from edgeline.store.locations import Location, check_size, list_names, locate, open_without_links, read_bytes
from edgeline.store.store_errors import is_absent

if TYPE_CHECKING:
    from upath import UPath

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
LABELS, PREPROCESSING = "labels.txt", "preprocessing.json"
# Signatures that `model_signing` verifies: of all other files of the bundle, and of the SavedModel.
MODEL_SIGNATURE, SERVING_SIGNATURE, MODEL_KEY = "model.sig", "serving.sig", "model.pub.pem"
PROVENANCE, BOM, CARD = "provenance.json", "mlbom.cdx.json", "model_card.html"

Place = TypeVar("Place", Path, "UPath", "Path | UPath")


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PINS, POINTER, HISTORY = "models.config", "current.json", "history.jsonl"
BENCHMARKS = "benchmarks"
# All that lies directly in a push folder; `runs` has the records of runs on a cluster.
TOP_NAMES = {"serving", "edge", "runs", ".scratch", ".lock"}
# The largest current.json and manifest.json that a reader takes.
MOST_DOCUMENT_BYTES = 4_000_000
_DOCUMENTS = {POINTER, HISTORY}
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_PUSH = re.compile(rf"push@({_NAME.pattern})@({_VERSION.pattern})")


class PushFolder(Generic[Place]):
    """The paths of one push folder.

    That of a writer, who holds its lock, `keeps` each document that it has read, until it is to be changed;
    so does that of a reader who looks at one moment.
    """

    def __init__(self, root: Place, keeps: bool = False) -> None:
        self.root: Place = root
        self.documents: dict[Location, bytes | None] | None = {} if keeps else None  # by path, as read
        self.lock: Place = root / ".lock"  # held by a writer
        self.scratch: Place = root / ".scratch"  # unfinished work, on the same file system as its target
        self.pins: Place = root / "serving" / PINS  # TF Serving's model configuration

    def forget(self, *paths: Place) -> None:
        """Forgets documents that the writer is about to change; a change that fails may be half done."""
        for path in paths:
            if self.documents is not None:
                self.documents.pop(path, None)

    def serving(self, model: str) -> Place:
        """Returns the folder that TF Serving calls the base path of `model`."""
        return self.root / "serving" / model

    def edge(self, model: str) -> Place:
        """Returns the folder with the bundles of `model`."""
        return self.root / "edge" / model

    def parts(self, model: str, version: int) -> dict[str, Place]:
        """Returns the two folders of one release, by the names `serving` and `edge`."""
        return {"serving": self.serving(model) / str(version), "edge": self.edge(model) / str(version)}

    def pointer(self, model: str) -> Place:
        """Returns the path of the file that names the release in production."""
        return self.edge(model) / POINTER

    def history(self, model: str) -> Place:
        """Returns the path of the audit log."""
        return self.edge(model) / HISTORY

    def benchmarks(self, model: str) -> Place:
        """Returns the folder of what `edgeline edge bench` measured, a file for each time."""
        return self.edge(model) / BENCHMARKS

    def relative(self, path: Place) -> str:
        """Returns `path` as POSIX, relative to the push folder."""
        return path.as_posix().removeprefix(f"{self.root.as_posix()}/")

    def push_scratch(self, model: str, version: int) -> Place:
        """Returns the scratch folder of a push; while it exists, that version may be incomplete."""
        return self.scratch / f"push@{model}@{version}"

    def unfinished_pushes(self) -> set[tuple[str, int]]:
        """Returns model and version of each push whose scratch folder still exists."""
        matches = (_PUSH.fullmatch(name) for name in list_names(self.scratch))
        return {(match[1], int(match[2])) for match in matches if match}

    def version_folders(self, model: str) -> set[int]:
        """Returns all versions with a folder under serving/ or edge/, released or not."""
        names = list_names(self.serving(model)) + list_names(self.edge(model))
        return {int(name) for name in names if _VERSION.fullmatch(name)}

    def models(self) -> tuple[str, ...]:
        """Returns the models that were ever in production here, sorted."""
        names = [name for name in list_names(self.root / "edge") if _NAME.fullmatch(name)]
        models = (name for name in names if _DOCUMENTS.intersection(list_names(self.edge(name))))
        return tuple(sorted(models))


# The root of a push folder as callers name it; a text is a folder or a URL.
Root = str | Location
# A push folder to read, by its root or as a writer holds it.
Store = Root | PushFolder


def open_folder(root: Store, keeps: bool = False) -> PushFolder:
    """Returns the push folder at a root; if it `keeps` documents, as it is at one moment."""
    return root if isinstance(root, PushFolder) else PushFolder(locate(root), keeps)


def check_name(name: str, kind: str) -> str:
    """Returns `name` if it can be the name of a folder or file in a push folder.

    Raises UsageError if it has characters other than letters, digits, `.`, `_` and `-`, or is reserved.
    """
    if not _NAME.fullmatch(name) or name == PINS:
        raise UsageError(
            f"The {kind} {name!r} is not allowed.",
            "A name in the push folder has at most 100 letters, digits, '.', '_' and '-', begins with a"
            f" letter or digit, and is not {PINS}.",
            f"Choose another {kind}.",
        )
    return name


T = TypeVar("T")
Positive = Annotated[int, Meta(ge=1)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Damaged(EdgelineError):
    """A file of a push folder that is missing, cannot be read, or is not as this code wrote it."""

    @property
    def may_be_intact(self) -> bool:
        """Returns whether only its reading failed, as in a store that does not answer."""
        cause = self.__cause__
        is_wrong = isinstance(cause, OSError) and cause.errno in (errno.EFBIG, errno.ELOOP)
        return isinstance(cause, OSError) and not is_absent(cause) and not is_wrong


def damaged(where: str, found: str, expected: str) -> Damaged:
    """Returns the error of a document that is not as this code wrote it.

    Args:
        where: The document, mostly by its path in the push folder.
        found: Goes on after "found", without a full stop.
        expected: Goes on after "Expected", without a full stop.
    """
    return Damaged(
        f"{where}: found {found}.",
        f"Expected {expected}.",
        "Run `edgeline verify` for details; put an intact release in production with"
        " `edgeline promote V --reason R`.",
    )


def make_missing_pointer_error(folder: PushFolder, model: str) -> EdgelineError:
    """Returns the error for a model whose current.json is gone."""
    return damaged(folder.relative(folder.pointer(model)), "no file", "the pointer to production")


def find_link(folder: PushFolder, model: str) -> Path | None:
    """Returns the first place of a model in a folder on the disk that is a link; None if there is none.

    The root itself may be one. Whoever writes to the store could else lead a writer to any file of its user.
    """
    if not isinstance(folder.root, Path):
        return None
    places = [folder.lock, folder.scratch, folder.root / "serving", folder.root / "edge", folder.pins]
    for place in (*places, folder.serving(model), folder.edge(model)):
        if place.is_symlink():
            return place
    for top in (folder.serving(model), folder.edge(model)):
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(top) as entries:
            for entry in entries:
                if entry.is_symlink():
                    return top / entry.name
    return None


def refuse_links(folder: PushFolder) -> None:
    """Raises Damaged if a place in a folder on the disk, where a writer would write or remove, is a link."""
    for model in (*folder.models(), "models"):
        if link := find_link(folder, model):
            raise Damaged(
                f"{folder.relative(link)} is a link.",
                "A store has none: a writer would follow it to other files of its user. Nothing was changed.",
                "Look at where it leads, remove it, and restore what was there from a backup.",
            )


def read_document(folder: PushFolder, path: Location, most: int | None = None) -> bytes | None:
    """Reads a document of a push folder; returns None if there is none.

    Args:
        folder: If it keeps documents, one that it has read before is not read again.
        path: The path of the document, with the root of the folder.
        most: The most bytes that it may have; None for no bound.

    Raises:
        Damaged: It cannot be read, is larger, or is a link.
    """
    kept = folder.documents
    if kept is not None and path in kept:
        return kept[path]
    raw = None
    try:
        if isinstance(path, Path):
            with open(path, "rb", buffering=0, opener=open_without_links) as file:
                check_size(os.fstat(file.fileno()).st_size, most, path)
                raw = file.readall()
        else:
            raw = read_bytes(path, most)
    except FileNotFoundError:
        pass
    except OSError as error:
        is_link = error.errno == errno.ELOOP
        found = "a link" if is_link else f"a file that cannot be read ({error.strerror or error})"
        raise damaged(folder.relative(path), found, "a readable file") from error
    if kept is not None:
        kept[path] = raw
    return raw


def parse(raw: bytes, kind: type[T], where: str) -> T:
    """Parses the JSON object in `raw` as the type `kind`.

    Args:
        raw: JSON in UTF-8, from anybody.
        kind: A type of msgspec, with the bounds of its values.
        where: Names the file in errors.

    Raises:
        Damaged: It is not JSON, or not of that type.
    """
    try:
        document: T = convert(json.loads(raw), kind)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError, and errors of `kind` itself
        raise damaged(where, f"invalid content ({error})", "a JSON object as Edgeline writes it") from error
    return document


def render(document: object, title: str) -> bytes:
    """Renders a value of our types, or a mapping, as indented JSON with sorted keys; `title` is for errors.

    Raises EdgelineError if a value is not finite or not a JSON type (such as a NumPy number).
    """
    try:
        plain = to_builtins(document)
        return (json.dumps(plain, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise EdgelineError(
            f"{title} cannot be written as JSON: {error}.",
            "A reader of a release must be able to parse it, and JSON has no NaN and no NumPy types.",
            "Pass plain, finite Python numbers, strings, lists and mappings.",
        ) from error


def hash_bytes(raw: bytes) -> str:
    """Returns the sha256 of `raw`, hexadecimal."""
    return hashlib.sha256(raw).hexdigest()
