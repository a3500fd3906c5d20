"""CSV files that people open in a spreadsheet: no cell is a formula, and each can be read as it was.

A spreadsheet runs a cell that begins like a formula, such as `=HYPERLINK(...)` as the name of a photo (OWASP,
CSV Injection). So `'` is written before such a cell, and before one that begins with `'` and then so.
"""

import csv
import re
from collections.abc import Collection, Iterable
from typing import TextIO

# Also in full width, which spreadsheets in East Asian languages read as the plain ones.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)?|[.,]\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_MARK = "'"
# The columns by which lists of ours are known that a person fills in, and the project reads again.
_LISTS = ({"example", "label", "corrected"}, {"said", "variant", "chosen"})


def mark_cell(value: object) -> str:
    """Returns a cell as a sheet has it: None is empty, a plain number such as -1.5 stays as it is."""
    cell = "" if value is None else str(value)
    return f"{_MARK}{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def unmark_cell(cell: str) -> str:
    """Returns the value of a cell of a sheet."""
    return cell[len(_MARK) :] if cell.startswith(_MARK) and _FORMULA.match(cell) else cell


def is_sheet(header: Collection[str]) -> bool:
    """Tells by its columns whether a table is a sheet of ours, whose cells are marked."""
    names = {name.strip() for name in header}
    return any(columns <= names for columns in _LISTS)


def write_rows(file: TextIO, rows: Iterable[Iterable[object]]) -> None:
    """Writes rows of a sheet, the header first, into a file that was opened with `newline=""`."""
    csv.writer(_LineFeeds(file)).writerows([mark_cell(cell) for cell in row] for row in rows)


class _LineFeeds:
    """A file that ends rows by a line feed; csv quotes a carriage return only if rows may end with one."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        """Writes one row."""
        return self._file.write(row.removesuffix("\r\n") + "\n")
