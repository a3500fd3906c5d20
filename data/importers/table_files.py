"""Opens a table or texts that a person has: a file, or what a query finds in a database."""

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice, pairwise
from pathlib import Path

from data.importers.typed_rows import write_parquet, write_query, write_workbook
from data.importers.unpacking import as_utf8, unpack_table
from data.spans.rows import read_header, read_lines, read_rows
from data.spans.source import Rejected
from errors import DataRefused, EdgelineError, UsageError
from labels import first_few
from locations import is_url

# Of a file, what is looked at to tell its separator, and whether it has a header.
_LINES = 200
_NUMBER = re.compile(r"[+-]?\d*\.?\d+(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Table:
    """The rows of a table, and what people know it by."""

    path: Path
    shown: str
    separator: str
    header: Sequence[str]
    # Of columns whose source has types: number, time, boolean or text.
    types: Mapping[str, str] = field(default_factory=dict)
    typed: bool = False  # whether the source has types, and no lines

    notes: Sequence[str] = ()  # how it was read, where a person may want to know it

    def rows(self, names: Sequence[str]) -> Iterator[tuple[str, dict[str, str]] | Rejected]:
        """The place of each row, and its cells of these columns without blanks around them.

        Raises:
            DataRefused: The file cannot be read to its end, see `read_rows`.
        """
        with _shown_as(self.shown, self.path):
            for number, item in enumerate(read_rows(self.path, names, separator=self.separator), 1):
                if isinstance(item, Rejected):
                    yield item
                else:
                    place = f"row {number}" if self.typed else item[0]
                    yield place, {name: item[1][name].strip() for name in names}


def open_table(
    src: str, scratch: Path, columns: Collection[str] = (), query: str = "", sheet: str = ""
) -> Table:
    """Opens a table; what is not CSV or JSON lines in UTF-8 is written as that first.

    Args:
        src: A file, or with a query the URL of a database.
        scratch: A folder for what is written, which must live as long as the table is read.
        columns: Some that it should have, by which its separator and its sheet are found.
        query: Of a database: a SELECT.
        sheet: Of a workbook; empty for the only one that it can be.

    Raises:
        UsageError: There is no such file, it is of a kind that is not read, its sheet cannot be told, or a
            query and a URL do not come together; see `write_query`.
        DataRefused: It cannot be read, or its first line has no names.
    """
    if is_url(src) != bool(query):
        raise UsageError(
            "--query is given without the URL of a database." if query else "A URL is given without --query.",
            "What is imported is a file here, or what a query finds in a database.",
            "Write: edgeline data import 'sqlite:///plant.db' --query 'SELECT ...' --label COLUMN --data DIR",
        )
    written = scratch / "rows.csv"
    if query:
        src, types = write_query(src, query, written)
        return Table(written, src, ",", read_header(written), types, typed=True)
    path, kind = unpack_table(Path(src), scratch)
    with _shown_as(src, path):
        if kind == "parquet":
            types = write_parquet(path, written)
            return Table(written, src, ",", read_header(written), types, typed=True)
        if kind == "workbook":
            types = write_workbook(path, written, columns, sheet)
            table = Table(written, src, ",", read_header(written), types, typed=True)
        else:
            path, encoding = as_utf8(path, scratch)
            separator = _find_separator(path, columns)
            notes = () if encoding == "UTF-8" else (f"{src} was read as {encoding}.",)
            table = Table(path, src, separator, read_header(path, separator=separator), notes=notes)
    _check_header(table)
    return table


def check_columns(table: Table, names: Collection[str]) -> None:
    """Refuses a table that lacks one of these columns. Raises UsageError, with the nearest it has."""
    if missing := [name for name in names if name not in table.header]:
        known = {name.lower(): name for name in table.header}
        near = [known[low] for name in missing for low in get_close_matches(name.lower(), known, 1)]
        raise UsageError(
            f"{table.shown} has no column {', '.join(missing)}.",
            f"It has: {first_few(list(filter(None, table.header)), 30)}.",
            f"Did you mean {', '.join(near)}?" if near else "Name one of these.",
        )


@contextmanager
def _shown_as(shown: str, path: Path) -> Iterator[None]:
    """Names in a refusal the file that a person has, and not the one that was made of it."""
    try:
        yield
    except EdgelineError as error:
        found, why, do = (part.replace(str(path), shown) for part in (error.found, error.why, error.do))
        raise type(error)(found, why, do) from None


def _find_separator(path: Path, columns: Collection[str]) -> str:
    """The mark that gives a header with these columns, of as many cells as the lines below it."""
    lines = [line.replace("\0", "\1") for line in islice(read_lines(path), _LINES)]

    def fit(mark: str) -> tuple[int, float]:
        rows = list[list[str]]()
        with suppress(csv.Error):  # what is wrong with a row is said when it is read
            rows += filter(None, csv.reader(lines, delimiter=mark, skipinitialspace=True))
        header = [name.strip() for name in rows[0]] if rows else []
        alike = sum(len(row) == len(header) for row in rows)
        return len({*columns} & {*header}), alike * len(header) if len(header) > 1 else 0

    return max(",;\t| ", key=fit)


def _check_header(table: Table) -> None:
    """Refuses a first line that is a title, or data: numbers in no order, or cells of the columns below it.

    Raises:
        DataRefused: It is so.
    """
    header = table.header
    if sum(map(bool, header)) == 1 and len(header) > 2:
        raise DataRefused(
            f"The first line of {table.shown} is {''.join(header)!r} alone, above {len(header)} columns.",
            "The names of its columns are taken from there.",
            "Remove what stands above the names.",
        )
    rows = [item[1] for item in islice(table.rows(header), _LINES) if not isinstance(item, Rejected)]
    again = {name for name in header if name and any(cells[name] == name for cells in rows)}
    numbers = [name for name in header if _NUMBER.fullmatch(name)]
    words = {name for name in header if name} - {*numbers}
    # Years, or numbered columns, are names.
    ordered = len(numbers) > 1 and all(float(one) < float(two) for one, two in pairwise(numbers))
    if (
        (len(numbers) > 1 and not ordered)
        or (len(numbers) == 1 and again)
        or (words and 2 * len(again & words) >= len(words))
    ):
        cells = first_few([repr(name) for name in header], 5)
        raise DataRefused(
            f"The first line of {table.shown} is data: {cells}.",
            "The names of its columns are taken from there.",
            f"Write a line with a name for each of the {len(header)} columns above it, separated by"
            f" {table.separator!r}.",
        )
