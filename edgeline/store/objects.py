"""Writes single objects of a store, each whole or not at all; on demand only if nobody else wrote there.

S3 and MinIO check such a condition themselves (If-None-Match and If-Match of a PUT). For other file
systems of fsspec it is checked before the write. `edgeline/release/lease.py` detects stores that ignore the
condition.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edgeline.errors import EdgelineError
from edgeline.journal import parse_time
from edgeline.store.locations import Location, get_filesystem, read_bytes, read_version, write_atomically
from edgeline.store.store_errors import collect_signs, explain_errors, ignore_absent, is_absent

if TYPE_CHECKING:
    from upath import UPath

# Bytes of one request for an object whose size is known: most files of a release take one.
_PIECE = 16 * 2**20
# Exceptions, and codes of S3, for a condition that does not hold and for another write at the same moment.
_CONFLICTS = {
    *("FileExistsError", "PreconditionFailed", "ConditionalRequestConflict", "OperationAborted"),
    *("412", "409"),
}


def put(path: "UPath", content: bytes) -> None:
    """Writes an object, or replaces the one that exists."""
    with explain_errors(path):
        get_filesystem(path).pipe_file(path.path, content)


def write_bytes(path: Location, content: bytes) -> None:
    """Writes a file whole or not at all, and makes its folder. Raises EdgelineError or OSError."""
    if not isinstance(path, Path):
        put(path, content)  # A store shows an object only when it is complete.
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as file:
        file.write(content)


def create_file(path: "UPath", source: Path) -> bool:
    """Writes a new object from a file of any size; returns whether the object now has this content."""
    with explain_errors(path):
        try:
            get_filesystem(path).put_file(str(source), path.path, mode="create")
        except OSError as error:
            if collect_signs(error) & _CONFLICTS:  # perhaps with this request's own first attempt
                return measure_file(path) == measure_file(source)
            raise
    return True


def remove(path: "UPath") -> None:
    """Removes an object if it exists."""
    with ignore_absent(path):
        get_filesystem(path).rm_file(path.path)


def create(path: "UPath", content: bytes) -> bool:
    """Writes a new object; returns whether the object now has this content."""
    return _put_if(path, content, mode="create")


def replace(path: "UPath", content: bytes, version: str) -> bool:
    """Replaces an object if it still has `version`; returns whether the object now has this content.

    Args:
        path: The object.
        content: All of its new bytes.
        version: As `version_of` returned it before; empty where there was no object.
    """
    return _put_if(path, content, IfMatch=f'"{version}"') if version else create(path, content)


def version_of(path: "UPath") -> str:
    """Returns a text that changes with an object's content (its ETag in S3); empty for no object."""
    version = ""
    with ignore_absent(path):
        version = read_version(get_filesystem(path).info(path.path))
    return version


def date_of(path: "UPath") -> datetime | None:
    """Returns the time at which an object was written, by the store's own clock; None if it says none."""
    with ignore_absent(path):
        date = get_filesystem(path).info(path.path).get("LastModified")
        if isinstance(date, str):  # times are not parsed in listings, see `get_filesystem`
            return parsedate_to_datetime(date) if "," in date else parse_time(date)
        if isinstance(date, datetime):
            return date
    return None


def measure_file(path: Location, listed: int | None = None) -> tuple[int, str]:
    """Returns the size in bytes and the hexadecimal SHA-256 of a file, which is read in pieces.

    With the size that a listing has, a store is not asked for it.
    """
    size = 0
    digest = hashlib.sha256()
    with explain_errors(path):
        for piece in _read_pieces(path, listed):
            size += len(piece)
            digest.update(piece)
    return size, digest.hexdigest()


def _read_pieces(path: Location, listed: int | None) -> Iterator[bytes]:
    if listed is None or isinstance(path, Path):
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece
    else:
        store = get_filesystem(path)
        for start in range(0, listed, _PIECE):
            yield store.cat_file(path.path, start=start, end=min(start + _PIECE, listed))


def _put_if(path: "UPath", content: bytes, **condition: str) -> bool:
    try:
        with explain_errors(path):
            try:
                get_filesystem(path).pipe_file(path.path, content, **condition)
            except OSError as error:
                if is_absent(error):  # no object, hence none of that version
                    return False
                if collect_signs(error) & _CONFLICTS:
                    return _has_content(path, content)
                raise
    except EdgelineError:
        # The object may be written even though the answer was lost.
        if _has_content(path, content):
            return True
        raise
    return True


def _has_content(path: "UPath", content: bytes) -> bool:
    """Tells whether an object has this content: a repeated request finds what its first attempt wrote."""
    try:
        return read_bytes(path) == content
    except FileNotFoundError:
        return False
