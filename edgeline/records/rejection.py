"""Rejection of a single row of a span, with the slug by which quarantine, reports and the gate count it."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from edgeline.errors import find_nearest

_SHOWN = 300
# Control characters except tab and line ends, and lone surrogates.
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
# Control characters from U+0080 on appear where UTF-8 or Windows-1252 was read as Latin-1: letters of several
# bytes, and the marks of Windows-1252 in their order, a blank where it has none.
_DECODED_TWICE = re.compile("[\x80-\x9f]")
_BYTES = re.compile("[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_MARKS = {n: bytes([n]).decode("cp1252", "replace").replace("\ufffd", " ") for n in range(0x80, 0xA0)}


@dataclass(frozen=True)
class Rejected:
    """A row that goes to quarantine."""

    id: str  # as in `Row`
    reason: str  # a slug, for counts
    detail: str  # the fault, as one sentence
    text: str = ""  # the beginning of the row, for people; empty if it is not text


def check_label(label: str, labels: Sequence[str], what: str) -> None:
    """Raises RowRejected for a label that is not in the schema.

    Args:
        label: The label of a row; a long one is cut in the message.
        labels: Those of the schema.
        what: Begins the sentence: the example that has the label.
    """
    if label not in labels:
        near = find_nearest(label, labels)
        choices = f"the known labels are {', '.join(map(repr, labels))}"
        hint = f"the nearest known label is {near!r}" if near else choices
        raise RowRejected("unknown-label", f"{what} has the label {label[:_SHOWN]!r}; {hint}.")


def repair_text(text: str) -> str:
    r"""Returns a text in which marks that were decoded twice, such as `â\x80\x99`, are what they were.

    Where that is not certain they are blanks. A text without control characters from U+0080 on stays.
    """
    if not _DECODED_TWICE.search(text):
        return text
    return _BYTES.sub(_decode_again, text).translate(_MARKS)


def _decode_again(match: re.Match[str]) -> str:
    try:
        return match[0].encode("latin-1").decode()
    except UnicodeDecodeError:
        return match[0]


def check_text(text: str) -> None:
    """Raises RowRejected for a text that holds a control character or nothing that can be read."""
    text = repair_text(text)
    if match := _CONTROL.search(text):
        raise RowRejected("control-character", f"It contains the control character U+{ord(match[0]):04X}.")
    # Format characters alone, such as joiners and direction marks, are not text.
    if all(c.isspace() or unicodedata.category(c) == "Cf" for c in text):
        raise RowRejected("empty", "The text is empty.")


class RowRejected(Exception):
    """A row, or the file that it names, cannot be used; `reason` is a slug, `detail` a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
