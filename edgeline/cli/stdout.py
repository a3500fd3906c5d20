"""The output of commands: lines for people, free of terminal control sequences, or one JSON document."""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import TextIOWrapper
from typing import Any

# Control characters except line end and tab, those that change the direction of text, and surrogate halves,
# which cannot be encoded.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_typed: ContextVar[Callable[[str], str]] = ContextVar("typed", default=str)


def visible(text: str) -> str:
    """Writes out the characters of a text that a terminal would obey instead of showing."""
    return _INVISIBLE.sub(lambda match: ascii(match[0])[1:-1], text)


def prepare_line(text: str) -> str:
    """Prepares a line for people: visible characters only, and commands as they have to be typed."""
    return visible(_typed.get()(text))


def say(text: str = "") -> None:
    """Prints one line to the standard output."""
    sys.stdout.write(prepare_line(text) + "\n")


def note(text: str) -> None:
    """Prints one line to the standard error, beside the result."""
    sys.stderr.write(prepare_line(text) + "\n")


def print_json(document: Any) -> None:
    """Prints a machine-readable result."""
    import json

    json.dump(document, sys.stdout, indent=1)
    say()


class _Warnings(logging.Handler):
    """A handler that prints each warning once: the same unreadable file may be read several times."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the record."""
        text = record.getMessage()
        if text not in self._printed:
            self._printed.add(text)
            note(f"warning: {text}")


@contextmanager
def prepare_output(typed: Callable[[str], str]) -> Iterator[None]:
    """Makes the streams print characters that they cannot encode as escapes; prints warnings in the block.

    `typed` turns the commands in a text into those that have to be typed here.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    handler = _Warnings()
    loggers = [logging.getLogger(room) for room in ("edgeline", "runners")]
    for logger in loggers:
        logger.addHandler(handler)
    before = _typed.set(typed)
    try:
        yield
    finally:
        _typed.reset(before)
        for logger in loggers:
            logger.removeHandler(handler)
