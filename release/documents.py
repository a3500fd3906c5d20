"""The JSON documents of a push folder: every value is checked, every error names file, found, expected."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar

from errors import EdgelineError
from locations import Location, explained, read_bytes

T = TypeVar("T")

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def damaged(where: str, found: str, expected: str) -> EdgelineError:
    """The error of a document that is not what this code wrote."""
    return EdgelineError(
        f"{where}: found {found}.",
        f"Expected {expected}.",
        "Details with `edgeline verify`; put a whole release in production with"
        " `edgeline promote V --reason R`.",
    )


def read_document(path: Location, where: str) -> bytes:
    """The content of a document; `where` names it in errors.

    Raises:
        FileNotFoundError: It is not there.
        EdgelineError: It cannot be read.
    """
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise damaged(where, f"what cannot be read ({error.strerror or error})", "a file") from error


def parse_object(raw: bytes, where: str) -> dict[str, Any]:
    """The JSON object in `raw`; `where` names its file in errors."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError
        raise damaged(where, f"no JSON ({error})", "a JSON object") from error
    if not isinstance(document, dict):
        raise damaged(where, f"a JSON {type(document).__name__}", "a JSON object")
    return document


def render_object(document: Mapping[str, Any], what: str) -> bytes:
    """`document` as indented JSON with sorted keys.

    Raises:
        EdgelineError: A value is not finite or not a JSON type (such as a NumPy number).
    """
    try:
        return (json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise EdgelineError(
            f"{what} cannot be written as JSON: {error}.",
            "A reader of a release must be able to parse it, and JSON has no NaN and no NumPy types.",
            "Give plain, finite Python numbers, strings, lists and mappings.",
        ) from error


def field(document: Mapping[str, Any], key: str, kind: type[T], where: str) -> T:
    """`document[key]`, which must be of type `kind` (a bool is no int)."""
    if key not in document:
        raise damaged(where, f"no {key!r}", f"{key!r} of type {kind.__name__}")
    value = document[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise damaged(where, f"{key!r} = {value!r} ({type(value).__name__})", f"type {kind.__name__}")
    return value


def positive(document: Mapping[str, Any], key: str, where: str) -> int:
    """`document[key]`, which must be an integer of at least 1."""
    value = field(document, key, int, where)
    if value < 1:
        raise damaged(where, f"{key!r} = {value}", "an integer of at least 1")
    return value


def digest_field(document: Mapping[str, Any], key: str, where: str) -> str:
    """`document[key]`, which must be a sha256 in lower-case hexadecimal."""
    value = field(document, key, str, where)
    if len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise damaged(where, f"{key!r} = {value!r}", "64 hexadecimal digits")
    return value


def time_field(document: Mapping[str, Any], key: str, where: str) -> str:
    """`document[key]`, which must be a UTC time such as 2026-10-05T09:12:33Z."""
    value = field(document, key, str, where)
    try:
        parse_time(value)
    except ValueError as error:
        raise damaged(where, f"{key!r} = {value!r}", "a UTC time such as 2026-10-05T09:12:33Z") from error
    return value


def parse_time(text: str) -> datetime:
    """The aware UTC time in `text`."""
    return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=timezone.utc)


def format_time(moment: datetime) -> str:
    """`moment` as 2026-10-05T09:12:33Z."""
    return moment.astimezone(timezone.utc).strftime(_TIME_FORMAT)


def now() -> datetime:
    """The aware UTC time."""
    return datetime.now(timezone.utc)


def sha256_of_bytes(raw: bytes) -> str:
    """Hexadecimal sha256 of `raw`."""
    return hashlib.sha256(raw).hexdigest()


def measure_file(path: Location) -> tuple[int, str]:
    """Size in bytes and hexadecimal sha256 of a file's content, read in pieces."""
    size, digest = 0, hashlib.sha256()
    with explained(path), path.open("rb") as file:
        while piece := file.read(1 << 20):
            size += len(piece)
            digest.update(piece)
    return size, digest.hexdigest()
