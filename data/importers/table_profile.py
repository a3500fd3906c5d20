"""The profile of a table: what the first pass over its rows sees of each column."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from data.importers.bands import ONE_LABEL
from data.importers.columns import MOST_CATEGORIES, MOSTLY, ColumnProfile, Rows
from data.importers.known_rows import read_span
from data.importers.table_file import Roles
from data.spans.layout import find_usable_spans
from data.spans.source import Rejected
from edgeline.errors import DataRefused
from edgeline.labels import NO_LABEL
from edgeline.records.columns import COMMA, MISSING, NUMBER, NUMBERS, TIMES
from edgeline.records.events import Counted, report
from edgeline.tables.files import Table, find_endings
from edgeline.tables.rows import is_json

_ROWS_A_MESSAGE = 1_000
_CELLS_A_BLOCK = 500_000  # some 50 MB
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

    def with_forms(self, decimal: str, former: Mapping[str, str]) -> "TableProfile":
        """Returns the profile with the form in which the cells of each column are written.

        Args:
            decimal: The decimal sign that a person gave; if empty, that of the columns that show it.
            former: The form that each column had in an earlier span.
        """
        signs = {column.find_decimal() for column in self.columns.values()} - {""}
        sign = decimal or (signs.pop() if len(signs) == 1 else "")
        forms = {name: column.find_form(sign, former.get(name, "")) for name, column in self.columns.items()}
        return replace(self, forms=forms)


def profile_table(table: Table, roles: Roles) -> TableProfile:
    """Reads the rows of a table once. Raises DataRefused if it has none, or too many of them are damaged."""
    columns = _make_columns(table, roles)
    # A number shows its form in the cells as they are.
    endings = {name: end for name, end in table.endings.items() if name in roles.columns}
    table = replace(table, endings=endings)
    rows = damaged = 0
    refused, unlabelled = list[str](), list[str]()
    block = list[tuple[str, list[str]]]()
    labels, label = set[str](), list(columns).index(roles.label)
    for item in _report_rows(table.lists(list(columns))):
        rows += 1
        if isinstance(item, Rejected):
            damaged += 1
            if damaged <= EXAMPLES:
                refused.append(f"{item.id}: {item.detail}")
        elif item[1][label].lower() in NO_LABEL:
            unlabelled.append(item[0])
        else:
            block.append(item)
            labels.add(item[1][label])
            if len(labels) > MOST_CATEGORIES:
                break
            if len(block) * len(columns) >= _CELLS_A_BLOCK:
                _add_rows(columns, roles, block)
                block.clear()
    if block:
        _add_rows(columns, roles, block)

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


def read_labelled(table: Table, label: str, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yields the rows that have a label and are not damaged: place, and the cells of these columns."""
    of_label = names.index(label)
    for item in table.lists(names):
        if not isinstance(item, Rejected) and item[1][of_label].lower() not in NO_LABEL:
            yield item


def _make_columns(table: Table, roles: Roles) -> dict[str, ColumnProfile]:
    """Makes empty profiles of the columns that are read, with the forms that their cells may have."""
    numbers = (NUMBER, COMMA) if table.separator == ";" else NUMBERS
    columns = dict[str, ColumnProfile]()
    read = roles.columns if roles.text else table.header
    for name in read:
        kind = table.types.get(name)
        forms: tuple[str, ...] = (*numbers, *TIMES)
        if name in (roles.group, roles.text):
            forms = ()
        elif kind:  # a text may be a date: SQLite has no other dates
            forms = (NUMBER,) if kind == "number" else (*TIMES,)
        columns[name] = ColumnProfile(name, forms, is_grouped=bool(roles.group))
        if roles.group and name not in (roles.label, roles.group):
            columns[name].by_group = {}
    return columns


def _add_rows(
    columns: Mapping[str, ColumnProfile], roles: Roles, block: Sequence[tuple[str, list[str]]]
) -> None:
    """Adds rows, each a place and cells, to the profiles, column by column."""
    cells_of = dict(zip(columns, zip(*(cells for _, cells in block), strict=True), strict=True))
    groups = cells_of[roles.group] if roles.group else [""] * len(block)
    rows = Rows(cells_of[roles.label], [place for place, _ in block], groups)
    for name, column in columns.items():
        # A class may well be called `none`.
        is_name = name in (roles.label, roles.group, roles.text)
        column.add(cells_of[name], rows, ("",) if is_name else MISSING)


def _report_rows(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yields the items, and reports how many there were."""
    for number, item in enumerate(items, start=1):
        if number % _ROWS_A_MESSAGE == 0:
            report(Counted("rows", number))
        yield item


def add_endings(table: Table, roles: Roles, data_dir: Path) -> Table:
    """Returns the table with its whole numbers ending as those of the newest span."""
    names = {name: name for name in table.header}
    if roles.text:
        names = {roles.label: "label", roles.group: "group"}

    def read_cells() -> Iterator[tuple[str, str]]:
        with suppress(DataRefused):  # the span may be of another kind; a run will say what is wrong with it
            for span in find_usable_spans(data_dir)[-1:]:
                for row in read_span(span, list(names.values())):
                    yield from ((name, row.get(own, "")) for name, own in names.items())

    return replace(table, endings=find_endings(read_cells()))
