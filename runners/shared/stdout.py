"""What a command prints: lines for people, in which nothing steers their terminal, or one JSON document."""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import TextIOWrapper
from typing import Any

# Control characters but for line end and tab, those that change the direction of what follows, and halves of
# a character, which no file takes.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_typed: ContextVar[Callable[[str], str]] = ContextVar("typed", default=str)


def visible(text: str) -> str:
    """A text in which what a terminal obeys instead of showing, as an escape sequence, is written out."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def shown(text: str) -> str:
    """A line for people: with visible letters, and commands as they have to be typed."""
    return visible(_typed.get()(text))


def say(text: str = "") -> None:
    """One line."""
    sys.stdout.write(shown(text) + "\n")


def note(text: str) -> None:
    """One line beside what was asked for, on the standard error."""
    sys.stderr.write(shown(text) + "\n")


def print_json(document: Any) -> None:
    """A machine-readable result."""
    import json

    json.dump(document, sys.stdout, indent=1)
    say()


class _Warnings(logging.Handler):
    """Prints each warning once: a file that cannot be read is looked at several times."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the record."""
        text = record.getMessage()
        if text not in self._said:
            self._said.add(text)
            note(f"warning: {text}")


@contextmanager
def speaking(typed: Callable[[str], str]) -> Iterator[None]:
    """Meanwhile, warnings are printed, and so is what the terminal has no letter for, by its number.

    `typed` turns the commands in a text into what has to be typed here.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    handler = _Warnings()
    loggers = [logging.getLogger(room) for room in ("records", "release", "report", "runners")]
    for logger in loggers:
        logger.addHandler(handler)
    before = _typed.set(typed)
    try:
        yield
    finally:
        _typed.reset(before)
        for logger in loggers:
            logger.removeHandler(handler)
