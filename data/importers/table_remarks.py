"""Remarks and warnings on a table that is imported, as sentences."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from data.importers.clocks import CLOCKS
from data.importers.codes import is_nearly_unique
from data.importers.column_forms import describe_others
from data.importers.column_profile import MOST_CATEGORIES
from data.importers.leaks import gives_label_away
from data.importers.sentinels import find_sentinels
from data.importers.table_file import Role, Roles, TableFile
from data.importers.table_profile import EXAMPLES, TableProfile
from data.spans.source import Rejected
from edgeline.labels import format_count, join_names
from edgeline.records.columns import DECIMALS, TIMES
from edgeline.tables.files import Table

_MERGED = 0.01  # share of the cells
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[ap]\.?m\.?)?", re.IGNORECASE | re.ASCII)
# Rows that are looked at for a long table, and the names of its column of readings.
_ROWS = 2_000
_VALUES = ("value", "values", "val", "reading", "measurement", "result", "wert", "messwert")
_MOST_NAMES, _NEARLY_EACH, _NEARLY_ALL = 200, 0.9, 0.8


def warn_of_photos(table: TableProfile, roles: Roles, file: TableFile) -> Iterator[str]:
    """Yields a warning if a column of a table that no model reads names photos.

    Args:
        table: The profile of the columns.
        roles: Columns with a role are read.
        file: Its categories are read, too.
    """
    read = {*roles.columns, *file.categories}
    photos = [column.name for column in table.columns.values() if column.names_photos()]
    if unread := [name for name in photos if name not in read]:
        yield (
            f"{unread[0]} names photos, which a table does not read: the model learns from the other"
            " columns. To learn from the photos, call the column of labels `label`, leave out --label, and"
            " import into a new folder."
        )


def warn_of_numbers(table: TableProfile, file: TableFile, are_asked: bool) -> Iterator[str]:
    """Yields a warning for numbers that a model cannot tell apart, or that may stand for no reading.

    Args:
        table: The profile of the columns.
        file: Says which of them are numbers and dates.
        are_asked: A person was asked about numbers that may stand for no reading, which get no warning then.
    """
    for name in (name for name, entry in file.columns.items() if entry.role in (Role.NUMBER, Role.DATE)):
        column = table.columns[name]
        if column.merged > _MERGED * column.cells:
            yield (
                f"{name} has numbers that differ by less than a model can see, {column.merged:,} of"
                f" {column.cells:,}. Subtract a number that is near all of them in the table."
            )
        if are_asked:
            continue
        for text, count in find_sentinels(column):
            yield (
                f"{name} is {text} in {count:,} of {column.cells:,} cells, far from all others. If that"
                f" stands for no reading, write missing: ['{text}'] below {name} in table.yaml, which"
                " `edgeline data inspect` writes before an import into a new folder."
            )


def remark_on_rows(table: TableProfile, roles: Roles) -> Iterator[str]:
    """Yields sentences about times, and odd labels and groups."""
    if roles.time and table.forms[roles.time] in CLOCKS:
        yield f"{roles.time} has {table.forms[roles.time]}, which the span has in ISO 8601."
    if roles.time and (none := table.columns[roles.time].without_value):
        yield (
            f"{roles.time} is {none.first}, which stands for no time, as years lie between it and all others:"
            f" the span has no time in {format_count(none.count, 'row')}, which a run quarantines."
        )
    clocks = [name for name, column in table.columns.items() if column.have_all(_CLOCK)]
    if roles.time and clocks and not table.columns[roles.time].with_clock:
        both = f"{roles.time}+{clocks[0]}"
        yield f"{roles.time} has no times of day: --time {both!r} reads those of {clocks[0]}."

    if table.unlabelled:
        places = ", ".join(table.unlabelled[:EXAMPLES])
        places += ", ..." if len(table.unlabelled) > EXAMPLES else ""
        yield f"Left out because {roles.label} is missing: {len(table.unlabelled):,} ({places})."
    if nones := [name for name in table.labels if name.lower() == "none"]:
        yield f"{nones[0]!r} counts as a class; a missing label is an empty cell, NaN, NA or NULL."

    if not roles.group:
        return
    column = table.columns[roles.group]
    if is_nearly_unique(column):
        yield f"The group {roles.group} differs in nearly every row, so it keeps no rows together."
    elif gives_label_away(column):
        yield (
            f"Each of the {len(column.values or ())} groups of {roles.group} has one label, so a model may"
            " learn the groups instead of the labels; only its answers for unseen groups show that."
        )


def remark_on_categories(table: TableProfile, file: TableFile, vocabulary: int) -> Iterator[str]:
    """Yields a sentence for each category with more values than a model tells apart.

    Args:
        table: The profile of the columns.
        file: Says which of them are categories.
        vocabulary: The number of values that a model tells apart; 0 for no limit.
    """
    for column in (table.columns[name] for name in file.categories):
        least = MOST_CATEGORIES + 1 if column.values is None else len(column.values)
        count = f"over {MOST_CATEGORIES:,}" if column.values is None else f"{least:,}"
        if 0 < vocabulary < least:
            yield (
                f"{column.name} has {count} values, and a model tells the {vocabulary} most frequent ones"
                " apart; model.vocabulary in workload.yaml changes that."
            )


def explain_columns(table: TableProfile, file: TableFile, chosen: Collection[str]) -> Iterator[str]:
    """Yields a sentence on numbers that are more than digits, and on categories that some cells make such.

    Args:
        table: The profile of the columns.
        file: Says what each of them is.
        chosen: The columns whose kind a person chose; such categories need no sentence.
    """
    entries = file.columns.items()
    if odd := [
        f"{name} as {entry.form}"
        for name, entry in entries
        if entry.role == Role.NUMBER and entry.form not in ("", *DECIMALS, *TIMES)
    ]:
        yield f"Read by their form: {', '.join(odd)}."
    for name in file.categories:
        if name not in chosen and (why := describe_others(table.columns[name])):
            yield f"{name}, a category, {why}."


def warn_of_long(table: Table, roles: Roles) -> Iterator[str]:
    """Yields a warning with how to turn a table if rows that differ in a name and a value belong together."""
    values = [number for number, name in enumerate(table.header) if name.lower() in _VALUES]
    if roles.text or len(values) != 1:
        return
    rows = [item[1] for item in islice(table.lists(table.header), _ROWS) if not isinstance(item, Rejected)]
    for number, name in enumerate(table.header):
        is_read = number in values or name in roles.columns
        if not is_read and (shared := _find_shared(rows, number, values[0])):
            index = [table.header[other] for other in shared]
            names = sorted({row[number] for row in rows})
            yield (
                f"This looks like a long table: {name} says what {table.header[values[0]]} is"
                f" ({join_names(names, 4)}), and a model sees one row at a time. With pandas,"
                f" table.pivot_table(index={index}, columns={name!r}, values={table.header[values[0]]!r},"
                " aggfunc='first').reset_index() has a column for each."
            )
            return


def _find_shared(rows: Sequence[Sequence[str]], name: int, value: int) -> Sequence[int]:
    """Returns the columns that nearly all rows share with rows of other names; none if they are too few."""
    names = {row[name] for row in rows}
    if not 2 <= len(names) <= _MOST_NAMES or not all(cell[:1].isalpha() for cell in names):
        return ()

    # Columns that number the rows, or that a name determines, such as its unit, do not tell what belongs.
    shared = list[int]()
    for number in range(len(rows[0])):
        pairs = {(row[name], row[number]) for row in rows}
        is_told = len(pairs) > len(names)
        is_unique = len({row[number] for row in rows}) > _NEARLY_EACH * len(rows)
        if number not in (name, value) and is_told and not is_unique:
            shared.append(number)

    groups = defaultdict[tuple[str, ...], list[str]](list)
    for row in rows:
        groups[tuple(row[number] for number in shared)].append(row[name])
    together = [group for group in groups.values() if 2 <= len(group) == len({*group})]
    return shared if shared and sum(map(len, together)) >= _NEARLY_ALL * len(rows) else ()
