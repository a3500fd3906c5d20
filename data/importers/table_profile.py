"""The profile of a table: what the first pass over its rows sees of each column."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from data.importers.bands import ONE_LABEL
from data.importers.clocks import HALVES, find_count
from data.importers.column_forms import find_decimal, find_form
from data.importers.column_profile import MOST_CATEGORIES, MOSTLY, ColumnProfile
from data.importers.known_rows import read_span
from data.importers.labelled_rows import Rows
from data.importers.table_file import Roles
from data.spans.layout import find_usable_spans
from data.spans.source import Rejected
from edgeline.errors import DataRefused
from edgeline.labels import NO_LABEL
from edgeline.records.columns import HOURS, MINUTES, MISSING, NUMBER, NUMBERS, THOUSANDS, TIMES
from edgeline.records.events import Counted, report
from edgeline.tables.files import Table, find_endings
from edgeline.tables.rows import is_json
from edgeline.tables.typed_rows import NO_CELLS

_ROWS_A_MESSAGE = 1_000
_CELLS_A_BLOCK = 200_000  # of rows that are no arrays yet, some 20 MB
_MOST_BYTES, _MOST_ROWS = 2**26, 100_000  # of arrays, and of the rows in them
# Number of damaged rows, and of rows without a label, that a message names.
EXAMPLES = 3
_Item = tuple[str, list[str]] | Rejected  # a row of a table: its place and cells


@dataclass(frozen=True)
class TableProfile:
    """A table as the first pass over its rows saw it."""

    shown: str  # its name in messages
    columns: Mapping[str, ColumnProfile]
    labels: Mapping[str, int]  # rows of each, without those that are damaged
    unlabelled: tuple[str, ...]  # the places of rows without a label
    refused: tuple[str, ...]
    forms: Mapping[str, str] = field(default_factory=dict)  # in which the cells of each column are written

    @property
    def rows(self) -> int:
        """Returns the number of rows that have a label and are not damaged."""
        return sum(self.labels.values())

    def with_forms(self, decimal: str, former: Mapping[str, str], time: str) -> "TableProfile":
        """Returns the profile with the form in which the cells of each column are written.

        Args:
            decimal: The decimal sign that a person gave; if empty, that of the columns that show it.
            former: The form that each column had in an earlier span.
            time: The column of times, whose numbers count seconds or days; empty for none.
        """
        signs = {find_decimal(column) for column in self.columns.values()} - {""}
        sign = decimal or (signs.pop() if len(signs) == 1 else "")
        forms = {name: find_form(column, sign, former.get(name, "")) for name, column in self.columns.items()}
        if time and forms[time] in NUMBERS:
            forms[time] = find_count(*self.columns[time].find_bounds(forms[time])) or forms[time]
        return replace(self, forms=forms)


def profile_table(table: Table, roles: Roles, missing: Mapping[str, tuple[str, ...]]) -> TableProfile:
    """Reads the rows of a table once, and counts what their cells are.

    Args:
        table: The table, whose endings of whole numbers count where the columns have a role.
        roles: The columns of label, group, time and text.
        missing: The texts that stand for a missing cell, by column.

    Raises:
        DataRefused: It has no rows, or too many of them are damaged.
    """
    columns = _make_columns(table, roles)
    for name in columns.keys() & missing.keys():
        columns[name].missing = missing[name]
    # A number shows its form in the cells as they are.
    endings = {name: end for name, end in table.endings.items() if name in roles.columns}
    table = replace(table, endings=endings)
    rows = damaged = 0
    refused, unlabelled = list[str](), list[str]()
    blocks = _Blocks(columns, roles)
    labels = set[str]()
    label = list(columns).index(roles.label)
    for item in _report_rows(table.lists(list(columns))):
        rows += 1
        if isinstance(item, Rejected):
            damaged += 1
            if damaged <= EXAMPLES:
                refused.append(f"{item.id}: {item.detail}")
        elif item[1][label].lower() in NO_LABEL:
            unlabelled.append(item[0])
        else:
            blocks.add(*item)
            labels.add(item[1][label])
            if len(labels) > MOST_CATEGORIES:
                break
    blocks.flush()

    if rows == 0:
        raise DataRefused(
            f"{table.shown} has no rows.", "There is nothing to learn from.", "Pass a table with rows."
        )
    if damaged > (1 - MOSTLY) * rows:
        raise DataRefused(
            f"{table.shown}, {refused[0]}",
            f"{damaged:,} of {rows:,} rows are damaged, which is too many to leave out.",
            f"Correct them; write fractions, lists and objects as texts. {ONE_LABEL}"
            if is_json(table.path)
            else "Correct them, and quote cells that contain the separator.",
        )
    if damaged > EXAMPLES:
        refused.append(f"... and {damaged - EXAMPLES} more rows.")
    return TableProfile(table.shown, columns, columns[roles.label].labels, tuple(unlabelled), tuple(refused))


def read_labelled(
    table: Table, profile: TableProfile, roles: Roles, names: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    """Yields the rows that have a label and are not damaged: place, and the cells of the columns.

    Args:
        table: Its rows are read once more.
        profile: Has the texts that stand for no time; such a cell is empty.
        roles: The columns of label and time.
        names: The columns to read, of which one is that of labels.
    """
    of_label = names.index(roles.label)
    of_time = names.index(roles.time) if roles.time in names else of_label
    no_times = profile.columns[roles.time].missing if roles.time in names else ()
    for item in table.lists(names):
        if not isinstance(item, Rejected) and item[1][of_label].lower() not in NO_LABEL:
            if item[1][of_time] in no_times:
                item[1][of_time] = ""
            yield item


def _make_columns(table: Table, roles: Roles) -> dict[str, ColumnProfile]:
    """Makes empty profiles of the columns that are read, with the forms that their cells may have."""
    numbers = [form for form in NUMBERS if form != THOUSANDS or table.separator != ";"]
    columns = dict[str, ColumnProfile]()
    read = roles.columns if roles.text else table.header
    for name in dict.fromkeys(read):
        # The forms.
        kind = table.types.get(name)
        forms: tuple[str, ...] = (*numbers, *TIMES)
        if name in (roles.group, roles.text):
            forms = ()
        elif kind:  # a text may be a date: SQLite has no other dates; digits alone are a text
            forms = (NUMBER,) if kind == "number" else (MINUTES, HOURS, *TIMES)
        if name == roles.time:
            forms += (*HALVES,)

        # The profile.
        is_repeated = not roles.text and table.header.count(name) > 1
        source_type = kind if kind in NO_CELLS else ""
        columns[name] = ColumnProfile(
            name, forms, is_grouped=bool(roles.group), is_repeated=is_repeated, source_type=source_type
        )
        if roles.group and name not in (roles.label, roles.group):
            columns[name].by_group = {}
    return columns


class _Blocks:
    """Rows that wait, as arrays, to be added to the profiles of their columns many at once."""

    def __init__(self, columns: Mapping[str, ColumnProfile], roles: Roles) -> None:
        self._columns, self._roles = columns, roles
        self._rows = list[list[str]]()
        self._places = list[str]()
        self._arrays: list[list[pa.Array]] = [[] for _ in columns]
        self._bytes = 0

    def add(self, place: str, cells: list[str]) -> None:
        """Adds a row; many that wait are added to the profiles first."""
        self._rows.append(cells)
        self._places.append(place)
        if len(self._rows) * len(cells) >= _CELLS_A_BLOCK:
            self._pack()
            if self._bytes >= _MOST_BYTES or len(self._places) >= _MOST_ROWS:
                self.flush()

    def _pack(self) -> None:
        """Packs rows into arrays, which take a tenth of their memory."""
        columns = zip(*self._rows, strict=True) if self._rows else ()
        for arrays, cells in zip(self._arrays, columns, strict=False):
            arrays.append(_make_array(cells))
            self._bytes += arrays[-1].nbytes
        self._rows.clear()

    def flush(self) -> None:
        """Adds all rows to the profiles, column by column."""
        self._pack()
        texts = {name: pa.concat_arrays(a) for name, a in zip(self._columns, self._arrays, strict=True) if a}
        for arrays in self._arrays:
            arrays.clear()
        if not texts:
            return
        label, group = self._roles.label, self._roles.group
        groups = texts[group].to_pylist() if group else [""] * len(self._places)
        rows = Rows(texts[label].to_pylist(), [*self._places], groups)
        for name, column in self._columns.items():
            # A class may well be called `none`.
            is_name = name in (label, group, self._roles.text)
            column.add(texts.pop(name), rows, ("",) if is_name else MISSING)
        self._places.clear()
        self._bytes = 0


def _make_array(cells: Sequence[str]) -> pa.Array:
    """Returns cells as an array; half an emoji, which JSON can hold, becomes a question mark."""
    try:
        return pa.array(cells, pa.string())
    except UnicodeEncodeError:
        return pa.array([cell.encode(errors="replace").decode() for cell in cells], pa.string())


def _report_rows(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yields the items, and reports how many there were."""
    for number, item in enumerate(items, start=1):
        if number % _ROWS_A_MESSAGE == 0:
            report(Counted("rows", number))
        yield item


def add_endings(table: Table, roles: Roles, data_dir: Path) -> Table:
    """Returns the table with its whole numbers ending as those of the newest span.

    Args:
        table: The table that is imported.
        roles: The columns of label and group, which spans of texts have under other names.
        data_dir: The folder of spans, which may be empty.
    """
    names = {name: name for name in table.header}
    if roles.text:
        names = {roles.label: "label", roles.group: "group"}

    def read_cells() -> Iterator[tuple[str, str]]:
        with suppress(DataRefused):  # the span may be of another kind; a run will say what is wrong with it
            for span in find_usable_spans(data_dir)[-1:]:
                for row in read_span(span, list(names.values())):
                    yield from ((name, row.get(own, "")) for name, own in names.items())

    return replace(table, endings=find_endings(read_cells()))
