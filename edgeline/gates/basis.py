"""Checks of what a judgement rests on: groups, near twins of train, columns, and photos like those before."""

from collections.abc import Iterator

import numpy as np

from edgeline.gates.answers import ROUNDING
from edgeline.gates.evidence import EVAL, FEW_GROUPS, Evidence
from edgeline.labels import format_count, join_names
from edgeline.records.verdict import Finding


def judge_twins(evidence: Evidence) -> Iterator[Finding]:
    """Yields a finding if no eval example is left without its near twins in train."""
    if evidence.without_twins is not None and evidence.metrics.without_twins is None:
        text = (
            "Every eval example has a near twin in train, so nothing shows how good the model is on new"
            " examples."
        )
        yield Finding(text, "gate.severity.twins=off", "overall", code="twins")


def judge_few_groups(evidence: Evidence) -> Iterator[Finding]:
    """Yields a warning if the model is judged on few groups."""
    judged = evidence.judged
    number = len(np.unique(judged.answers.groups))
    if not judged.answers.grouped or number >= FEW_GROUPS:
        return
    group = judged.metrics.group
    # Those without near twins are judged, whether or not there are answers out of fold.
    folds = f" or set trainer.folds=5 to judge on all {group}s" if judged.examples == EVAL else ""
    text = (
        f"Judged on only {format_count(number, group)}: the result may not hold for other {group}s."
        f" At least {FEW_GROUPS} are needed: add data{folds}."
    )
    yield Finding(text, code="few_groups", severity="warn", numbers={"groups": number})


def judge_places(evidence: Evidence) -> Iterator[Finding]:
    """Yields a warning if photos of one visit may be in both splits, since nothing names the visits."""
    if evidence.judged.answers.has_made_sessions:
        text = (
            "The figures are of the same places as in training, since no source named the sessions: in other"
            " rooms, shops or light the model may be right less often. Name what was photographed in one"
            " visit in the column `session` of a manifest."
        )
        yield Finding(text, code="places", severity="warn")


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
