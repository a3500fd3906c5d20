"""JSON files with a type.

Such a file may be torn by a crash, cut by a full disk, or written by another version: a reader gets a value
of the expected type, all the way down, or an error. Keys that a type lacks are ignored.
"""

import functools
import logging
import reprlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from edgeline.store.locations import open_regular_file, write_atomically

T = TypeVar("T")
# Errors of reading a file that is damaged or missing.
UNREADABLE = (OSError, ValueError, RecursionError)
# The bound of numbers in a record; Python cannot convert much larger integers to float.
_LARGEST = 2**63
_LARGEST_FLOAT = 3.4028236e38  # a little more than the largest float32, which a table may have
_decoders_lock = threading.Lock()

log = logging.getLogger(__name__)


def decode(content: bytes, kind: Any = Any) -> Any:
    """Decodes JSON to `kind`. Raises ValueError for other content or NaN, RecursionError for deep nesting."""
    return _check_numbers(get_decoder(kind).decode(content))


def get_decoder(kind: Any) -> Any:
    """Returns the decoder of a type.

    Decoders are made under a lock: msgspec shows its cached data about a class to other threads before it is
    complete, and a decoder that uses such data crashes the process.
    """
    with _decoders_lock:
        return _make_decoder(kind)


@functools.cache
def _make_decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(kind)


def encode(value: object) -> bytes:
    """Encodes a value as one line of JSON, without the line end.

    NaN and infinity become null; lone surrogates, which names of files may contain, are escaped.
    """
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_escape_surrogates(msgspec.to_builtins(value)))


def _escape_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_escape_surrogates(key): _escape_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escape_surrogates(item) for item in value]
    return value


def convert(value: object, kind: Any) -> Any:
    """Converts dicts, lists, texts and numbers to the type `kind`. Raises ValueError if they do not fit."""
    get_decoder(kind)
    return _check_numbers(msgspec.convert(value, kind))


def _check_numbers(content: Any) -> Any:
    """Returns the content; raises ValueError for a number that is NaN or too large in it."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, int | float):
            if not abs(value) < (_LARGEST if isinstance(value, int) else _LARGEST_FLOAT):
                raise ValueError(f"the number {reprlib.repr(value)} is not allowed")
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif is_dataclass(value):
            waiting += vars(value).values()
        elif isinstance(value, msgspec.Struct):
            waiting += msgspec.structs.astuple(value)
    return content


@dataclass(frozen=True)
class JsonFile(Generic[T]):
    """A JSON file that a step writes to the folder of an artifact."""

    name: str
    kind: Any  # the type of its content: a dataclass, or a tuple of them

    def read(self, folder: Path) -> T:
        """Reads the file; raises one of `UNREADABLE` if it cannot be read or is damaged."""
        with open(folder / self.name, "rb", opener=open_regular_file) as file:
            content: T = decode(file.read(), self.kind)
            return content

    def find(self, folder: Path | None) -> T | None:
        """Reads the file; None if the folder or the file does not exist. Raises as `read` does."""
        try:
            return None if folder is None else self.read(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def find_readable(self, folder: Path) -> T | None:
        """Reads the file; None if it does not exist, or, with a warning, if it is damaged."""
        try:
            return self.find(folder)
        except UNREADABLE as error:
            log.warning("%s cannot be read: %s", folder / self.name, error)
            return None

    def write(self, folder: Path, content: T, sync: bool = False) -> None:
        """Writes the file.

        Args:
            folder: It is made if it does not exist.
            content: Of the type `kind`.
            sync: As in `write_atomically`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with write_atomically(folder / self.name, sync=sync) as file:
            file.write(self.to_bytes(content))

    def to_bytes(self, content: T) -> bytes:
        """Returns the bytes of the file for this content."""
        return msgspec.json.format(encode(content), indent=1) + b"\n"


@dataclass(frozen=True)
class JsonLines(Generic[T]):
    """A file with one JSON object a line; `kind` is the type of a line."""

    name: str
    kind: Any

    def read(self, folder: Path | None) -> Iterator[T]:
        """Yields the lines; none if the folder or the file does not exist. Raises as `JsonFile.read` does."""
        if folder is None or not (folder / self.name).exists():
            return
        with open(folder / self.name, "rb", opener=open_regular_file) as file:
            yield from (decode(line, self.kind) for line in file if line.strip())

    def write(self, folder: Path, lines: Iterable[T]) -> None:
        """Writes all lines; makes the folder if it does not exist."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / self.name).open("wb") as file:
            file.writelines(encode(line) + b"\n" for line in lines)
