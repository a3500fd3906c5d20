"""Photos listed in a CSV or JSON Lines file that lies beside them."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data.import_source import Found, Offers, Refused, Source, clean_label, read_within
from errors import DataRefused

SUFFIXES = frozenset((".csv", ".tsv", ".jsonl", ".ndjson"))
# Names that a column may have, the first that is there counts.
_NAMES = {
    "photo": ("photo", "image", "path", "file", "filename", "file_name", "image_path", "filepath"),
    "label": ("label", "class", "category"),
    "lane_id": ("lane_id", "lane"),
    "session_id": ("session_id", "session"),
    "captured_at": ("captured_at",),
}

Record = tuple[int, Mapping[str, Any]]


def manifest_source(manifest: Path) -> Source:
    """The photos that a manifest lists, by paths relative to its folder.

    Raises:
        DataRefused: It is no such file, or has no column for the photo or the label.
    """
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataRefused(
            f"{manifest} cannot be read ({error}).", "A manifest is UTF-8 text.", "Save it as UTF-8."
        ) from None
    lines = manifest.suffix.lower() in (".jsonl", ".ndjson")
    records = list(_json_records(manifest, text) if lines else _csv_records(manifest, text))
    columns = _columns(manifest, records)
    layout = f"a manifest ({manifest.name}, {len(records)} rows)"
    return Source(layout, _offers(manifest, records, columns), len(records))


def _csv_records(manifest: Path, text: str) -> Iterator[Record]:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)  # Excel writes ; where the comma is the decimal sign
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise DataRefused(
                    f"{manifest} line {reader.line_num} does not have as many cells as its header.",
                    "Its cells cannot be told apart.",
                    f"Quote cells that hold {delimiter!r}.",
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise DataRefused(
            f"{manifest} line {reader.reader.line_num} is not CSV ({error}).",
            "It cannot be read.",
            "Mend that line.",
        ) from None


def _json_records(manifest: Path, text: str) -> Iterator[Record]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise DataRefused(
                f"{manifest} line {number} is not a JSON object.",
                "Each line describes one photo.",
                'A line looks like {"photo": "a.jpg", "label": "ok"}.',
            )
        yield number, record


def _columns(manifest: Path, records: Iterable[Record]) -> dict[str, str]:
    """The manifest's own name of each column that it has."""
    present = {name.strip().lower(): name for _, record in records for name in record}
    found = {
        column: next(present[name] for name in names if name in present)
        for column, names in _NAMES.items()
        if present.keys() & set(names)
    }
    missing = [
        f"{column} ({', '.join(_NAMES[column])})" for column in ("photo", "label") if column not in found
    ]
    if missing:
        raise DataRefused(
            f"{manifest} has no column for the {' and the '.join(missing)}.",
            f"Its columns are {', '.join(present.values()) or 'none: it has no rows'}.",
            "Rename the columns that hold the path of the photo and its label.",
        )
    return found


def _offers(manifest: Path, records: Iterable[Record], columns: Mapping[str, str]) -> Offers:
    for line, record in records:
        cells = {
            name: "" if (cell := record.get(own)) is None else str(cell).strip()
            for name, own in columns.items()
        }
        photo, label = cells.pop("photo"), clean_label(cells.pop("label"))
        where = f"{manifest.name} line {line}: {photo}"
        if not label:
            yield Refused(where, "unlabelled")
        elif not photo or "\0" in photo:
            yield Refused(where, "missing")
        else:
            # A manifest made on Windows; no phone writes a backslash into a name.
            read = read_within(manifest.parent / photo.replace("\\", "/"), manifest.parent)
            if isinstance(read, str):
                yield Refused(where, read)
            else:
                data, modified = read
                yield Found(where, data, modified, label, **cells)
