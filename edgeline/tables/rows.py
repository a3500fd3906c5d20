"""Rows of CSV files and JSON lines, from a disk or a store, streamed in constant memory."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

from edgeline.errors import DataRefused, EdgelineError, UsageError
from edgeline.labels import format_count
from edgeline.records.rejection import Rejected
from edgeline.store.locations import Location, open_read
from edgeline.store.store_errors import explain_errors
from edgeline.tables.sheets import is_sheet, unmark_cell

# Limit for a line, a row and a cell: a larger one is an unclosed quote, or the file is not text.
_MOST_LINE_BYTES = 64 * 2**20
# Limits for the names of columns, which are looked at before anything is done for each column.
MOST_COLUMNS, _MOST_HEADER = 2_000, 4_000_000
_SHOWN = 300
# The first rows, whose values tell whether a text holds other rows, and whose keys, in JSON, are the columns:
# some leave out what they have no value for.
_FIRST_ROWS = 1_000
# A first line that tells Excel the separator; some programs quote it.
_FOR_EXCEL = re.compile(r'"?sep=[^"]"?[\r\n]*')

# A row's place, such as `readings.csv:17` with its first line, and its cells by column.
Cells = tuple[str, Mapping[str, str]]


def read_header(path: Location, spans: tuple[str, ...] = (), separator: str = ",") -> list[str]:
    """Returns the names of the columns in order: the first line, or the keys of the first JSON objects.

    Args:
        path: A file of JSON lines by its ending, else a CSV file.
        spans: Names of the spans of the file, which a refusal blames; empty for a file that is in none.
        separator: The character between cells of CSV; JSON lines have none.

    Raises:
        DataRefused: It is empty, or as `read_rows` does.
    """
    if is_json(path):
        objects = (row for _, _, row in _read_json_objects(path, spans) if isinstance(row, dict))
        keys = dict[str, None]()
        for row in islice(objects, _FIRST_ROWS):
            keys |= dict.fromkeys(row)
            check_column_count(path, len(keys), spans)
        header = list(keys)
    else:
        header = [name.strip() for name in next(read_csv_rows(path, spans, separator), (0, []))[1]]
    if not header:
        raise DataRefused(
            f"{path} is empty.",
            "There is nothing in it to learn from.",
            "Remove the file, or write it again.",
            spans,
        )
    return header


def check_column_count(where: object, count: int, spans: tuple[str, ...] = ()) -> None:
    """Refuses more columns than a table may have.

    Args:
        where: The table, as the first words of the message.
        count: The number of its columns, or of those that were found so far.
        spans: Names of the spans of the file, which a refusal blames; empty for a file that is in none.

    Raises:
        UsageError: There are too many, and the table is no file of spans.
        DataRefused: There are too many in a file of spans.
    """
    if count > MOST_COLUMNS:
        kind: type[EdgelineError] = DataRefused if spans else UsageError
        raise kind(
            f"{where} has {count:,} columns.",
            f"A table may have {MOST_COLUMNS:,} at most: each one is checked and learned separately.",
            "Select the ones that matter, or reduce them to sums, means or principal components.",
            spans,
        )


def check_once(where: object, header: Sequence[str], names: Sequence[str], spans: tuple[str, ...]) -> None:
    """Refuses a header that has one of `names` twice.

    Args:
        where: The table, as the first words of the message.
        header: The names of its columns, in order.
        names: The columns that are read; others may be there more than once.
        spans: Names of the spans of the file, which a refusal blames; empty for a file that is in none.

    Raises:
        DataRefused: One of them is there twice.
    """
    counts = Counter(header)
    if twice := [name for name in dict.fromkeys(names) if counts[name] > 1]:
        raise DataRefused(
            f"{where} has the column {', '.join(map(repr, twice))} twice.",
            "It is ambiguous which of them counts.",
            "Remove or rename one.",
            spans,
        )


def read_rows(
    path: Location, names: Sequence[str], spans: tuple[str, ...] = ()
) -> Iterator[Cells | Rejected]:
    """Yields the rows below the header, each with its cells by column.

    In JSON, a cell is a text, a whole number (`5.0` is read as `5`), `True` or `False`.

    Args:
        path: A file of JSON lines by its ending, else a CSV file with commas.
        names: The cells that a row of JSON lines has, empty where it lacks them; one of CSV has all cells.
        spans: Names of the spans of the file, which a refusal blames; empty for a file that is in none.

    Raises:
        DataRefused: The file cannot be read to its end, is not UTF-8 or not CSV, or repeats its header, or
            as `check_column_count` does.
    """
    if is_json(path):
        yield from read_json_rows(path, names, spans)
        return
    header, rows = open_csv(path, spans, ",")
    for item in rows:
        yield item if isinstance(item, Rejected) else (item[0], dict(zip(header, item[1], strict=True)))


def open_csv(
    path: Location, spans: tuple[str, ...], separator: str
) -> tuple[list[str], Iterator[tuple[str, list[str]] | Rejected]]:
    """Returns the header of a CSV file and its rows, each with its place.

    Args:
        path: The file, which is read while the rows are.
        spans: Names of the spans of the file, which a refusal blames; empty for a file that is in none.
        separator: The character between cells.

    Raises:
        DataRefused: As `read_rows` does, also while the rows are read.
    """
    rows = read_csv_rows(path, spans, separator)
    _, first = next(rows)
    assert not isinstance(first, str)
    return [name.strip() for name in first], _place_rows(path, first, rows, spans)


def _place_rows(
    path: Location, first: Sequence[str], rows: Iterator[tuple[int, list[str] | str]], spans: tuple[str, ...]
) -> Iterator[tuple[str, list[str]] | Rejected]:
    for line, cells in rows:
        place = f"{path.name}:{line}"
        if isinstance(cells, str):
            yield Rejected(place, "ragged", cells)
        elif cells == first:
            raise DataRefused(
                f"{path} line {line} repeats the header.",
                "Files were joined, and it is unclear which of their rows were meant.",
                "Write one file for each header, or remove that line.",
                spans,
            )
        elif len(cells) != len(first):
            detail = f"It has {format_count(len(cells), 'cell')}, but the header has {len(first)}."
            yield Rejected(place, "ragged", detail, ",".join(cells)[:_SHOWN])
        else:
            yield place, cells


def read_lines(path: Location, spans: tuple[str, ...] = (), errors: str = "strict") -> Iterator[str]:
    """Yields the lines of a file with their line ends, decoded one by one, without a byte order mark.

    A first line `sep=;`, which is for Excel, becomes an empty one.

    Args:
        path: The file, on a disk or in a store.
        spans: Names of the spans of the file, which a refusal blames; empty for a file that is in none.
        errors: What `bytes.decode` does with bytes that are not UTF-8: `strict`, `replace`, ...

    Raises:
        DataRefused: The file cannot be read, or a line is not UTF-8 or too long.
    """
    try:
        with explain_errors(path), open_read(path) as file:
            for number, raw in enumerate(iter(partial(file.readline, _MOST_LINE_BYTES + 1), b""), 1):
                if len(raw) > _MOST_LINE_BYTES:
                    raise DataRefused(
                        f"{path} line {number} has more than {_MOST_LINE_BYTES:,} bytes.",
                        "Longer lines are not read.",
                        "Write one row per line.",
                        spans,
                    )
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8", errors)
                yield "\n" if number == 1 and _FOR_EXCEL.fullmatch(line) else line
    except UnicodeDecodeError as error:
        raise DataRefused(
            f"{path} line {number} is not UTF-8 (byte {error.start + 1} of the line is"
            f" 0x{error.object[error.start]:02x}).",
            "The file has another encoding, or several.",
            "Save it as UTF-8.",
            spans,
        ) from None
    except OSError as error:
        raise DataRefused(
            f"{path} cannot be read ({error.strerror or error}).", "", "Check the file.", spans
        ) from None


def read_csv_rows(
    path: Location, spans: tuple[str, ...], separator: str
) -> Iterator[tuple[int, list[str] | str]]:
    """Yields the line number of each row that is not empty, and its cells or why it has none.

    The cells of a list of ours that a person filled in are as they were before it was written as a sheet.

    Args:
        path: The file, with the header as its first row.
        spans: Names of the spans of the file, which a refusal blames; empty for a file that is in none.
        separator: The character between cells.

    Raises:
        DataRefused: As `read_rows` does, but for a repeated header.
    """
    # The limit holds for the whole process; it is only ever raised here.
    csv.field_size_limit(max(csv.field_size_limit(), _MOST_LINE_BYTES))
    begins, size, most, line = 1, 0, _MOST_HEADER, ""

    def read_bounded_lines() -> Iterator[str]:
        nonlocal line, size
        for line in read_lines(path, spans):
            size += len(line)
            if size > most:
                raise DataRefused(
                    f"The row that begins in line {begins} of {path} has more than {most:,} characters.",
                    "Longer rows are not read; a quote that is not closed makes one row of many lines.",
                    "Close the quote, or write one row per line, the first with the names of the columns.",
                    spans,
                )
            # Python 3.10 refuses a file with a NUL, later versions do not; as \1 it costs only its row.
            yield line.replace("\0", "\1")

    reader = csv.reader(read_bounded_lines(), delimiter=separator, strict=True, skipinitialspace=True)
    first_rows = list[list[str]]()
    is_marked = False
    while True:
        begins, size = reader.line_num + 1, 0
        try:
            cells = next(reader, None)
        except csv.Error as error:
            # The reader continues with the next line, so rows are lost only if a quote spans several lines.
            if 1 < begins == reader.line_num:
                escaped = r" It has \" in place of two quotes." if r"\"" in line else ""
                yield begins, f"It is not CSV ({error}).{escaped}"
                continue
            raise DataRefused(
                f"{path} line {begins} is not CSV ({error}).",
                "The end of its cells is ambiguous, and so are the rows that follow.",
                f"Quote cells that contain {separator!r}, and double the quotes inside them.",
                spans,
            ) from None
        if cells is None:
            return
        if cells and not first_rows:
            check_column_count(path, len(cells), spans)
            most = _MOST_LINE_BYTES
            is_marked = is_sheet(cells)
        if is_marked:
            cells = list(map(unmark_cell, cells))
        if first_rows and reader.line_num > begins + 2 and _swallows_rows(cells, first_rows, separator):
            raise DataRefused(
                f"{path} line {begins} has a quote that ends only in line {reader.line_num}.",
                "The lines between them look like rows, which would be lost as the text of one cell.",
                "Close the quote, or double each quote that is part of a text and quote its cell.",
                spans,
            )
        if cells:
            if begins < _FIRST_ROWS:
                first_rows.append(cells)
            yield begins, cells


def _swallows_rows(cells: Sequence[str], first_rows: Sequence[Sequence[str]], separator: str) -> bool:
    """Returns whether the lines of a row are rows themselves, as those between two stray quotes are.

    Lines of code, prices or tables within a text may have as many separators as a row; but most of them do
    not have a value in a column that other rows have there, as rows have their label.
    """
    inner = [line.split(separator) for line in separator.join(cells).split("\n")[1:-1]]
    width = len(first_rows[0])
    rows = [row for row in inner if len(row) == width]
    if width < 2 or not rows:
        return False
    for column in range(width):
        values = {row[column][:_SHOWN] for row in first_rows if column < len(row)}
        if 2 * sum(row[column].strip() in values for row in rows if row[column].strip()) > len(inner):
            return True
    return False


def read_json_rows(
    path: Location, names: Sequence[str], spans: tuple[str, ...], any_json: bool = False
) -> Iterator[Cells | Rejected]:
    """Yields the rows of JSON lines as `read_rows` does.

    Args:
        path: The file, of an object a line.
        names: The keys whose values are the cells of a row; a cell is empty where the object lacks its key.
        spans: Names of the spans of the file, which a refusal blames; empty for a file that is in none.
        any_json: Writes a value that is no cell, such as a list, as JSON; else its row is rejected.

    Raises:
        DataRefused: As `read_lines` does.
    """
    for number, line, row in _read_json_objects(path, spans):
        place, problem = f"{path.name}:{number}", row
        if isinstance(row, dict):
            cells = {name: _format_cell(row.get(name)) for name in names}
            if any_json:
                cells = {name: json.dumps(row[name]) if c is None else c for name, c in cells.items()}
            wrong = next((name for name, cell in cells.items() if cell is None), None)
            if wrong is None:
                yield place, {name: cell or "" for name, cell in cells.items()}
                continue
            problem = f"{wrong} is neither a text nor a whole number."
        yield Rejected(place, "broken-line", str(problem), line[:_SHOWN])


def _read_json_objects(
    path: Location, spans: tuple[str, ...]
) -> Iterator[tuple[int, str, dict[str, object] | str]]:
    """Yields the number and text of each line that is not empty, and its object or what is wrong with it."""
    for number, line in enumerate(read_lines(path, spans), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            # `str(error)` would add a place, in which the line is always 1.
            yield number, line, f"The line is not JSON ({getattr(error, 'msg', 'nested too deeply')})."
        else:
            yield number, line, row if isinstance(row, dict) else "The line is not a JSON object."


def _format_cell(value: object) -> str | None:
    """Formats a JSON value as a cell, None if it cannot be one; labels are often numbers there."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) else None  # True as Parquet and databases have it


def is_json(path: Location) -> bool:
    """Returns whether a file has JSON lines."""
    return path.name.lower().endswith((".jsonl", ".ndjson"))
