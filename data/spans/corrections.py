"""Corrections: the labels of a span that people changed or confirmed, with who did so, when and why.

DIR/span-00042/corrections.jsonl has a JSON object a line; lines are only appended, and the newest line of an
example counts. The files of the span stay as they are:

{"example": "a.jpg", "was": "ok", "label": "damaged", "when": "2026-10-05T09:12:33Z", "who": "...",
 "reason": "..."}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from data.spans.exclusions import append_decision
from data.spans.layout import Span
from data.spans.source import Row
from edgeline.errors import DataRefused, EdgelineError
from edgeline.records.json_file import convert
from edgeline.store.locations import read_bytes

FILE_NAME = "corrections.jsonl"


@dataclass(frozen=True)
class Correction:
    """A decision on the label of an example; `label` is `was` if the label was confirmed."""

    example: str  # its id within the span
    was: str  # the label in the span's files
    label: str
    when: str  # UTC, ISO 8601
    who: str  # user@host
    reason: str  # in a person's words


def read_corrections(span: Span) -> Mapping[str, Correction]:
    """Reads the newest correction of each example of a span, by the example's id.

    A last line without its line end is ignored: the command that wrote it was interrupted.

    Raises:
        DataRefused: The file cannot be read, or a line is no correction.
    """
    place = span.path / FILE_NAME
    try:
        content = read_bytes(place)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DataRefused(
            f"{place} cannot be read ({error.strerror or error}).",
            "Labels that somebody corrected would be trained on.",
            "Fix the file.",
            (span.name,),
        ) from None
    corrections: dict[str, Correction] = {}
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            correction: Correction = convert(json.loads(line), Correction)
        except (ValueError, RecursionError):
            raise DataRefused(
                f"{place} line {number} is not a correction of a label.",
                "Labels that somebody corrected would be trained on.",
                "Fix that line, or remove it.",
                (span.name,),
            ) from None
        corrections[correction.example] = correction
    return corrections


def correct_label(row: Row, corrections: Mapping[str, Correction], labels: Sequence[str]) -> Row:
    """Returns a row with its corrected label, unless the labels of span or schema changed since."""
    correction = corrections.get(row.id)
    if correction is None or row.label != correction.was or correction.label not in labels:
        return row
    return replace(row, label=correction.label)


def add_corrections(span: Span, corrections: Sequence[Correction]) -> None:
    """Adds corrections to a span.

    Raises:
        EdgelineError: They cannot be written.
    """
    place = span.path / FILE_NAME
    try:
        append_decision(place, b"".join(json.dumps(asdict(item)).encode() + b"\n" for item in corrections))
    except OSError as error:
        raise EdgelineError(
            f"{place} cannot be written ({error.strerror or error}).",
            f"No correction of {span.name} was recorded.",
            "Grant this user write permission there, and run the same command again.",
        ) from None
