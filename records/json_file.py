"""A file of JSON and the type of what it holds.

Such a file may be torn by a crash, cut by a full disk, or written by another version: whoever reads it gets
the type that it should be, all the way down, or is told. Keys that a type lacks are left out.
"""

import errno
import functools
import logging
import os
import reprlib
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from locations import whole

T = TypeVar("T")
# What reading a file ends in that is damaged, or no file.
UNREADABLE = (OSError, ValueError, RecursionError)
# Of an int that goes much further, Python makes no float.
_LARGEST = 2**63
_known = threading.Lock()

log = logging.getLogger(__name__)


def regular_file(path: str, flags: int) -> int:
    """An opener for `open`, for which nobody waits on the writer of a pipe.

    Raises:
        OSError: It cannot be opened, or is a device or a pipe.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISDIR(mode := os.fstat(descriptor).st_mode) and not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return descriptor


def decode(content: bytes, kind: Any = Any) -> Any:
    """JSON as the type `kind`.

    Raises:
        ValueError: It is no JSON, or holds something else; a number that is none is no JSON either.
        RecursionError: It is nested too deep.
    """
    return _within_bounds(decoder_of(kind).decode(content))


def decoder_of(kind: Any) -> Any:
    """What decodes a type.

    What msgspec knows of a class can be seen by other threads before it is whole, and a decoder that uses it
    then takes the process along.
    """
    with _known:
        return _made(kind)


@functools.cache
def _made(kind: Any) -> Any:
    return msgspec.json.Decoder(kind)


def encode(value: object) -> bytes:
    """A value as one line of JSON, without its end.

    A float that is no number becomes null; half of a character, as names of files may have, is written out.
    """
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_written_out(msgspec.to_builtins(value)))


def _written_out(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_written_out(key): _written_out(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_written_out(item) for item in value]
    return value


def convert(value: object, kind: Any) -> Any:
    """Dicts, lists, texts and numbers as the type `kind`.

    Raises:
        ValueError: They hold something else.
    """
    decoder_of(kind)
    return _within_bounds(msgspec.convert(value, kind))


def _within_bounds(found: Any) -> Any:
    """What was given; a ValueError where a number in it is none, or larger than any of ours."""
    waiting = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, int | float):
            if not abs(value) < _LARGEST:
                raise ValueError(f"a number is {reprlib.repr(value)}")
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif is_dataclass(value):
            waiting += vars(value).values()
        elif isinstance(value, msgspec.Struct):
            waiting += msgspec.structs.astuple(value)
    return found


@dataclass(frozen=True)
class JsonFile(Generic[T]):
    """One file that a step leaves in the folder of an artifact."""

    name: str
    kind: Any  # the type of its content: a dataclass, or a tuple of them

    def read(self, folder: Path) -> T:
        """Its content; raises one of `UNREADABLE` where it cannot be read or is damaged."""
        with open(folder / self.name, "rb", opener=regular_file) as file:
            content: T = decode(file.read(), self.kind)
            return content

    def find(self, folder: Path | None) -> T | None:
        """Its content; None where the folder or the file is not there. Raises as `read` does."""
        try:
            return None if folder is None else self.read(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def find_readable(self, folder: Path) -> T | None:
        """Its content; None where it is not there, or, with a warning, damaged."""
        try:
            return self.find(folder)
        except UNREADABLE as error:
            log.warning("%s cannot be read: %s", folder / self.name, error)
            return None

    def write(self, folder: Path, content: T) -> None:
        """Writes it, and makes the folder where that is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / self.name) as file:
            file.write(self.to_bytes(content))

    def to_bytes(self, content: T) -> bytes:
        """A content as the file has it."""
        return msgspec.json.format(encode(content), indent=1) + b"\n"


@dataclass(frozen=True)
class JsonLines(Generic[T]):
    """One file with a JSON object a line; `kind` is the type of a line."""

    name: str
    kind: Any

    def read(self, folder: Path | None) -> Iterator[T]:
        """Its lines; none where the folder or the file is not there. Raises as `JsonFile.read` does."""
        if folder is None or not (folder / self.name).exists():
            return
        with open(folder / self.name, "rb", opener=regular_file) as file:
            yield from (decode(line, self.kind) for line in file if line.strip())

    def write(self, folder: Path, lines: Iterable[T]) -> None:
        """Writes all of it, and makes the folder where that is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / self.name).open("wb") as file:
            file.writelines(encode(line) + b"\n" for line in lines)
