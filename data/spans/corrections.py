"""Corrections: the labels of a span that people changed or confirmed, with who did so, when and why.

DIR/span-00042/corrections.jsonl has a JSON object a line; lines are only appended, and the newest line of an
example counts. The files of the span stay as they are:

{"example": "a.jpg", "was": "ok", "label": "damaged", "when": "2026-10-05T09:12:33Z", "who": "...",
 "reason": "...", "file": ""}
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

from data.spans.decisions import append_entries, read_entries
from data.spans.layout import Span
from data.spans.source import Row
from edgeline.records.ingest import CORRECTIONS
from edgeline.store.objects import measure_file

_log = logging.getLogger("edgeline.data")


@dataclass(frozen=True)
class Correction:
    """A decision on the label of an example; `label` is `was` if the label was confirmed."""

    example: str  # its id within the span
    was: str  # the label in the span's files
    label: str
    when: str  # UTC, ISO 8601
    who: str  # user@host
    reason: str  # in a person's words
    # The digest of the file of which the example's id names a line: in another file, the line may be another
    # row. Empty for a photo, and in decisions of earlier versions.
    file: str = ""


def digest_files_of_rows(span: Span) -> Callable[[str], str]:
    """Returns a function from the id of a row to the SHA-256 of its file; empty for a photo's id."""

    @cache
    def digest(name: str) -> str:
        with suppress(OSError):
            return measure_file(span.path / name)[1] if name else ""
        return ""

    return lambda example: digest(example.rpartition(":")[0])


def read_corrections(span: Span) -> Mapping[str, Correction]:
    """Reads the newest correction of each example of a span, by the example's id.

    Corrections of rows of a file that has changed since are left out, with a warning.

    Raises as `decisions.read_entries` does.
    """
    otherwise = "Labels that somebody corrected would be trained on."
    place = span.path / CORRECTIONS
    entries = read_entries(place, Correction, "a correction of a label", otherwise, (span.name,))
    newest = {correction.example: correction for correction in entries}
    digest = digest_files_of_rows(span)
    valid = {
        example: correction
        for example, correction in newest.items()
        if not correction.file or correction.file == digest(example)
    }
    if dropped := len(newest) - len(valid):
        text = "%d of %d corrections of labels in %s are not used: their files changed since."
        _log.warning(text, dropped, len(newest), span.name)
    return valid


def find_correction(corrections: Mapping[str, Correction], example: str, label: str) -> Correction | None:
    """Returns the decision on an example, unless its label in the span's files changed since.

    Args:
        corrections: Those of the span, by the example's id.
        example: Its id within the span.
        label: The one that the span's files have now.
    """
    correction = corrections.get(example)
    return correction if correction and correction.was == label else None


def correct_label(row: Row, corrections: Mapping[str, Correction], labels: Sequence[str]) -> Row:
    """Returns a row with its corrected label, unless the labels of span or schema changed since.

    Args:
        row: As the span's files have it.
        corrections: Those of the span, by the example's id.
        labels: The schema's; a correction to any other label is not used.
    """
    correction = find_correction(corrections, row.id, row.label)
    if correction is None or correction.label not in labels:
        return row
    return replace(row, label=correction.label, reviewed=True)


def add_corrections(span: Span, corrections: Sequence[Correction]) -> None:
    """Adds corrections to a span; raises as `decisions.append_entries` does."""
    append_entries(span.path / CORRECTIONS, corrections, f"No correction of {span.name} was recorded.")
