"""Columns that a later week's table lacks, calls otherwise, or has cells of another type in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from data.importers.read_table import ReadTable
from data.importers.table_file import NAMED, ColumnEntry, Role, TableFile
from data.importers.table_profile import TableProfile
from data.spans.layout import find_spans
from edgeline.errors import UsageError
from edgeline.records.columns import DECIMALS, FRACTION, NUMBERS, TIMES, join_unit, split_unit
from edgeline.tables.files import Table, check_columns, find_near, spell_difference

if TYPE_CHECKING:
    from data.importers.table_roles import Named

_READ = {*NUMBERS, *TIMES}


@dataclass(frozen=True)
class Change:
    """A column that is not as in earlier spans, with what it may be called now."""

    column: str
    cell: str = ""  # one of another type, with its place; empty if the column is not there
    kind: str = ""  # the type of that column in earlier spans
    candidates: Sequence[str] = ()  # columns that earlier spans do not have, the likeliest first
    guess: str = ""  # the one that it probably is; empty for none
    is_needed: bool = False  # whether it has to be there, as the label has


class ColumnsChanged(UsageError):
    """The refusal of a table whose columns changed, until a person says how."""

    def __init__(self, shown: str, changes: Sequence[Change]) -> None:
        found = list[str]()
        if missing := [change.column for change in changes if not change.cell]:
            found.append(f"{shown} has no column {', '.join(missing)}, which earlier spans have.")
        for change in changes:
            if change.cell:
                read = f"cannot be read as {change.kind}, as in earlier spans: {change.cell}."
                found.append(f"The column {change.column} of {shown} {read}")
        spelled = [spell_difference(change.column, change.guess) for change in changes if change.guess]
        super().__init__(
            found,
            "A model reads the same columns each week.",
            "Say what it is called with --rename OLD=NEW, or that its cells are missing from this week on"
            " with --drop COLUMN. Import another kind of table into a folder of its own." + "".join(spelled),
        )
        self.changes = changes


def read_as_before(table: Table, named: "Named", file: TableFile | None) -> Table:
    """Returns a table with the columns of earlier spans, by what a person named, and what `file` records.

    Args:
        table: This week's table, under its own names.
        named: Its `renamed` takes precedence over the file; its column of times may be joined from several.
        file: How earlier spans read their columns; None refuses any that is renamed or dropped.

    Raises:
        UsageError: A column was named that earlier spans or the table do not have, or that has to be.
    """
    entries = file.columns if file else {}
    for option, name in [("rename", name) for name in named.renamed] + [("drop", n) for n in named.dropped]:
        role = entries[name].role if name in entries else Role.LEAVE_OUT
        if role == Role.LEAVE_OUT or (option == "drop" and role in NAMED):
            why = "no model reads that column" if role == Role.LEAVE_OUT else f"it is the {role}"
            raise UsageError(
                f"--{option} {name}: {why}.",
                "The option is for a column that earlier spans have, and that this week's table lacks.",
                "Leave out the option.",
            )
    check_columns(table, list(named.renamed.values()))
    own = {name: entry.now for name, entry in entries.items() if entry.now in table.header and entry.now}
    gone = [name for name, entry in entries.items() if entry.is_gone]
    own |= named.renamed
    return ReadTable.of(table, named.roles.time, own, [*gone, *named.dropped])


def check_changes(table: TableProfile, file: TableFile) -> None:
    """Refuses a table that lacks columns of a file, or has cells of another type in them.

    Raises ColumnsChanged.
    """
    changes = [*_find_missing(table, file), *_find_other_types(table, file)]
    if changes:
        raise ColumnsChanged(table.shown, changes)


def _find_missing(table: TableProfile, file: TableFile) -> Iterator[Change]:
    """Yields the columns of a file that a table lacks, each with what it may be called there."""
    entries = {name: entry for name, entry in file.columns.items() if entry.role != Role.LEAVE_OUT}
    new = [name for name in table.columns if name and name not in entries]
    missing = sorted(entries.keys() - table.columns.keys())
    near = {name: find_near([name], new) for name in missing}
    left = [name for name in new if [name] not in near.values()]
    for name in missing:
        alike = [other for other in left if bool(table.forms[other]) == bool(entries[name].form)]
        likely = near[name] or (alike if len(alike) == 1 else [])
        others = [other for other in new if other not in likely]
        yield Change(name, candidates=[*likely, *others], guess=likely[0] if likely else "")


def _find_other_types(table: TableProfile, file: TableFile) -> Iterator[Change]:
    """Yields the columns of numbers and times that are none of the kind of the file, each with a cell."""
    for name, column in {column.name: column for column in file.numbers.values()}.items():
        profile = table.columns.get(name)
        kind = _name_kind(column.form)
        if profile is None or not profile.cells or _name_kind(table.forms[name]) == kind:
            continue
        unread = (cells.first for forms, cells in profile.by_forms.items() if not {*forms} & _READ)
        most = max(profile.by_forms.values(), key=lambda cells: cells.count)
        yield Change(name, next(unread, most.first), kind)


def _name_kind(form: str) -> str:
    """Names what cells of a form are; those of one kind can be written in each other's form."""
    if form in TIMES:
        return "times"
    base, unit = split_unit(form)
    return join_unit("numbers", unit) if base in (*DECIMALS, FRACTION) else form


def describe_changes(file: TableFile, named: "Named", data_dir: Path) -> Mapping[str, ColumnEntry]:
    """Returns the entries of the columns that a person renamed or dropped, with the last span before.

    Args:
        file: How earlier spans read their columns; it has all that are renamed or dropped.
        named: Its `renamed` and `dropped`, which `read_as_before` has checked.
        data_dir: The folder of spans; the newest one there is the last with the old columns.
    """
    spans = find_spans(data_dir)
    until = spans[-1].name if spans else ""
    changed = {name: replace(file.columns[name], until=until, now=new) for name, new in named.renamed.items()}
    return changed | {name: replace(file.columns[name], until=until, now="") for name in named.dropped}
