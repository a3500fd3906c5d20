"""Reads what the steps of a run left: files of JSON, each value as the type that it should be.

Such a file may be torn by a crash, cut by a full disk, or written by another version; whoever reads it says
so and goes on with the rest.
"""

import errno
import json
import logging
import os
import reprlib
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import repeat
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

log = logging.getLogger(__name__)

# No number of ours goes beyond it; of one that goes much further, Python makes no float.
_LARGEST = 2**63


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


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON.
        RecursionError: It is nested too deep.
    """
    with open(path, "rb", opener=regular_file) as file:
        return json.loads(file.read())


def read_as(path: Path, kind: Any) -> Any:
    """What a JSON file holds, as the type `kind`; None where it is not there, or, with a warning, damaged."""
    try:
        return fit(read_json(path), kind)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s cannot be read: %s", path, error)
        return None


def fit(value: Any, kind: Any, name: str = "it") -> Any:
    """A value of JSON as the type `kind`, all the way down.

    Args:
        value: As JSON has it; of a dataclass, a mapping with its fields, or one whose fields are not checked.
        kind: A dataclass, a union, Literal, tuple, Mapping, or a plain type. Keys that a dataclass lacks are
            left out; half of a character, which no file could take, is written out.
        name: What it is, for the error.

    Raises:
        ValueError: It is of another type, or a number that is none.
    """
    if kind is str and type(value) is str and value.isascii():  # By far the commonest.
        return value
    origin, inner, parts_of = _looked_into(kind)
    if parts_of:
        given = vars(value) if isinstance(value, kind) else value
        if isinstance(given, Mapping):
            parts = {key: fit(given[key], of, key) for key, of in parts_of if key in given}
            with suppress(TypeError):  # A field without a default is missing.
                return kind(**parts)
    elif origin in (Union, UnionType):
        for option in inner:
            try:
                return fit(value, option, name)
            except ValueError:
                continue
    elif origin is tuple and isinstance(value, list | tuple):
        kinds = repeat(inner[0]) if inner[-1] is Ellipsis else inner
        if inner[-1] is Ellipsis or len(inner) == len(value):
            return tuple(fit(item, of, name) for item, of in zip(value, kinds, strict=False))
    elif isinstance(value, Mapping) and (origin is Mapping or kind is Any):
        of_key, of_value = inner or (str, Any)
        return {fit(key, of_key, name): fit(item, of_value, name) for key, item in value.items()}
    elif isinstance(value, str) and (kind in (str, Any) or (origin is Literal and value in inner)):
        return value.encode(errors="backslashreplace").decode()
    elif kind in (int, float) and isinstance(value, int | kind) and not isinstance(value, bool):
        if abs(value) < _LARGEST:
            return value
    elif kind is Any or (kind in (bool, NoneType) and isinstance(value, kind)):
        return value
    raise ValueError(f"{name} is {reprlib.repr(value)}")


@cache
def _looked_into(kind: Any) -> tuple[Any, tuple[Any, ...], tuple[tuple[str, Any], ...]]:
    """A type without its parameters, these, and the fields of a dataclass with their types."""
    parts = fields(kind) if isinstance(kind, type) and is_dataclass(kind) else ()
    return get_origin(kind) or kind, get_args(kind), tuple((part.name, part.type) for part in parts)
