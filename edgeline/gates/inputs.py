"""Checks of what a model reads: columns that it makes no use of, photos that are unlike those before."""

from collections.abc import Iterator

from edgeline.gates.answers import ROUNDING
from edgeline.gates.evidence import Evidence
from edgeline.labels import join_names
from edgeline.records.verdict import Finding


def judge_columns(evidence: Evidence) -> Iterator[Finding]:
    """Yields a warning that names the columns whose values change no probability."""
    unused = [item.column for item in evidence.metrics.importance if item.largest_change < ROUNDING]
    if unused:
        them, are_they = ("it", "Is it") if len(unused) == 1 else ("each", "Are they")
        text = (
            f"The network makes no use of {join_names(sorted(unused))}: shuffling {them} changes no"
            f" probability. {are_they} constant, or filled in wrongly?"
        )
        yield Finding(text, code="unused_columns", severity="warn")


def judge_photo_drift(evidence: Evidence) -> Iterator[Finding]:
    """Yields a warning if the newest photos are unlike those before."""
    drift = evidence.photo_drift
    if drift is not None and drift.has_drifted:
        text = f"{drift.sentence} A new camera, another place, a dirty lens?"
        yield Finding(text, code="photo_drift", severity="warn", spans=(drift.span,))
