"""Photos listed in a CSV or JSON Lines file that lies beside them."""

import json
import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from data.importers.bands import ONE_LABEL
from data.importers.source import Offers, RefusedPhoto, Source, check_split, clean_text, read_photo_within
from data.importers.table_file import TABLE, ColumnEntry, Role, TableFile, keep_table_file, read_table_file
from edgeline.errors import DataRefused
from edgeline.labels import NO_LABEL, format_count
from edgeline.records.columns import ISO
from edgeline.tables.rows import check_column_count, read_csv_rows, read_lines
from edgeline.tables.unpacking import PHOTO_SUFFIXES

SUFFIXES = frozenset((".csv", ".tsv", ".jsonl", ".ndjson"))
_PHOTO = ("photo", "image", "path", "file", "filename", "file_name", "image_path", "filepath")
# Each column's role in `table.yaml`, and its names without one, of which the first that is there counts.
_COLUMNS: Mapping[str, tuple[str, Sequence[str]]] = {
    "photo": (Role.PHOTO, _PHOTO),
    "label": (Role.LABEL, ("label", "class", "category")),
    "lane_id": (Role.LANE, ("lane_id", "lane")),
    "session_id": (Role.GROUP, ("session_id", "session")),
    "captured_at": (Role.TIME, ("captured_at",)),
    "split": (Role.SPLIT, ("split",)),
}
_KINDS: Mapping[type, str] = {list: "a list", tuple: "an object"}
_KNOWN_NAMES = frozenset(chain.from_iterable(names for _, names in _COLUMNS.values()))

# A line's number, and its cells by column, in lower case.
Record = tuple[int, Mapping[str, Any]]


def open_manifest(manifest: Path, domain: Collection[str], file: TableFile | None = None) -> Source:
    """Opens the photos that a manifest lists by paths relative to its folder.

    Args:
        manifest: A CSV file, or one with a line of JSON for each photo.
        domain: The known labels; of several columns of labels, the first with one counts, else the first.
        file: Says what the columns are if it has one of photos; else, and for None, their names do.

    Raises:
        DataRefused: It cannot be read as a manifest with columns for photo and label.
        UsageError: A label or a split cannot be used, or a lane, session or time holds a control character.
    """
    records = _read_records(manifest)
    columns = _find_columns(manifest, records, domain, file.columns if file else {})
    cells = [_read_cells(manifest, line, record, columns) for line, record in records]
    return Source(
        f"a manifest ({manifest.name}, {format_count(len(cells), 'row')})",
        _read_photos(manifest, cells),
        len(cells),
        searched=f"Missing photos were looked for in {manifest.parent} and its folder photos; the paths of"
        " others begin with their folder there, as in images/a.jpg.",
        columns=_describe_columns(records, columns),
    )


def inspect_manifest(manifest: Path, data_dir: Path) -> Iterator[str]:
    """Writes what the columns of a manifest are as `table.yaml`, unless it is there; yields sentences.

    Raises as `open_manifest` does.
    """
    file = read_table_file(data_dir)
    source = open_manifest(manifest, (), file)
    yield keep_table_file(data_dir, TableFile(source.columns, str(manifest)), file is None)
    for name, entry in source.columns.items():
        yield f"{name}: {entry.role}, as it {entry.reason}."


def _read_records(manifest: Path) -> list[Record]:
    lines = manifest.suffix.lower() in (".jsonl", ".ndjson")
    return list(_read_json(manifest) if lines else _read_csv(manifest))


def _list_names(records: Sequence[Record]) -> dict[str, None]:
    return dict.fromkeys(name for _, record in records for name in record)


def _describe_columns(records: Sequence[Record], columns: Mapping[str, str]) -> dict[str, ColumnEntry]:
    """Returns what each column of a manifest is; `columns` are its own names by ours."""
    entries = {
        name: ColumnEntry(Role.LEAVE_OUT, reason="is not read beside photos") for name in _list_names(records)
    }
    for column, own in columns.items():
        role, names = _COLUMNS[column]
        reason = "is called so" if own in names else "was named, or names photos"
        entries[own] = ColumnEntry(role, ISO if role == Role.TIME else "", reason=reason)
    return entries


def _read_csv(manifest: Path) -> Iterator[Record]:
    header = next(filter(str.strip, read_lines(manifest)), "")
    delimiter = max(",;\t", key=header.count)  # Excel writes ; where the comma is the decimal sign
    rows = read_csv_rows(manifest, (), delimiter)
    _, names = next(rows, (0, []))
    for line, cells in rows:
        if isinstance(cells, str) or len(cells) != len(names):
            counted = f"It has {format_count(len(cells), 'cell')}, but the header has {len(names)}."
            raise DataRefused(
                f"{manifest} line {line}: {cells if isinstance(cells, str) else counted}",
                "Its cells cannot be assigned to columns.",
                f"Quote cells that contain {delimiter!r}.",
            )
        yield line, _make_record(manifest, line, zip(names, cells, strict=True))


def _read_json(manifest: Path) -> Iterator[Record]:
    names = set[str]()
    for number, line in enumerate(read_lines(manifest), start=1):
        if not line.strip():
            continue
        try:
            # An object becomes a tuple of pairs, which shows repeated keys; numbers stay as written.
            pairs = json.loads(line, object_pairs_hook=tuple, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            pairs = None
        if not isinstance(pairs, tuple):
            raise DataRefused(
                f"{manifest} line {number} is not a JSON object.",
                "Each line describes one photo.",
                'Write lines like {"photo": "a.jpg", "label": "ok"}.',
            )
        record = _make_record(manifest, number, pairs)
        names.update(record)
        check_column_count(manifest, len(names))
        yield number, record


def _make_record(manifest: Path, line: int, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, value in pairs:
        name = name.strip().lower()
        if name in record and name in _KNOWN_NAMES:
            raise DataRefused(
                f"{manifest} line {line} has the column {name} twice.",
                "It is ambiguous which of them counts.",
                "Remove or rename one.",
            )
        record[name] = value
    return record


def _find_columns(
    manifest: Path, records: Sequence[Record], domain: Collection[str], entries: Mapping[str, ColumnEntry]
) -> dict[str, str]:
    """Returns the manifest's own name for each of our columns that it has: by its entry, or else its name."""
    present = _list_names(records)
    named = {entry.role: (entry.now or name).lower() for name, entry in entries.items()}
    columns = {column: named[role] for column, (role, _) in _COLUMNS.items() if named.get(role) in present}
    others = present.keys() - {name.lower() for name in entries}
    for column, (_, names) in _COLUMNS.items():
        if column not in columns and others & {*names}:
            columns[column] = next(name for name in names if name in others)
    photos = [name for name in present if name in others and _names_photos(records, name)]
    if photos:
        columns.setdefault("photo", photos[0])
    _check_columns(manifest, present, columns)

    if Role.LABEL not in named:
        labels = (name for name in _COLUMNS["label"][1] if _has_label(records, name, domain))
        columns["label"] = next(labels, columns["label"])
    return columns


def _check_columns(manifest: Path, present: Collection[str], columns: Collection[str]) -> None:
    missing = [column for column in ("photo", "label") if column not in columns]
    if missing:
        listed = (f"{column} ({', '.join(_COLUMNS[column][1])})" for column in missing)
        raise DataRefused(
            f"{manifest} has no column for the {' and the '.join(listed)}.",
            f"Its columns are {', '.join(map(ascii, present))}." if present else "It has no rows.",
            "Rename the columns that hold the path of the photo and its label, or give them these roles in"
            f" {TABLE} beside the spans. If its rows are learned from without photos, pass --label COLUMN.",
        )


def _has_label(records: Sequence[Record], name: str, domain: Collection[str]) -> bool:
    cells = (record.get(name) for _, record in records)
    return any(unicodedata.normalize("NFC", str(cell)).strip() in domain for cell in cells)


def _names_photos(records: Sequence[Record], name: str) -> bool:
    cells = [str(record.get(name) or "") for _, record in records]
    return any(cells) and all(not cell or Path(cell).suffix.lower() in PHOTO_SUFFIXES for cell in cells)


def _read_cells(
    manifest: Path, line: int, record: Mapping[str, Any], columns: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """Returns the place of a row, and its cells by our names of the columns."""
    cells = {}
    for column, own in columns.items():
        value = record.get(own)
        if not isinstance(value, str | bool | None):
            raise DataRefused(
                f"{manifest} line {line}: the {own} is {_KINDS.get(type(value), value)}.",
                ONE_LABEL if column == "label" else "It must be a text or a number.",
                "Fix that line.",
            )
        if column == "photo":
            cells[column] = str(value or "").strip()
        else:
            cell = clean_text(value, f"{manifest} line {line}: the {own}")
            # A lane or a shop may well be called NA.
            is_none = column in ("label", "session_id") and cell.lower() in NO_LABEL
            cells[column] = "" if is_none else cell
    check_split(cells.get("split", ""), f"{manifest} line {line}: the split")
    return f"{manifest.name} line {line}: {cells['photo']}", cells


def _read_photos(manifest: Path, rows: Sequence[tuple[str, Mapping[str, str]]]) -> Offers:
    for where, cells in rows:
        photo = cells["photo"]
        others = {name: cell for name, cell in cells.items() if name != "photo"}
        if cells["label"] and not photo:
            yield RefusedPhoto(where, "missing")
        else:
            # A manifest may come from Windows; no phone writes a backslash into a name.
            place = photo.replace("\\", "/")
            path = manifest.parent / place
            if not os.path.exists(path):  # in a span, photos lie beside labels.csv in a folder
                path = manifest.parent / "photos" / place
            yield read_photo_within(manifest.parent, path, where, name=photo, **others)
