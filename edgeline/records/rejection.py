"""Rejection of a single row of a span, with the slug by which quarantine, reports and the gate count it."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN = 300


@dataclass(frozen=True)
class Rejected:
    """A row that goes to quarantine."""

    id: str  # as in `Row`
    reason: str  # a slug, for counts
    detail: str  # the fault, as one sentence
    text: str = ""  # the beginning of the row, for people; empty if it is no text


def check_label(label: str, labels: Sequence[str], what: str) -> None:
    """Refuses a label that is not in the schema; `what` begins the sentence.

    Raises:
        RowRejected: unknown-label.
    """
    if label not in labels:
        near = difflib.get_close_matches(label, labels, n=1)
        known = f"the known labels are {', '.join(map(repr, labels))}"
        hint = f"the nearest known label is {near[0]!r}" if near else known
        raise RowRejected("unknown-label", f"{what} has the label {label[:_SHOWN]!r}; {hint}.")


class RowRejected(Exception):
    """A row, or the file that it names, cannot be used; `reason` is a slug, `detail` a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
