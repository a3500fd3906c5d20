"""The files of a span of texts: rows of CSV or JSON lines, read as they are asked for.

DIR/span-00042/*.csv      columns text, label, optionally source and group, in any order among others
DIR/span-00042/*.jsonl    an object a line with the same names
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from data.spans.layout import Span
from data.spans.source import Rejected
from errors import DataRefused
from locations import Location, explained, filesystem, names_in

REQUIRED, OPTIONAL = ("text", "label"), ("source", "group")
_SUFFIXES = (".csv", ".jsonl")
# Of one line, and of one cell: a larger one is a quote that nobody closed, or no text file at all.
_MOST_LINE_BYTES = 64 * 2**20
_SHOWN = 300

Cells = tuple[str, Mapping[str, str]]


def text_files(span: Span) -> list[Location]:
    """The files of a span, sorted by name.

    Raises:
        DataRefused: There is none, or one is a folder.
    """
    names = sorted(name for name in names_in(span.path) if name.lower().endswith(_SUFFIXES))
    if not names:
        raise _refused(
            span,
            f"{span.path} holds no .csv and no .jsonl file.",
            "Texts are read from these.",
            "Write one with the columns text and label.",
        )
    files = [span.path / name for name in names]
    for file in files:
        if isinstance(file, Path) and not file.is_file():
            raise _refused(span, f"{file} is not a file.", "Texts cannot be read from it.", "Remove it.")
    return files


def read_rows(span: Span, file: Location) -> Iterator[Cells | Rejected]:
    """The rows of a file as (id, cells by name); the id has the line where the row begins.

    Raises:
        DataRefused: It is empty, is not UTF-8, lacks a column, or is not CSV.
    """
    read = _read_json_lines if file.name.lower().endswith(".jsonl") else _read_csv
    return read(span, file)


def _read_csv(span: Span, file: Location) -> Iterator[Cells | Rejected]:
    # The limit is one of the process; it is only ever raised here.
    csv.field_size_limit(max(csv.field_size_limit(), _MOST_LINE_BYTES))
    # Python 3.10 refuses a file for a NUL, later ones do not: as another control character it costs its row.
    reader = csv.reader((line.replace("\0", "\1") for line in _lines(span, file)), strict=True)
    try:
        header = [name.strip() for name in next(reader, ())]
        _check_columns(span, file, header)
        begins = reader.line_num + 1
        for cells in reader:
            row_id, begins = f"{file.name}:{begins}", reader.line_num + 1
            if len(cells) == len(header):
                yield row_id, dict(zip(header, cells, strict=True))
            elif cells:
                detail = f"It has {len(cells)} cells, and the header {len(header)}."
                yield Rejected(row_id, "ragged", detail, ",".join(cells)[:_SHOWN])
    except csv.Error as error:
        raise _refused(
            span,
            f"{file} line {reader.line_num} is not CSV ({error}).",
            "Where its cells and rows begin cannot be told.",
            "Close each quote, and write a quote inside a cell twice.",
        ) from None


def _read_json_lines(span: Span, file: Location) -> Iterator[Cells | Rejected]:
    first, empty = True, True
    for number, line in enumerate(_lines(span, file), start=1):
        if not line.strip():
            continue
        empty, row_id = False, f"{file.name}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            # The message of a JSON error names the place; its line is always 1.
            detail = f"The line is not JSON ({getattr(error, 'msg', 'nested too deeply')})."
            yield Rejected(row_id, "broken-line", detail, line[:_SHOWN])
            continue
        if not isinstance(row, dict):
            yield Rejected(row_id, "broken-line", "The line is not a JSON object.", line[:_SHOWN])
            continue
        if first:
            _check_columns(span, file, list(row))
            first = False
        cells = {name: _as_text(row.get(name)) for name in (*REQUIRED, *OPTIONAL)}
        if wrong := [name for name, cell in cells.items() if cell is None]:
            detail = f"{wrong[0]} is neither a text nor a whole number."
            yield Rejected(row_id, "broken-line", detail, line[:_SHOWN])
        else:
            yield row_id, {name: cell or "" for name, cell in cells.items()}
    if empty:
        _check_columns(span, file, [])


def _as_text(value: object) -> str | None:
    """A cell of a JSON value; labels are often numbers there. None where it can be none."""
    if value is None or isinstance(value, str):
        return value or ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _lines(span: Span, file: Location) -> Iterator[str]:
    """Lines with their ends, a byte order mark left out."""
    number, at = 0, 0
    with explained(file), _open(file) as stream:
        while raw := stream.readline(_MOST_LINE_BYTES + 1):
            number += 1
            if len(raw) > _MOST_LINE_BYTES:
                raise _refused(
                    span,
                    f"{file} line {number} has more than {_MOST_LINE_BYTES:,} bytes.",
                    "No text is so long.",
                    "Remove it, or end its lines with a newline.",
                )
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise _refused(
                    span,
                    f"{file} line {number} is not UTF-8 (byte {at + error.start}).",
                    "Its letters would be misread.",
                    "Save it as UTF-8.",
                ) from None
            at += len(raw)
            yield text.removeprefix("\ufeff") if number == 1 else text


def _open(file: Location) -> BinaryIO:
    if isinstance(file, Path):
        return file.open("rb")
    stream: BinaryIO = filesystem(file).open(file.path, "rb")
    return stream


def _check_columns(span: Span, file: Location, columns: list[str]) -> None:
    if not any(columns):
        raise _refused(
            span, f"{file} is empty.", "There is no text in it.", "Write it again, or remove the file."
        )
    if twice := [name for name in (*REQUIRED, *OPTIONAL) if columns.count(name) > 1]:
        raise _refused(
            span,
            f"{file} has the column {', '.join(twice)} twice.",
            "Which of them counts cannot be told.",
            "Remove or rename one.",
        )
    if missing := [name for name in REQUIRED if name not in columns]:
        raise _refused(
            span,
            f"{file} has no column {', '.join(missing)}; found: {', '.join(columns)[:_SHOWN]}.",
            "Each text needs a label.",
            f"Name the columns {' and '.join(REQUIRED)}.",
        )


def _refused(span: Span, found: str, why: str, do: str) -> DataRefused:
    return DataRefused(found, why, do, (span.name,))
