"""The JSON documents of a push folder. Every value is checked; errors name the file, found and expected."""

import hashlib
import json
from datetime import datetime, timezone
from typing import Annotated, TypeVar

from msgspec import Meta, to_builtins

from edgeline.errors import EdgelineError
from edgeline.journal import TIME_FORMAT
from edgeline.records.json_file import convert
from edgeline.release.layout import PushFolder
from edgeline.store.locations import Location, read_bytes

T = TypeVar("T")
Positive = Annotated[int, Meta(ge=1)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


def damaged(where: str, found: str, expected: str) -> EdgelineError:
    """Returns the error of a document that is not as this code wrote it."""
    return EdgelineError(
        f"{where}: found {found}.",
        f"Expected {expected}.",
        "Run `edgeline verify` for details; put an intact release in production with"
        " `edgeline promote V --reason R`.",
    )


def read_document(folder: PushFolder, path: Location) -> bytes | None:
    """Reads a document of a push folder; None if it does not exist.

    Raises:
        EdgelineError: The document cannot be read.
    """
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        found = f"a file that cannot be read ({error.strerror or error})"
        raise damaged(folder.relative(path), found, "a readable file") from error


def parse(raw: bytes, kind: type[T], where: str) -> T:
    """Parses the JSON object in `raw` as the type `kind`; `where` names its file in errors."""
    try:
        document: T = convert(json.loads(raw), kind)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError, and errors of `kind` itself
        raise damaged(where, f"invalid content ({error})", "a JSON object as Edgeline writes it") from error
    return document


def render(document: object, title: str) -> bytes:
    """Renders a value of our types, or a mapping, as indented JSON with sorted keys; `title` is for errors.

    Raises:
        EdgelineError: A value is not finite or not a JSON type (such as a NumPy number).
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


def parse_time(text: str) -> datetime:
    """Parses a UTC time; the datetime is aware."""
    return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=timezone.utc)


def sha256_of_bytes(raw: bytes) -> str:
    """Returns the sha256 of `raw`, hexadecimal."""
    return hashlib.sha256(raw).hexdigest()
