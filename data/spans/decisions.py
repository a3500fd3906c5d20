"""Files of decisions that people took about data: a JSON object a line, only ever appended to."""

import fcntl
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from edgeline.errors import DataRefused, EdgelineError
from edgeline.journal import append_line
from edgeline.records.json_file import convert
from edgeline.store import objects
from edgeline.store.locations import Location, read_bytes

T = TypeVar("T")


def read_entries(
    place: Location, kind: type[T], what: str, otherwise: str, spans: tuple[str, ...] = ()
) -> list[T]:
    """Reads all decisions of a file, dataclasses of a `kind`, oldest first; none if there is no file.

    Args:
        place: The file, on a disk or in a store.
        kind: The dataclass that each line is read as.
        what: The name of such a line in the error, with its article.
        otherwise: A sentence in the error: what would happen without these decisions.
        spans: The names of the spans that the error blames.

    Raises:
        DataRefused: The file cannot be read, or a line is not a `kind`.
    """
    try:
        content = read_bytes(place)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataRefused(
            f"{place} cannot be read ({error.strerror or error}).", otherwise, "Fix the file.", spans
        ) from None
    entries: list[T] = []
    for number, line in enumerate(_end_line(content).split(b"\n")[:-1], start=1):
        try:
            entries.append(convert(json.loads(line), kind))
        except (ValueError, RecursionError):
            raise DataRefused(
                f"{place} line {number} is not {what}.", otherwise, "Fix that line, or remove it.", spans
            ) from None
    return entries


def _end_line(content: bytes) -> bytes:
    """Returns the whole lines: a killed writer leaves half of one, an editor the last one without its end."""
    last = content.rfind(b"\n") + 1
    try:
        json.loads(content[last:])
    except ValueError:
        return content[:last]
    return content + b"\n"


def append_entries(place: Location, entries: Sequence[Any], unchanged: str) -> None:
    """Adds decisions, dataclasses, after the last whole line, and flushes them to the disk.

    Args:
        place: The file, on a disk or in a store; it is made if it is missing.
        entries: Each becomes a line; all of them are written at once.
        unchanged: A sentence in the error: what is as it was.

    Raises:
        EdgelineError: They cannot be written.
    """
    lines = b"".join(json.dumps(asdict(entry)).encode() + b"\n" for entry in entries)
    try:
        _append(place, lines)
    except OSError as error:
        raise EdgelineError(
            f"{place} cannot be written ({error.strerror or error}).",
            unchanged,
            "Grant this user write permission there, and run the same command again.",
        ) from None


def _append(path: Location, lines: bytes) -> None:
    if not isinstance(path, Path):
        # An object store has no locks, and replaces an object only if its version is the given one: the
        # slower of two writers reads the object again.
        is_written = False
        while not is_written:
            if version := objects.version_of(path):
                before = read_bytes(path)
                is_written = objects.replace(path, _end_line(before) + lines, version)
            else:
                is_written = objects.create(path, lines)
        return
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        before = file.read()
        if len(_end_line(before)) > len(before):
            file.write(b"\n")
        append_line(file, lines)
