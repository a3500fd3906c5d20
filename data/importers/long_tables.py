"""Recognition of a long table, whose rows have one reading each, named by one of its columns."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

from data.importers.table_file import Roles
from data.spans.source import Rejected
from edgeline.labels import join_names
from edgeline.tables.files import Table

_ROWS = 2_000  # that are looked at
_VALUES = ("value", "values", "val", "reading", "measurement", "result", "wert", "messwert")
_MOST_NAMES, _NEARLY_EACH, _NEARLY_ALL = 200, 0.9, 0.8


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
