"""A CSV file of a span, read row by row: memory stays flat in its rows, from a disk and from a store."""

import csv
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from functools import partial

from data.spans.layout import Span
from errors import DataRefused
from locations import Location, explained, open_read

_MOST_LINE_BYTES = 2**20


def read_header(span: Span, path: Location, columns: Collection[str]) -> list[str]:
    """The names in the first line, in its order.

    Args:
        span: The span.
        path: One of its files.
        columns: What it must hold, in any order, and nothing else.

    Raises:
        DataRefused: The file is empty, has no row, or has other columns or one of them twice.
    """
    with closing(_raw_rows(span, path)) as rows:
        _, header = next(rows, (0, []))
        header = [name.strip() for name in header]
        if not header or next(rows, None) is None:
            raise _refused(
                span,
                f"{path} {'has a header and no row' if header else 'is empty'}.",
                "There is nothing in it to learn from.",
                "Remove the file, or write it again.",
            )
    expected = f"The header holds, in any order: {','.join(columns)}."
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise _refused(
            span,
            f"{path} has the column {', '.join(map(repr, twice))} twice.",
            "Which of them counts cannot be told.",
            expected,
        )
    missing = [name for name in columns if name not in header]
    unknown = [name for name in header if name not in columns]
    if missing or unknown:
        found = [f"lacks {', '.join(map(repr, missing))}"] if missing else []
        found += [f"has {', '.join(map(repr, unknown))}, which the workload does not know"] if unknown else []
        other = next((c for c in ";\t|" if len(header) == 1 and c in header[0]), "")
        why = f"Its cells are separated by {other!r}." if other else "The rows cannot be what was learned."
        raise _refused(span, f"{path} {' and '.join(found)}.", why, expected)
    return header


def read_rows(span: Span, path: Location, header: list[str]) -> Iterator[tuple[int, list[str] | str]]:
    """The rows below the header with their line numbers; a text says why a line has no cells.

    Raises:
        DataRefused: The file cannot be read, or not to its end.
    """
    rows = _raw_rows(span, path)
    next(rows)
    for line, cells in rows:
        if cells == header:
            raise _refused(
                span,
                f"{path} line {line} is its header again.",
                "Files were joined, and it is unknown what of them was meant.",
                "Write one file for each header, or remove that line.",
            )
        if cells:  # an empty line is no row
            yield line, cells


def count_rows(span: Span, path: Location) -> int:
    """The rows below the header. Raises as `read_rows` does."""
    return sum(1 for _, cells in _raw_rows(span, path) if cells) - 1


def _raw_rows(span: Span, path: Location) -> Generator[tuple[int, list[str] | str], None, None]:
    reader = csv.reader(_lines(span, path), strict=True)
    before = 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            # The reader goes on with the next line: rows are lost only where a quote ran over several.
            if 0 < before == reader.line_num - 1:
                before += 1
                yield before, f"It is not CSV ({error})."
                continue
            raise _refused(
                span,
                f"{path} line {before + 1} is not CSV ({error}).",
                "Where its cells end, and which rows follow it, cannot be told.",
                "Quote cells that hold a comma, and double the quotes inside them.",
            ) from None
        if cells is None:
            return
        before = reader.line_num
        yield before, cells


def _lines(span: Span, path: Location) -> Iterator[str]:
    """Decoded one by one, so that what is not UTF-8 has a line and a byte."""
    try:
        with explained(path), open_read(path) as file:
            for number, raw in enumerate(iter(partial(file.readline, _MOST_LINE_BYTES + 1), b""), 1):
                if len(raw) > _MOST_LINE_BYTES:
                    raise _refused(
                        span,
                        f"{path} line {number} has more than {_MOST_LINE_BYTES:,} bytes.",
                        "No row of a table is that long.",
                        "Write a row a line.",
                    )
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise _refused(
            span,
            f"{path} line {number} is not UTF-8 (byte {error.start + 1} of the line is"
            f" 0x{error.object[error.start]:02x}).",
            "The file has another encoding, or several.",
            "Save it as UTF-8.",
        ) from None
    except OSError as error:
        raise _refused(
            span, f"{path} cannot be read ({error.strerror or error}).", "", "Look at the file."
        ) from None


def _refused(span: Span, found: str, why: str, do: str) -> DataRefused:
    return DataRefused(found, why, do, (span.name,))
