"""Texts for a terminal and for logs: what a person typed or named shows there, and steers nothing."""

import logging
import re

from edgeline.secrets import redact

# Control characters except line end and tab, those that change the direction of text, and surrogate halves,
# which cannot be encoded.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_INDENT = " " * 4
_LINE_END = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def make_visible(text: str) -> str:
    """Writes out the characters of a text that a terminal would obey instead of showing."""
    return _INVISIBLE.sub(_write_out, text)


def make_one_line(text: str) -> str:
    r"""Writes out line ends, as `\n`: a name that has one makes no line of its own."""
    return _LINE_END.sub(_write_out, text)


def _write_out(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


class GuardedRecord(logging.LogRecord):
    """A log record without secrets, whose first line alone begins in the first column.

    Further lines, such as those of a traceback, are indented: no text in them can pass as another record.
    """

    def getMessage(self) -> str:
        """Returns the message with its values."""
        return _guard(super().getMessage())

    @property
    def exc_text(self) -> str | None:
        """The traceback, once a handler has formatted it."""
        return self._exc_text

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:
        self._exc_text = text and f"{_INDENT}{_guard(text)}"


def guard_logs() -> None:
    """Makes all log records of this process guarded ones."""
    logging.setLogRecordFactory(GuardedRecord)


def _guard(text: str) -> str:
    return f"\n{_INDENT}".join(map(make_visible, redact(text).split("\n")))
