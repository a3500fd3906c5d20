"""Screening of the rows of a labels file, without their photos."""

import posixpath
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from data.photos.labels_file import LabelRow, get_session
from data.spans.source import SPLITS
from edgeline.labels import find_fault
from edgeline.records.rejection import RowRejected, check_label

UNKNOWN_LANE = "unknown"


def screen_rows(
    rows: Sequence[LabelRow], labels: Sequence[str]
) -> tuple[list[LabelRow], list[tuple[LabelRow, str, str]]]:
    """Separates the rows of one span into those to read photos for and those to quarantine.

    A row without a lane gets the lane `unknown`; one without a session gets its photo's path as session, so
    each such photo is a session of its own. Among the rows with a known label, one that repeats an earlier
    row of the same photo is rejected, and so are all rows of a photo with two labels.

    Returns:
        Kept rows in their order, and rejected ones as (row, slug, sentence): missing, unlabelled,
        control-character, unknown-label, unknown-split, duplicate-row or conflicting-label.
    """
    known = frozenset(labels)
    labels_of: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.label in known:
            labels_of[posixpath.normpath(row.photo)].add(row.label)
    kept = []
    rejected = []
    seen: set[str] = set()
    for row in rows:
        try:
            _check_row(row, labels, labels_of, seen)
        except RowRejected as why:
            rejected.append((row, why.reason, why.detail))
        else:
            seen.add(posixpath.normpath(row.photo))
            kept.append(replace(row, lane_id=row.lane_id or UNKNOWN_LANE, session_id=get_session(row)))
    return kept, rejected


def _check_row(row: LabelRow, labels: Sequence[str], labels_of: dict[str, set[str]], seen: set[str]) -> None:
    if not row.photo:
        raise RowRejected("missing", "The photo cell is empty.")
    if not row.label:
        raise RowRejected("unlabelled", f"{row.photo} has no label.")
    for name in ("lane_id", "session_id", "captured_at"):
        if (cell := getattr(row, name)) and (fault := find_fault(cell)):
            raise RowRejected("control-character", f"{row.photo} has the {name} {cell!a}: {fault}.")
    photo = posixpath.normpath(row.photo)
    check_label(row.label, labels, row.photo)
    if row.split not in ("", *SPLITS):
        detail = f"{row.photo} has the split {row.split!a}; a split is train or eval."
        raise RowRejected("unknown-split", detail)
    if len(labels_of[photo]) > 1:
        both = " and ".join(map(repr, sorted(labels_of[photo])))
        raise RowRejected("conflicting-label", f"{row.photo} is labelled {both}.")
    if photo in seen:
        raise RowRejected("duplicate-row", f"{row.photo} is listed again with the same label.")
