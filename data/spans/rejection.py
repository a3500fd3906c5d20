"""Why one photo is kept out: the slugs that quarantine, reports and the gate count by."""

from typing import Literal

Reason = Literal[
    "zero-byte",
    "corrupt",
    "truncated",
    "oversized",
    "too-small",
    "not-a-photo",
    "unsafe",
    "missing",
    "unreadable",
    "outside-span",
    "unlabelled",
    "control-character",
    "unknown-label",
    "duplicate-row",
    "conflicting-label",
    "duplicate",
]


class PhotoRejected(Exception):
    """One photo, or its row, cannot be used. The others go on.

    Args:
        reason: The slug to count by.
        detail: One sentence with what was found.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
