"""Writes single objects of a store: whole or not at all, and where asked, only if nobody else wrote there.

S3 and MinIO keep such a condition themselves (If-None-Match and If-Match of a PUT). Other file systems of
fsspec look first and write then; a store that ignores the condition is found out by `release/lease.py`.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from errors import EdgelineError
from locations import Location, filesystem, read_bytes, version_in
from store_errors import explained, if_there, is_absent, signs_of

if TYPE_CHECKING:
    from upath import UPath

# What is raised, or S3 answers, where a condition does not hold or somebody else is writing at this moment.
_OTHERWISE = {
    *("FileExistsError", "PreconditionFailed", "ConditionalRequestConflict", "OperationAborted"),
    *("412", "409"),
}


def put(path: "UPath", content: bytes) -> None:
    """Write an object, or replace the one that is there."""
    with explained(path):
        filesystem(path).pipe_file(path.path, content)


def create_file(path: "UPath", source: Path) -> bool:
    """Write an object from a file of any size where none is; returns whether this content is there now."""
    with explained(path):
        if path.protocol != "s3":
            put(path, source.read_bytes())
            return True
        try:
            filesystem(path).put_file(str(source), path.path, mode="create")
        except OSError as error:
            if signs_of(error) & _OTHERWISE:  # perhaps of this request's own first attempt
                return measure_file(path) == measure_file(source)
            raise
    return True


def remove(path: "UPath") -> None:
    """Remove an object; none there is fine."""
    with if_there(path):
        filesystem(path).rm_file(path.path)


def create(path: "UPath", content: bytes) -> bool:
    """Write an object where none is; returns whether this writer's is there now."""
    return _put_if(path, content, mode="create")


def replace(path: "UPath", content: bytes, version: str) -> bool:
    """Replace an object that still is of `version`; returns whether this writer's is there now."""
    if path.protocol == "s3" and version:
        return _put_if(path, content, IfMatch=f'"{version}"')
    if version_of(path) != version:
        return False
    put(path, content)
    return True


def version_of(path: "UPath") -> str:
    """What changes with an object's content, and is empty where there is none."""
    version = ""
    with if_there(path):
        version = version_in(filesystem(path).info(path.path))
    return version


def measure_file(path: Location) -> tuple[int, str]:
    """Size in bytes and hexadecimal sha256 of a file's content, read in pieces."""
    size, digest = 0, hashlib.sha256()
    with explained(path), path.open("rb") as file:
        while piece := file.read(1 << 20):
            size += len(piece)
            digest.update(piece)
    return size, digest.hexdigest()


def _put_if(path: "UPath", content: bytes, **condition: str) -> bool:
    try:
        with explained(path):
            try:
                filesystem(path).pipe_file(path.path, content, **condition)
            except OSError as error:
                if is_absent(error):  # nothing is there that could be of that version
                    return False
                if signs_of(error) & _OTHERWISE:
                    return _is(path, content)
                raise
    except EdgelineError:
        # The answer was lost, and perhaps not the object.
        if _is(path, content):
            return True
        raise
    return True


def _is(path: "UPath", content: bytes) -> bool:
    """Whether the object is what was to be written: a repeated request finds what its first attempt wrote."""
    try:
        return read_bytes(path) == content
    except FileNotFoundError:
        return False
