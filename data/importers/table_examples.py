"""The examples that the rows of a table become: one each, or windows of the readings of a group."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from data.importers.clocks import CLOCKS, parse_source_cell
from data.importers.table_file import Roles, TableFile
from data.importers.table_profile import EXAMPLES, TableProfile, read_labelled
from data.settings import DataSettings
from data.tables.windows import Reading, choose_block_hours, count_windows
from edgeline.errors import DataRefused
from edgeline.gates.settings import GateSettings
from edgeline.labels import join_names
from edgeline.records.columns import LARGEST, CellError
from edgeline.records.rejection import RowRejected, check_text
from edgeline.tables.files import Table

_Read = Callable[[Mapping[str, str]], object]


@dataclass(frozen=True)
class Examples:
    """The settings by which rows become examples, and the examples of each label."""

    settings: DataSettings
    counts: Mapping[str, int]
    warnings: tuple[str, ...] = ()


def plan_examples(
    table: Table, profile: TableProfile, roles: Roles, readings: int, is_first: bool
) -> Examples:
    """Plans the examples of a table; of several readings, another pass finds the length of a block.

    Args:
        table: Its rows are read again for windows.
        profile: The counts of its rows and labels.
        roles: The columns of label, group and time.
        readings: The rows of an example; with 1, each row is one.
        is_first: No span is there yet, so that too few examples, or many out of order, are refused.

    Raises:
        DataRefused: A run would refuse the readings of a first import.
    """
    settings = DataSettings(readings=readings, stride=max(1, readings // 4))
    if readings == 1:
        return Examples(settings, profile.labels)

    # Blocks of time with room for windows, and the windows in them.
    times = ((reading.group, reading.time) for reading in _read_readings(table, profile, roles))
    hours = choose_block_hours(times, readings)
    settings = settings.model_copy(update={"block_hours": hours})
    counts, late, first = count_windows(_read_readings(table, profile, roles), settings)
    detail = f"{first.id}: {first.detail}" if first else ""

    if is_first and late > GateSettings().max_quarantine_fraction * profile.rows:
        raise DataRefused(
            f"{late:,} of {profile.rows:,} readings of {table.shown} are not in the order of time: {detail}",
            "A run would quarantine them: an example is the last readings of a group, in the order of rows.",
            f"Sort the rows by {roles.time}, in which no two rows of a group may be the same, and name the"
            " machines with --group if there are several.",
        )
    if is_first and sum(count > 1 for count in counts.values()) < 2:
        raise DataRefused(
            f"{table.shown} has too few examples of {readings} readings: {counts.total()}, with"
            f" {len(counts)} labels.",
            f"An example is that many rows of one group within a block of {hours:,} hours; training needs two"
            " classes, each with an example to learn from and one to evaluate on.",
            "Pass a smaller number with --readings, or import it together with more rows.",
        )
    warning = f"Readings that a run will quarantine, as they are not in the order of time: {late:,}. {detail}"
    counts_of_labels = {name: counts[name] for name in profile.labels} if is_first else profile.labels
    return Examples(settings, counts_of_labels, (warning,) if late else ())


def check_cells(table: Table, profile: TableProfile, file: TableFile, noun: str, most: float) -> list[str]:
    """Counts the rows with a cell that a run cannot read, by the code that the run reads them with.

    Args:
        table: Its rows are read once more.
        profile: Has the forms of its columns, the texts that stand for no time, and the number of rows.
        file: Says how the columns are read.
        noun: The name of a row in messages: row, reading or text.
        most: The largest share of such rows, 0..1.

    Returns:
        A warning if there are any.

    Raises:
        DataRefused: They are more than that share.
    """
    readers = _list_readers(profile, file)
    if not readers:
        return []

    names = list(dict.fromkeys((file.roles.label, *readers)))
    faults = Counter[str]()
    first = dict[str, str]()
    rows = 0
    for place, row in read_labelled(table, profile, file.roles, names):
        cells = dict(zip(names, row, strict=True))
        count = faults.total()
        for name, read in readers.items():
            try:
                read(cells)
            except (CellError, RowRejected) as error:
                faults[name] += 1
                first.setdefault(name, f"{str(error.args[-1]).rstrip('.')} ({place})")
        rows += faults.total() > count
    if not rows:
        return []

    shown = [first[name] for name, _ in faults.most_common()]
    found = f"{noun.capitalize()}s that a run will quarantine for their cells: {rows:,} of {profile.rows:,}. "
    found += f"{join_names(shown, EXAMPLES)}."
    if rows > most * profile.rows:
        raise DataRefused(
            found,
            f"A run refuses a week of which it quarantines more than {100 * most:.0f} %.",
            "Correct these cells, or leave such a column out with --leave-out. A text that stands for a"
            " missing number belongs below `missing` in table.yaml, which `edgeline data inspect` writes.",
        )
    return [found]


def _list_readers(profile: TableProfile, file: TableFile) -> Mapping[str, _Read]:
    """Returns how a run reads each column in which the profile saw cells that it may refuse."""
    roles, columns, forms = file.roles, profile.columns, profile.forms

    def is_filled(name: str) -> bool:
        return columns[name].cells == columns[roles.label].cells

    def can_be_read(name: str, form: str) -> bool:
        most = max(map(abs, columns[name].find_bounds(form)))
        return columns[name].count_cells((form,)) == columns[name].cells and most <= LARGEST

    readers = dict[str, _Read]()
    if roles.text:
        readers[roles.text] = lambda cells: check_text(cells[roles.text])
        return readers
    for column in file.numbers.values():
        own = replace(column, form=forms[column.name] or column.form)
        if not can_be_read(column.name, own.form):
            readers[column.name] = replace(own, part="", until="").number
    for name, column in file.times.items():
        if forms[name] in CLOCKS:
            readers[name] = partial(_check_clock, name, forms[name])
        elif not (is_filled(name) and can_be_read(name, forms[name])):
            readers[name] = replace(column, form=forms[name]).seconds
    if roles.group and not is_filled(roles.group):
        readers[roles.group] = lambda cells: _check_group(roles.group, cells)
    return readers


def _check_group(name: str, cells: Mapping[str, str]) -> None:
    if not cells[name]:
        raise RowRejected("no-group", f"The cell {name} is empty.")


def _check_clock(name: str, form: str, cells: Mapping[str, str]) -> None:
    try:
        parse_source_cell(cells[name], form)
    except ValueError:
        raise CellError(name, form, f"The cell {name} has no {form}: {cells[name][:60]!r}.") from None


def _read_readings(table: Table, profile: TableProfile, roles: Roles) -> Iterator[Reading]:
    """Yields the rows without their numbers; those that a run quarantines for their cells are left out."""
    form = profile.forms[roles.time]
    for place, cells in read_labelled(table, profile, roles, roles.columns):
        cell_of = dict(zip(roles.columns, cells, strict=True))
        with suppress(ValueError):
            seconds = parse_source_cell(cell_of[roles.time], form)
            if not roles.group or cell_of[roles.group]:
                yield Reading(place, cell_of[roles.label], cell_of.get(roles.group, ""), seconds, (), b"")
