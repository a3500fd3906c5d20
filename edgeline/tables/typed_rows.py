"""Conversion of Parquet, TFRecords, a workbook or a query's rows to a CSV that is read like any other.

The type of each column is returned if all of its cells agree: number, time, boolean, text, or one of those
that no model reads.

A query runs once, and all its rows are written before they are read: an import reads rows twice, and the
database may change in between.
"""

import csv
import math
import os
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from edgeline.errors import DataRefused, EdgelineError, UsageError
from edgeline.records.columns import MISSING
from edgeline.records.examples import read_examples
from edgeline.records.features import list_values
from edgeline.records.rejection import RowRejected
from edgeline.store.locations import add_path_to_errors
from edgeline.tables.decoder_process import DecoderProcess
from edgeline.tables.merged_cells import Range, find_merged_cells
from edgeline.tables.rows import MOST_COLUMNS, check_column_count

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from sqlalchemy.engine import URL

_ROWS_A_BATCH = 10_000
_MOST_RECORD_BYTES = 2**26
_SECONDS, _GIGABYTES = 300, 8  # for a workbook, which is read whole
# The beginning of a query that only reads, after comments and brackets.
_SELECT = re.compile(r"(\s|\(|--[^\n]*(\n|$)|/\*.*?\*/)*(select|with)\b", re.IGNORECASE | re.DOTALL)
# Types of cells, the first of which counts, with their names; all others are texts.
_TYPES: Sequence[tuple[type | tuple[type, ...], str]] = (
    (bool, "boolean"),
    ((int, float, Decimal, time, timedelta), "number"),
    (date, "time"),
    (list, "lists"),
    (dict, "structures"),
    (bytes, "bytes that are no text"),
)
NO_CELLS = ("lists", "structures", "bytes that are no text")
_DRIVERS: Mapping[str, str] = {"psycopg": "psycopg[binary]", "MySQLdb": "mysqlclient"}


def write_parquet(src: Path, target: Path) -> dict[str, str]:
    """Writes the rows of a Parquet file as CSV, and returns the types of its columns.

    Raises UsageError if it has too many columns, or photos, as Hugging Face writes them, and at most their
    labels beside them, and DataRefused if the file cannot be read.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with closing(pyarrow.parquet.ParquetFile(src)) as file:
            check_column_count(src, len(file.schema_arrow))
            photos = [
                column.name
                for column in file.schema_arrow
                if pyarrow.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0
            ]
            if photos and len(file.schema_arrow) <= len(photos) + 1:
                raise UsageError(
                    f"{src} has photos in its column {photos[0]}.",
                    "Photos are read from a folder.",
                    "Write the bytes of each to a file in a folder of its class; pass the folder of these.",
                )
            batches = file.iter_batches(_ROWS_A_BATCH)
            rows = (list(row.values()) for batch in batches for row in _list_rows(batch))
            return _write_csv(src, target, file.schema_arrow.names, rows)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        if getattr(error, "filename", None) == str(target):  # its disk is full
            raise
        why, do = "It is not a Parquet file, or it is damaged.", "Write it again."
        if "LogicalType" in str(error):
            why = "Types that Parquet got later, such as float16, are not read."
            do = "Write it again with float32 instead of float16, and texts instead of other new types."
        raise DataRefused(f"{src} cannot be read: {str(error).rstrip('.')}.", why, do) from None


def _list_rows(batch: "RecordBatch") -> list[Any]:
    """Returns the rows of a batch; where a time is beyond the years of Python's, all its times are texts."""
    import pyarrow

    try:
        rows: list[Any] = batch.to_pylist()
    except (OverflowError, ValueError):
        columns = list(batch.columns)
        for number, column in enumerate(columns):
            if pyarrow.types.is_timestamp(column.type) or pyarrow.types.is_date(column.type):
                columns[number] = column.cast(pyarrow.string())
        rows = pyarrow.RecordBatch.from_arrays(columns, batch.schema.names).to_pylist()
    return rows


def write_records(src: Path, target: Path) -> dict[str, str]:
    """Writes the examples of a TFRecord file as CSV, a column for each feature, and returns their types.

    A feature with the same number of values in all examples that have it becomes a column for each of them.

    Raises UsageError if there are too many columns, and DataRefused if the file cannot be read.
    """
    counts = dict[str, set[int]]()
    for _, features in read_examples(src, _MOST_RECORD_BYTES):
        for name in features:
            values = list_values(features[name])
            counts.setdefault(name, set()).update([len(values)] if values else [])
    # The number of values of a feature; 0 if it varies.
    widths = {name: lengths.pop() if len(lengths) == 1 else 0 for name, lengths in sorted(counts.items())}
    columns = list[str]()
    for name, width in widths.items():
        columns += [f"{name}_{number + 1}" for number in range(width)] if width > 1 else [name]
        check_column_count(src, len(columns))

    def list_cells() -> Iterator[list[object]]:
        for _, features in read_examples(src, _MOST_RECORD_BYTES):
            cells = list[object]()
            for name, width in widths.items():
                values = list_values(features[name]) if name in features else []
                if width:
                    cells += values or [None] * width
                else:
                    cells.append(values or None)
            yield cells

    return _write_csv(src, target, columns, list_cells())


def write_workbook(src: Path, target: Path, columns: Collection[str], sheet: str) -> dict[str, str]:
    """Writes the rows of a sheet: the named one, or the only one with rows or with these columns.

    People keep numbers and dates as text in workbooks.

    Args:
        src: An .xlsx, .xls or .ods file, which is read whole in a process of its own.
        target: The CSV file that is written.
        columns: Those that the table should have, by which its sheet is found; empty if that is not known.
        sheet: The name of the sheet; empty if a person named none.

    Returns:
        The types of the columns, without text.

    Raises:
        UsageError: Several sheets fit, the named one has no rows, or it has too many columns.
        DataRefused: The workbook cannot be read, or has no rows.
    """
    try:
        with closing(DecoderProcess(partial(_read_sheets, sheet=sheet), _SECONDS, _GIGABYTES)) as decode:
            sheets, filled = decode(os.fsencode(src.absolute()))  # the process has another working directory
    except (OSError, ValueError, RowRejected) as error:
        raise DataRefused(
            f"{src} cannot be read: {error.detail if isinstance(error, RowRejected) else error}",
            "It is not a workbook, or it is damaged, too large or password-protected.",
            "Open it in a spreadsheet, and save its table as .xlsx or CSV.",
        ) from None
    fitting = [name for name, rows in filled.items() if {*columns} <= {*_read_header(rows[0])}]
    names = fitting if len(fitting) == 1 else list(filled)
    if len(names) > 1 or (sheet and not names):
        raise UsageError(
            f"{src} has the sheets {', '.join(names or sheets)}.",
            f"The sheet {sheet} is missing or empty." if sheet else "It is ambiguous which is the table.",
            f"Name one for an import: --sheet {shlex.quote((names or sheets)[0])}."
            " Else save it as a file of its own.",
        )
    if not names:
        why, do = "There is nothing to learn from.", "Pass a workbook with rows."
        raise DataRefused(f"{src} has no rows.", why, do)
    header, *rows = filled[names[0]]
    # Empty rows stay as empty lines, so that a row has its number of the sheet.
    cells = (
        [None if cell == "" else cell for cell in row] if any(cell != "" for cell in row) else []
        for row in rows
    )
    types = _write_csv(src, target, _read_header(header), cells)
    return {name: kind for name, kind in types.items() if kind != "text"}


def _read_sheets(path: bytes, sheet: str) -> tuple[list[str], Mapping[str, Sequence[Sequence[object]]]]:
    """Reads the names of all sheets, and the rows of the sheets that have some, or of the named one.

    Of a sheet with too many columns, two rows are read. It runs in a process of its own: the reader's Rust
    code panics on a damaged workbook and prints the panic, and a cell in the last row and column of a sheet
    takes more memory than the machine has. Raises ValueError if the workbook cannot be read.
    """
    from python_calamine import CalamineWorkbook

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    try:
        with open(path, "rb") as file, CalamineWorkbook.from_filelike(file) as book:
            names = [name for name in book.sheet_names if sheet in ("", name)]
            sheets = [book.get_sheet_by_name(name) for name in names]
            merged = find_merged_cells(path)
            rows = [_read_sheet(sheet, merged.get(sheet.name, ())) for sheet in sheets]
            filled = {name: of_sheet for name, of_sheet in zip(names, rows, strict=True) if len(of_sheet) > 1}
            return book.sheet_names, filled
    except BaseException as error:  # a panic is no Exception
        raise ValueError(f"{error}.") from None


def _read_sheet(sheet: Any, merged: Sequence[Range]) -> list[list[object]]:
    """Returns the rows of a sheet; below the first one, each of merged cells has the value of all.

    `merged` are the ranges of merged cells that python-calamine does not know.
    """
    if sheet.width > MOST_COLUMNS:
        return list(sheet.to_python(nrows=2))
    rows: list[list[object]] = sheet.to_python()
    top, left = sheet.start or (0, 0)
    for (first, begin), (last, end) in getattr(sheet, "merged_cell_ranges", None) or merged:
        height, column = first - top, begin - left
        # Empty cells beyond those that are filled may be merged too.
        if 0 < height < len(rows) and 0 <= column < len(rows[height]):
            value = rows[height][column]
            for row in rows[height : last - top + 1]:
                stop = min(end - left + 1, len(row))
                row[column:stop] = [value] * (stop - column)
    return rows


def _read_header(row: Sequence[object]) -> list[str]:
    return [_format_cell(cell).strip() for cell in row]


def write_query(address: str, query: str, target: Path) -> tuple[str, dict[str, str]]:
    """Writes the rows of a query on the database of a URL as CSV; they are streamed in constant memory.

    Args:
        address: The URL as SQLAlchemy reads it, with the password if there is one.
        query: One SELECT, or WITH ... SELECT, without parameters: `%` and `:name` are meant literally.
        target: The CSV file that is written.

    Returns:
        The URL without password and options, and the types of the columns.

    Raises:
        UsageError: The URL is invalid, its driver is not installed, or the query is no SELECT, fails or has
            too many columns.
        EdgelineError: The database cannot be reached.
    """
    from sqlalchemy import create_engine, exc

    if not _SELECT.match(query):
        raise UsageError(
            f"The query begins with {' '.join(query.split())[:30]!r}.",
            "An import only reads: it takes one SELECT, or WITH ... SELECT.",
            "Pass such a query.",
        )
    url = _parse_url(address)
    shown = url.set(query={}).render_as_string(hide_password=True)
    try:
        engine = create_engine(_make_read_only(url))
        connection = engine.connect()
    except (exc.NoSuchModuleError, ImportError) as error:
        missing = getattr(error, "name", None)
        install = f"pip install '{_DRIVERS.get(missing, missing)}'" if missing else "see sqlalchemy.org"
        raise UsageError(
            f"{shown} cannot be opened: {error}.",
            "The driver of that database is not installed here.",
            f"Install it: {install}. For PostgreSQL write postgresql+psycopg://, which needs psycopg.",
        ) from None
    except (exc.SQLAlchemyError, TypeError, ValueError) as error:
        do = "Check host, port, name, user and password with the database's own client."
        raise _make_error(url, f"{shown} cannot be opened", error, do, EdgelineError) from None
    try:
        with connection:
            # The query has no parameters: `%` and `:name` in it are meant literally.
            options = {"stream_results": True, "yield_per": _ROWS_A_BATCH, "no_parameters": True}
            if engine.dialect.name == "postgresql":
                options["postgresql_readonly"] = True
            rows = connection.execution_options(**options).exec_driver_sql(query.rstrip().rstrip(";"))
            return shown, _write_csv(shown, target, list(rows.keys()), rows)
    except (exc.SQLAlchemyError, engine.dialect.loaded_dbapi.Warning) as error:
        do = "Try it with the database's own client; a view or CAST helps where a type cannot be read."
        raise _make_error(url, f"The query failed on {shown}", error, do, UsageError) from None
    finally:
        engine.dispose()


def _parse_url(address: str) -> "URL":
    from sqlalchemy import exc
    from sqlalchemy.engine import make_url

    try:
        url = make_url(address)
        if "@" in (url.host or ""):  # a password with an @ was cut there
            raise ValueError
        return url
    except (exc.ArgumentError, ValueError):  # the error's own message may hold the password
        raise UsageError(
            "The URL of the database cannot be parsed.",
            "Its form is DIALECT://USER:PASSWORD@HOST:PORT/NAME, or sqlite:///FILE; `@`, `:` and `/` in a"
            " password are written as %40, %3A and %2F.",
            "Correct it.",
        ) from None


def _make_read_only(url: "URL") -> "URL":
    """Returns the URL of an SQLite database as read-only, since SQLite creates a file that is missing."""
    from urllib.parse import quote

    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return url
    name = str(url.database)
    name = name if name.startswith("file:") else f"file:{quote(name)}"
    return url.set(database=name, query={**url.query, "mode": "ro", "uri": "true"})


def _make_error(url: "URL", what: str, error: Exception, do: str, kind: type[EdgelineError]) -> EdgelineError:
    message = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
    for secret in (url.password, *(value for key, value in url.query.items() if "pass" in key)):
        message = message.replace(str(secret), "***") if secret else message
    return kind(f"{what}: {message.rstrip('.')}.", "The database or its driver reported this.", do)


def _write_csv(
    where: object, target: Path, names: Sequence[str], rows: Iterable[Sequence[object]]
) -> dict[str, str]:
    """Writes the rows as CSV, and returns the type of each column whose filled cells all have the same."""
    check_column_count(where, len(names))
    types_seen = [set[type]() for _ in names]
    with add_path_to_errors(target), target.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for values in rows:
            if not values:
                writer.writerow([])
                continue
            row = [_decode_bytes(value) if isinstance(value, bytes) else value for value in values]
            for kinds, value in zip(types_seen, row, strict=True):
                if not (isinstance(value, str) and value.strip().lower() in MISSING):
                    kinds.add(type(value))
            # Python 3.10 cannot write a NUL; another control character costs its row as well.
            writer.writerow([_format_cell(value).replace("\0", "\1") for value in row])

    types = dict[str, str]()
    for name, kinds in zip(names, types_seen, strict=True):
        type_names = {_name_type(kind) for kind in kinds - {NoneType}}
        if len(type_names) == 1:
            types[name] = type_names.pop()
    return types


def _decode_bytes(value: bytes) -> str | bytes:
    """Returns bytes as the text that they are in UTF-8, if they are one."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _name_type(kind: type) -> str:
    return next((name for types, name in _TYPES if issubclass(kind, types)), "text")


def _format_cell(value: object) -> str:
    """Formats a cell; whole floats lose their point (a gap makes a column float), zoned times become UTC."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | dict):  # no cell of a table
        return ""
    if isinstance(value, time):
        value = datetime.combine(date.min, value.replace(tzinfo=None)) - datetime.min
    if isinstance(value, timedelta):  # seconds, or those since midnight
        value = value.total_seconds()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, datetime):  # a pandas.Timestamp, which Parquet may give, is one
        if value != value:
            return ""
        return (value.astimezone(timezone.utc) if value.tzinfo else value).isoformat()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
