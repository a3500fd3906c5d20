"""Rejection of a single row of a span, with the slug by which quarantine, reports and the gate count it."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from edgeline.errors import find_nearest

_SHOWN = 300
# Control characters except tab and line ends, and lone surrogates. Those from U+0080 on appear where text in
# another encoding was read as Latin-1.
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Rejected:
    """A row that goes to quarantine."""

    id: str  # as in `Row`
    reason: str  # a slug, for counts
    detail: str  # the fault, as one sentence
    text: str = ""  # the beginning of the row, for people; empty if it is not text


def check_label(label: str, labels: Sequence[str], what: str) -> None:
    """Raises RowRejected for a label that is not in the schema; `what` begins the sentence."""
    if label not in labels:
        near = find_nearest(label, labels)
        choices = f"the known labels are {', '.join(map(repr, labels))}"
        hint = f"the nearest known label is {near!r}" if near else choices
        raise RowRejected("unknown-label", f"{what} has the label {label[:_SHOWN]!r}; {hint}.")


def check_text(text: str) -> None:
    """Raises RowRejected for a text that holds a control character or nothing that can be read."""
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
