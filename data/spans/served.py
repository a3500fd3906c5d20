"""Reads `served.csv` of a span: what phones answered. `data/importers/phone.py` describes its columns.

A phone can be wrong about anything, and a span is worth more than this file: nothing in it stops a run.
"""

from collections.abc import Iterator, Mapping

from data.spans.layout import SERVED, Span
from edgeline.errors import DataRefused
from edgeline.labels import find_fault
from edgeline.records.columns import parse_time
from edgeline.records.served import Answer
from edgeline.store.locations import list_names
from edgeline.tables.rows import read_csv_rows

COLUMNS = ("example", "version", "variant", "said", "score", "captured_at", "device", "chosen")
_CHOSEN = ("random", "person", "")
_LARGEST_VERSION, _LONGEST = 10**9, 200


def read_served(span: Span) -> Iterator[Answer | str]:
    """Yields each answer of a span, or for a row that is none a sentence without its full stop."""
    if SERVED not in list_names(span.path):
        return
    header: list[str] = []
    place = f"{span.name}/{SERVED}"
    try:
        for line, cells in read_csv_rows(span.path / SERVED, (span.name,), ",", "replace"):
            if not header:
                header = [cell.strip() for cell in cells]
                if missing := [name for name in COLUMNS if header.count(name) != 1]:
                    yield f"{place} does not have the column {', '.join(missing)} once"
                    return
            elif any("\ufffd" in cell for cell in cells):
                yield f"{place}:{line} is not UTF-8"
            elif isinstance(cells, str) or len(cells) != len(header):
                yield f"{place}:{line} does not have {len(header)} cells"
            else:
                try:
                    yield _parse(dict(zip(header, map(str.strip, cells), strict=True)), span.name)
                except ValueError as error:
                    yield f"{place}:{line}: {error}"
    except DataRefused as error:
        yield f"{place}, from there to its end: {error.found.rstrip('.')}"


def _parse(row: Mapping[str, str], span: str) -> Answer:
    """Returns the answer in a row; raises ValueError if it is none."""
    for name in COLUMNS:
        # Labels and names of files have joiners and wide spaces, which are not printable to Python.
        is_text = name in ("example", "said")
        is_plain = not (row[name] and find_fault(row[name])) if is_text else row[name].isprintable()
        if len(row[name]) > _LONGEST or not is_plain:
            raise ValueError(f"{name} is longer than {_LONGEST} characters, or no plain text")
    if missing := [name for name in ("variant", "said", "device") if not row[name]]:
        raise ValueError(f"{missing[0]} is empty")
    version, score = row["version"], row["score"]
    if not (version.isdecimal() and version.isascii() and 0 < int(version) <= _LARGEST_VERSION):
        raise ValueError(f"version is {version!r}, not a version")
    try:
        probability = float(score)
    except ValueError:
        probability = -1.0
    if not 0 <= probability <= 1:
        raise ValueError(f"score is {score!r}, not a probability")
    if row["chosen"] not in _CHOSEN:
        raise ValueError(f"chosen is {row['chosen']!r}, not random, person or empty")
    return Answer(
        example=f"{span}/{row['example']}" if row["example"] else "",
        version=int(version),
        variant=row["variant"],
        said=row["said"],
        score=probability,
        at=parse_time(row["captured_at"]),
        device=row["device"],
        chosen=row["chosen"],  # type: ignore[arg-type]
    )
