"""Rows whose cells have types, of a Parquet file, workbook or database, as a CSV that is read like any other.

The types of the columns are kept beside it: number, time, boolean or text, where all cells of one are that.

A query is run once, and its rows are written before any is looked at: an import reads rows twice, and a
database may change in between.
"""

import csv
import math
import os
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING

from data.photos.decoder_process import DecoderProcess
from data.spans.rejection import RowRejected
from data.spans.rows import check_once
from errors import DataRefused, EdgelineError, UsageError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_ROWS_A_TIME = 10_000
_SECONDS, _GIGABYTES = 300, 8  # of a workbook, which is read whole
# What a query begins with, behind comments and brackets.
_READS = re.compile(r"(\s|\(|--[^\n]*(\n|$)|/\*.*?\*/)*(select|with)\b", re.IGNORECASE | re.DOTALL)
_DRIVERS: Mapping[str, str] = {"psycopg": "psycopg[binary]", "MySQLdb": "mysqlclient"}


def write_parquet(src: Path, target: Path) -> dict[str, str]:
    """Writes the rows of a Parquet file, and returns the types of its columns.

    Raises:
        DataRefused: It cannot be read, or has a column twice.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with closing(pyarrow.parquet.ParquetFile(src)) as file:
            batches = file.iter_batches(_ROWS_A_TIME)
            rows = (row.values() for batch in batches for row in batch.to_pylist())
            return _write(src, target, file.schema_arrow.names, rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataRefused(f"{src} cannot be read: {error}", "It is no Parquet file.", "Fix it.") from None


def write_workbook(src: Path, target: Path, columns: Collection[str], sheet: str) -> dict[str, str]:
    """Writes the rows of a sheet: the only one with rows, the only one with these columns, or the named one.

    Returns:
        The types of its columns. Text is none: people keep numbers and dates as text in workbooks.

    Raises:
        UsageError: Which sheet is meant cannot be told.
        DataRefused: It cannot be read, or has no rows.
    """
    try:
        with closing(DecoderProcess(partial(_read_sheets, sheet=sheet), _SECONDS, _GIGABYTES)) as read:
            known, filled = read(os.fsencode(src))
    except (OSError, ValueError, RowRejected) as error:
        raise DataRefused(
            f"{src} cannot be read: {error.detail if isinstance(error, RowRejected) else error}",
            "It is no workbook, damaged, too large, or locked by a password.",
            "Open it in a spreadsheet, and save its table as .xlsx or CSV.",
        ) from None
    fitting = [name for name, rows in filled.items() if {*columns} <= {*_header(rows[0])}]
    names = fitting if len(fitting) == 1 else list(filled)
    if len(names) > 1 or (sheet and not names):
        raise UsageError(
            f"{src} has the sheets {', '.join(names or known)}.",
            f"{sheet} is none with rows." if sheet else "Which of them is the table cannot be told.",
            f"Name one: --sheet {shlex.quote((names or known)[0])}",
        )
    if not names:
        raise DataRefused(f"{src} has no row.", "There is nothing to learn from.", "Give one with rows.")
    header, *rows = filled[names[0]]
    cells = (
        [None if cell == "" else cell for cell in row] for row in rows if any(cell != "" for cell in row)
    )
    types = _write(src, target, _header(header), cells)
    return {name: kind for name, kind in types.items() if kind != "text"}


def _read_sheets(path: bytes, sheet: str) -> tuple[list[str], Mapping[str, Sequence[Sequence[object]]]]:
    """Reads the names of all sheets, and the rows of those that have some, or of the named one.

    It has a process of its own: of a damaged workbook the reader's Rust panics, and prints that; one cell in
    the last row and column of a sheet takes more memory than there is.

    Raises:
        ValueError: It cannot be read.
    """
    from python_calamine import CalamineWorkbook

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    try:
        with open(path, "rb") as file, CalamineWorkbook.from_filelike(file) as book:
            names = [name for name in book.sheet_names if sheet in ("", name)]
            sheets = {name: book.get_sheet_by_name(name).to_python() for name in names}
            return book.sheet_names, {name: rows for name, rows in sheets.items() if len(rows) > 1}
    except BaseException as error:  # which a panic is
        raise ValueError(f"{error}.") from None


def _header(row: Sequence[object]) -> list[str]:
    return [_as_text(cell).strip() for cell in row]


def write_query(address: str, query: str, target: Path) -> tuple[str, dict[str, str]]:
    """Writes what a query finds in the database of a URL, streamed: memory is flat in its rows.

    Returns:
        The URL without password and options, and the types of the columns.

    Raises:
        UsageError: The URL is none, its driver is not installed, or the query does not only read, or fails.
        EdgelineError: The database cannot be reached.
        DataRefused: Two columns of it have one name.
    """
    from sqlalchemy import create_engine, exc

    if not _READS.match(query):
        raise UsageError(
            f"The query begins with {' '.join(query.split())[:30]!r}.",
            "An import only reads: it takes one SELECT, or WITH ... SELECT.",
            "Give such a query.",
        )
    url = _parse(address)
    shown = url.set(query={}).render_as_string(hide_password=True)
    try:
        engine = create_engine(_read_only(url))
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
        raise _failed(url, f"{shown} cannot be opened", error, do, EdgelineError) from None
    try:
        with connection:
            # Nothing in the query stands for a parameter: neither `%` nor `:name`.
            options = {"stream_results": True, "yield_per": _ROWS_A_TIME, "no_parameters": True}
            if engine.dialect.name == "postgresql":
                options["postgresql_readonly"] = True
            found = connection.execution_options(**options).exec_driver_sql(query.rstrip().rstrip(";"))
            return shown, _write(shown, target, list(found.keys()), found)
    except (exc.SQLAlchemyError, engine.dialect.loaded_dbapi.Warning) as error:
        do = "Try it with the database's own client; a view or CAST helps where a type cannot be read."
        raise _failed(url, f"The query failed on {shown}", error, do, UsageError) from None
    finally:
        engine.dispose()


def _parse(address: str) -> "URL":
    from sqlalchemy import exc
    from sqlalchemy.engine import make_url

    try:
        url = make_url(address)
        if "@" in (url.host or ""):  # the end of a password that holds one
            raise ValueError
        return url
    except (exc.ArgumentError, ValueError):  # whose message may hold the password
        raise UsageError(
            "The URL of the database cannot be understood.",
            "It is DIALECT://USER:PASSWORD@HOST:PORT/NAME, or sqlite:///FILE; `@`, `:` and `/` in a password"
            " are written as %40, %3A and %2F.",
            "Correct it.",
        ) from None


def _read_only(url: "URL") -> "URL":
    """Of SQLite, which would otherwise make a file that is not there."""
    from urllib.parse import quote

    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return url
    name = str(url.database)
    name = name if name.startswith("file:") else f"file:{quote(name)}"
    return url.set(database=name, query={**url.query, "mode": "ro", "uri": "true"})


def _failed(url: "URL", what: str, error: Exception, do: str, kind: type[EdgelineError]) -> EdgelineError:
    said = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
    for secret in (url.password, *(value for key, value in url.query.items() if "pass" in key)):
        said = said.replace(str(secret), "***") if secret else said
    return kind(f"{what}: {said.rstrip('.')}.", "The database, or its driver, said so.", do)


def _write(
    where: object, target: Path, names: Sequence[str], rows: Iterable[Sequence[object]]
) -> dict[str, str]:
    """Writes the rows, and returns the types of those columns whose cells all have one."""
    check_once(where, names, [name for name in names if name], ())
    seen = [set[type]() for _ in names]
    with target.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in rows:
            for kinds, value in zip(seen, row, strict=True):
                kinds.add(type(value))
            writer.writerow([_as_text(value) for value in row])
    types = dict[str, str]()
    for name, kinds in zip(names, seen, strict=True):
        found = {_type_of(kind) for kind in kinds - {NoneType}}
        if len(found) == 1:
            types[name] = found.pop()
    return types


def _type_of(kind: type) -> str:
    if issubclass(kind, bool):
        return "boolean"
    if issubclass(kind, (int, float, Decimal)):
        return "number"
    return "time" if issubclass(kind, date) else "text"


def _as_text(value: object) -> str:
    """A cell; whole numbers of a column that lacks some come as floats, and times with a zone in UTC."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, datetime):  # a pandas.Timestamp, which Parquet may give, is one
        if value != value:
            return ""
        return (value.astimezone(timezone.utc) if value.tzinfo else value).isoformat()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
