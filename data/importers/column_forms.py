"""The form in which nearly all cells of a column are written, and cells that are written in another one."""

import re
from collections import Counter
from collections.abc import Collection
from itertools import combinations

from data.importers.clocks import HALVES
from data.importers.column_profile import MOSTLY, ColumnProfile
from edgeline.records.columns import COMMA, DECIMALS, NUMBER, NUMBERS, THOUSANDS, TIMES, join_unit, split_unit

MOST_SIZES = 20  # with a unit, which make a good category


def find_form(column: ColumnProfile, decimal: str = "", former: str = "") -> str:
    """Returns the form that fits nearly all cells of a column; empty if none does, or two that disagree do.

    Args:
        column: The profile of the column.
        decimal: The decimal sign of the file's other columns, `,` or `.`; empty if they do not show it.
        former: The form of the column in an earlier span, which is taken if it fits.
    """
    counts = Counter[str]()
    for forms, cells in column.by_forms.items():
        counts.update(dict.fromkeys(forms, cells.count))
    most = max(counts.values(), default=0)
    if not 0 < most >= MOSTLY * column.cells:
        return ""
    if counts[former] >= MOSTLY * column.cells and (former, decimal) != (NUMBER, ","):
        return former

    # All of these have the same unit.
    _, unit = split_unit(max(counts, key=counts.__getitem__))
    ties = [form for form in (*NUMBERS, *TIMES, *HALVES) if counts[join_unit(form, unit)] == most]
    if unit and not column.has_over(MOST_SIZES):
        return ""
    if decimal and {*ties} <= {*NUMBERS}:
        ties.sort(key=lambda form: (form == COMMA) != (decimal == ","))
    elif len(ties) > 1:
        is_point_open = column.by_point[0] and {NUMBER, COMMA} == {*ties} & {*DECIMALS}
        if is_point_open or ties[0] in (COMMA, *TIMES, *HALVES):
            return ""
    return join_unit(ties[0], unit)


def find_decimal(column: ColumnProfile) -> str:
    """Returns the decimal sign if a cell of a column shows it beyond doubt, else an empty string."""
    if (form := find_form(column)) not in NUMBERS:
        return ""
    plain = {NUMBER, THOUSANDS}
    if form == COMMA:
        return "," if any(COMMA in forms and not plain & {*forms} for forms in column.by_forms) else ""
    return "." if any(COMMA not in forms and plain & {*forms} for forms in column.by_forms) else ""


def find_mixed_forms(column: ColumnProfile, forms: Collection[str]) -> str:
    """Returns two cells of a column that share no form if nearly all have one of these; else nothing."""
    if not column.cells or not column.has_mostly(forms):
        return ""
    pairs = combinations([(forms, cells.first) for forms, cells in column.by_forms.items() if forms], 2)
    return next((f"{one[1]}, {two[1]}" for one, two in pairs if not {*one[0]} & {*two[0]}), "")


def describe_others(column: ColumnProfile) -> str:
    """Describes the few cells that are no numbers or dates in a column of such; empty if most are none."""
    best = find_best_forms(column)
    # Names such as `1. Asian` are no sizes of which the number counts.
    if any(split_unit(form)[1] for form in best) and not column.has_over(MOST_SIZES):
        return ""
    count = column.cells - column.count_cells(best)
    if not 0 < count < column.cells / 2:
        return ""
    other = next(cells for forms, cells in column.by_forms.items() if not {*forms} & {*best})
    what = f"{count:,} cells that are not numbers or dates, such as"
    if count == 1:
        what = "one cell that is not a number or date,"
    # A cell with a digit in it has a value.
    has_value = re.search(r"\d", other.cell)
    do = "write numbers alone" if has_value else "empty " + ("these" if count > 1 else "it")
    return f"has {what} {other.first}: {do}"


def find_best_forms(column: ColumnProfile) -> Collection[str]:
    """Returns the forms of numbers, of dates, or the one with a unit, whichever most cells have."""
    kinds = [NUMBERS, (*TIMES,), *((form,) for forms in column.by_forms for form in forms)]
    return max(kinds, key=column.count_cells)
