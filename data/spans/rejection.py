"""Why one row of a span is kept out: the slugs that quarantine, reports and the gate count by."""

import difflib
from collections.abc import Sequence

_SHOWN = 300


def check_label(label: str, labels: Sequence[str], what: str) -> None:
    """Refuses what is no label of the schema; `what` has it, for the sentence.

    Raises:
        RowRejected: unknown-label.
    """
    if label not in labels:
        near = difflib.get_close_matches(label, labels, n=1)
        known = f"known are {', '.join(map(repr, labels))}"
        hint = f"the nearest known one is {near[0]!r}" if near else known
        raise RowRejected("unknown-label", f"{what} has the label {label[:_SHOWN]!r}; {hint}.")


class RowRejected(Exception):
    """One row, or what it names, cannot be used: the slug to count by, and in a sentence what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
