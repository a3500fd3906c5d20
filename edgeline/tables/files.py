"""Opens a table or texts that a person has: a file, or the rows of a query on a database."""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path

from edgeline.errors import DataRefused, EdgelineError, UsageError, find_nearest
from edgeline.labels import format_count, join_names
from edgeline.records.rejection import Rejected
from edgeline.store.locations import is_url
from edgeline.tables.comments import blank_comments
from edgeline.tables.rows import is_json, open_csv, read_csv_rows, read_header, read_json_rows, read_lines
from edgeline.tables.typed_rows import write_parquet, write_query, write_records, write_workbook
from edgeline.tables.unpacking import convert_to_utf8, unpack_table

_SEPARATORS = ",;\t| "
# Number of lines of a file, and of their characters, that show its separator, and whether it has a header.
_LINES, _CHARACTERS = 200, 2**20
WHOLE = re.compile(r"[+-]?\d+(\.0)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
# Rows that may have names below the header, and of the first rows those that show columns of numbers.
_NAME_LINES, _FEW_ROWS, _MOST_NUMBERS = 3, 8, 0.8
# Spaces and joiners without width, and a byte order mark.
_NO_WIDTH = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_YEAR = re.compile(r"(18|19|20|21)\d\d", re.ASCII)


@dataclass(frozen=True)
class Table:
    """The rows of a table, and its name in messages."""

    path: Path
    shown: str
    separator: str
    header: Sequence[str]
    # The types of columns whose source has types: number, time, boolean, text, or one of `NO_CELLS`.
    types: Mapping[str, str] = field(default_factory=dict)
    typed: bool = False  # whether the source has types, and no lines

    notes: Sequence[str] = ()  # on how it was read, for people
    endings: Mapping[str, str] = field(default_factory=dict)  # of whole numbers, by column: nothing or `.0`
    names: Mapping[str, str] = field(
        default_factory=dict
    )  # in the file, of columns that are called otherwise

    def rows(
        self, names: Sequence[str], any_json: bool = False
    ) -> Iterator[tuple[str, dict[str, str]] | Rejected]:
        """Yields the place of each row, and its cells by column, as `lists` does."""
        for item in self.lists(names, any_json):
            yield item if isinstance(item, Rejected) else (item[0], dict(zip(names, item[1], strict=True)))

    def lists(
        self, names: Sequence[str], any_json: bool = False
    ) -> Iterator[tuple[str, list[str]] | Rejected]:
        """Yields the place of each row, and its cells of these columns without blanks around them.

        Line ends are those of Unix, and whole numbers end as `endings` has it. With `any_json`, a value of
        JSON lines that is not a cell is written as JSON; else its row is rejected. Raises as `read_rows`.
        """
        endings = [(number, self.endings[name]) for number, name in enumerate(names) if name in self.endings]
        own = [self.names.get(name, name) for name in names]
        with _name_source(self.shown, self.path):
            for number, item in enumerate(_read_lists(self.path, own, self.separator, any_json), 1):
                if isinstance(item, Rejected):
                    yield item
                    continue
                cells = [cell.strip() for cell in item[1]]
                if not "".join(cells).isprintable():
                    # Python 3.10 writes a carriage return without quotes, and no NUL: its row is refused.
                    cells = [
                        cell.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\1") for cell in cells
                    ]
                for column, ending in endings:
                    if WHOLE.fullmatch(cells[column]):
                        cells[column] = cells[column].removesuffix(".0") + ending
                yield f"row {number}" if self.typed else item[0], cells


def _read_lists(
    path: Path, names: Sequence[str], separator: str, any_json: bool
) -> Iterator[tuple[str, list[str]] | Rejected]:
    """Yields the rows as `read_rows` does, each as the list of its cells `names`, which the header has."""
    if is_json(path):
        for row in read_json_rows(path, names, (), any_json):
            yield row if isinstance(row, Rejected) else (row[0], [*row[1].values()])
        return
    header, rows = open_csv(path, (), separator)
    column_of = {name: number for number, name in enumerate(header)}
    columns = [column_of[name] for name in names]
    for item in rows:
        yield item if isinstance(item, Rejected) else (item[0], [item[1][column] for column in columns])


def find_endings(cells: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Returns `Table.endings` by cells, each with its column: nothing, or `.0`, as pandas writes beside gaps.

    A column that has both, or no whole numbers, is left out.
    """
    endings: dict[str, set[str]] = {}
    for name, cell in cells:
        if WHOLE.fullmatch(cell):
            endings.setdefault(name, set()).add(".0" if cell.endswith(".0") else "")
    return {name: lines.pop() for name, lines in endings.items() if len(lines) == 1}


def open_table(
    src: str,
    scratch: Path,
    columns: Collection[str] = (),
    query: str = "",
    sheet: str = "",
    encoding: str = "",
) -> Table:
    """Opens a file, or with a query a database by its URL; all but CSV and JSON lines in UTF-8 is converted.

    Args:
        src: The path of a file, or the URL of a database.
        scratch: A folder for the unpacked and converted file; it must exist as long as the table is read.
        columns: Those that the table should have, by which its separator and its sheet are found.
        query: The SELECT whose rows are the table; empty for a file.
        sheet: The name of a workbook's sheet; empty for the only one with rows, or with these columns.
        encoding: As Python names it; empty finds it by the content of the file.

    Raises:
        UsageError: Only one of query and URL is given, the table has too many columns, or as those do that
            unpack and convert it.
        DataRefused: The table cannot be read, or its first line has no names.
    """
    if is_url(src) != bool(query):
        raise UsageError(
            "--query is given without the URL of a database." if query else "A URL is given without --query.",
            "An import reads a local file, or the rows of a query on a database.",
            "Write: edgeline data import 'sqlite:///plant.db' --query 'SELECT ...' --label COLUMN --data DIR",
        )
    target = scratch / "rows.csv"
    if query:
        src, types = write_query(src, query, target)
        return Table(target, src, ",", read_header(target), types, typed=True)
    path, kind = unpack_table(Path(src), scratch)
    with _name_source(src, path):
        if kind in ("parquet", "records"):
            types = (write_parquet if kind == "parquet" else write_records)(path, target)
            return Table(target, src, ",", read_header(target), types, typed=True)
        if kind == "workbook":
            types = write_workbook(path, target, columns, sheet)
            table = Table(target, src, ",", read_header(target), types, typed=True)
            _check_first_line(table, _read_beginning(target), columns)
        else:
            text, encoding = convert_to_utf8(path, scratch, encoding)
            notes = [] if encoding == "UTF-8" else [f"{src} was read as {encoding}."]
            with _name_source(src, text):
                text, comments = (text, 0) if is_json(text) else blank_comments(text, scratch)
            if comments:
                notes.append(f"{src} begins with {format_count(comments, 'comment')}, which are not read.")
            with _name_source(src, text):
                lines = [] if is_json(text) else _read_beginning(text)
                separator = _find_separator(lines, columns)
                table = Table(
                    text, src, separator, read_header(text, separator=separator), notes=tuple(notes)
                )
                if lines:
                    _check_first_line(table, lines, columns)
    _check_header(table)
    return table


def align_names(table: Table, known: Iterable[str]) -> Table:
    """Returns a table with names in NFC, with plain blanks and no characters without width, or as `known`.

    A name that looks like a known one is replaced by it. Names that would become equal stay as they are, and
    a note spells out in what they differ.
    """
    known = {*known}
    spellings = {tidy_name(name): name for name in known}
    own, names = dict[str, str](), dict[str, str]()
    notes = list(table.notes)
    for name in sorted(dict.fromkeys(table.header), key=lambda name: name not in known):
        tidy = tidy_name(name)
        tidy = name if name in known else spellings.get(tidy, tidy)
        if own.setdefault(tidy, name) != name:
            notes.append(f"Two columns are called {tidy!r}.{_spell_out(own[tidy], name)}")
            tidy = name
        own[tidy], names[name] = name, tidy
    types = {names[name]: kind for name, kind in table.types.items()}
    return replace(table, header=[names[name] for name in table.header], types=types, notes=notes, names=own)


def tidy_name(name: str) -> str:
    """Returns a name in NFC, with plain blanks, and without the characters that have no width."""
    return " ".join(_NO_WIDTH.sub("", unicodedata.normalize("NFC", name)).split())


def _spell_out(name: str, other: str) -> str:
    """Returns a sentence with the characters beyond ASCII that one of two names alone has, if any."""
    odd = [c for c in sorted({*name} ^ {*other}) if not c.isascii()]
    marks = [f"U+{ord(c):04X} ({unicodedata.name(c, 'without a name').lower()})" for c in odd]
    return f" They differ in {' and '.join(marks)}." if marks else ""


def spell_difference(name: str, other: str) -> str:
    """Returns in which characters two names that look alike differ, as a sentence; else nothing."""
    pairs = zip(name, other, strict=False)
    is_alike = len(name) == len(other) and all(a == b or not (a + b).isascii() for a, b in pairs)
    return _spell_out(name, other) if is_alike else ""


def check_columns(table: Table, names: Collection[str]) -> None:
    """Refuses a table that lacks one of these columns. Raises UsageError, which names the nearest ones."""
    if missing := [name for name in names if name not in table.header]:
        near = find_near(missing, table.header)
        raise UsageError(
            f"{table.shown} has no column {', '.join(missing)}.",
            f"It has: {join_names(list(filter(None, table.header)), 30)}.",
            f"Did you mean {', '.join(near)}?{spell_difference(missing[0], near[0])}"
            if near
            else "Name one of these.",
        )


def find_names_below(table: Table, label: str) -> list[str]:
    """Returns the places of the first rows that have names as the header has, and no label that recurs.

    Such a row has no number, not even in columns of numbers.
    """
    rows = [item for item in islice(table.lists(table.header), _LINES) if not isinstance(item, Rejected)]
    numbers = [[bool(_NUMBER.fullmatch(cell)) for cell in cells] for _, cells in rows]
    are_numbers = [
        sum(column) >= _MOST_NUMBERS * len(rows) > _FEW_ROWS for column in zip(*numbers, strict=True)
    ]
    column = table.header.index(label)
    labels = Counter(cells[column] for _, cells in rows)
    places = list[str]()
    for (place, cells), own in zip(rows[:_NAME_LINES], numbers, strict=False):
        is_above = any(is_number and cell for is_number, cell in zip(are_numbers, cells, strict=True))
        if any(own) or not is_above or (cells[column] and labels[cells[column]] > 1):
            break
        places.append(place)
    return places


def find_near(names: Iterable[str], columns: Iterable[str]) -> list[str]:
    """Returns for each name the column that is called most like it, in any case, where there is one."""
    columns = list(columns)
    return [nearest for name in names if (nearest := find_nearest(name, columns))]


@contextmanager
def _name_source(shown: str, path: Path) -> Iterator[None]:
    """Replaces the path of a converted file in errors by the name of the source."""
    try:
        yield
    except EdgelineError as error:
        found, why, do = (part.replace(str(path), shown) for part in (error.found, error.why, error.do))
        raise type(error)(found, why, do, error.spans) from None


def _read_beginning(path: Path) -> list[str]:
    """Reads the first lines; the last of them may be cut."""
    lines = list[str]()
    left = _CHARACTERS
    for line in islice(read_lines(path), _LINES):
        lines.append(line[:left].replace("\0", "\1"))
        left -= len(lines[-1])
        if not left:
            break
    return lines


def _find_separator(lines: Sequence[str], columns: Collection[str]) -> str:
    """Returns the mark that gives a header with these columns, and as many cells in the lines below it."""

    def score(mark: str) -> tuple[int, float]:
        rows = list[list[str]]()
        with suppress(csv.Error):  # faults of rows are reported when they are read
            rows += filter(None, csv.reader(lines, delimiter=mark, skipinitialspace=True))
        header = [name.strip() for name in rows[0]] if rows else []
        matching = sum(len(row) == len(header) for row in rows)
        return len({*columns} & {*header}), matching * len(header) if len(header) > 1 else 0

    return max(_SEPARATORS, key=score)


def _check_first_line(table: Table, lines: Sequence[str], columns: Collection[str]) -> None:
    """Refuses lines above the names of these columns, and rows of one cell more than there are names.

    `lines` are the first of its file. Raises DataRefused.
    """
    is_complete = {*columns} <= {*table.header}
    below = [] if is_complete else lines[1:]
    for number, line in enumerate(below, 2):
        for mark in _SEPARATORS:
            cells = next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])
            names = [cell.strip() for cell in cells]
            if len(names) > 1 and {*columns} <= {*names}:
                raise DataRefused(
                    f"Line {number} of {table.shown} has the names of its columns: {join_names(names, 5)}.",
                    f"They are read from the first line, which is {lines[0].strip()[:80]!r}.",
                    "Remove the lines above the names.",
                )
    rows = islice(read_csv_rows(table.path, (), table.separator), 1, _LINES)
    counts = {len(cells) for _, cells in rows if not isinstance(cells, str)}
    if len(table.header) > 1 and counts == {len(table.header) + 1}:
        raise DataRefused(
            f"The first line of {table.shown} has {len(table.header)} names, and the lines below it have"
            f" {len(table.header) + 1} cells each.",
            "One name is missing: R's write.table gives none to the column of row names, and some programs"
            " end rows with a separator.",
            "Write the table without row names (row.names=FALSE), or add the name.",
        )


def _check_header(table: Table) -> None:
    """Refuses a first line that is a title, or data: unordered numbers, or values of the columns below it.

    Raises DataRefused.
    """
    header = table.header
    if not any(header) or (sum(map(bool, header)) == 1 and len(header) > 2):
        name = repr("".join(header)) if any(header) else "empty cells"
        raise DataRefused(
            f"The first line of {table.shown} has only {name}, above {format_count(len(header), 'column')}.",
            "The names of its columns are read from the first line.",
            "Remove the lines above the names.",
        )
    rows = [item[1] for item in islice(table.rows(header), _LINES) if not isinstance(item, Rejected)]
    repeated = {name for name in header if name and any(cells[name] == name for cells in rows)}
    if _is_data(header, repeated):
        cells = join_names([repr(name) for name in header], 5)
        raise DataRefused(
            f"The first line of {table.shown} is data: {cells}.",
            "The names of its columns are read from the first line.",
            f"Write a line with a name for each of the {len(header)} columns above it, separated by"
            f" {table.separator!r}.",
        )


def _is_data(header: Sequence[str], repeated: Collection[str]) -> bool:
    """Tells whether a first line is data; `repeated` are its cells that columns have again below it."""
    numbers = [name for name in header if _NUMBER.fullmatch(name)]
    if len(numbers) == 1 and repeated:
        return True

    # Numbers in order, such as years, of which the newest may come first, are names.
    if all(map(_YEAR.fullmatch, numbers)):
        numbers.sort()
    if any(float(one) >= float(two) for one, two in pairwise(numbers)):
        return True

    words = {name for name in header if name}.difference(numbers)
    return bool(words) and 2 * len(words.intersection(repeated)) >= len(words)
