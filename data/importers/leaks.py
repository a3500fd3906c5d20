"""Tells whether a column leaks the labels of its rows, or tells their groups apart."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from data.importers.codes import guess_kind
from data.importers.column_forms import find_best_forms
from data.importers.column_profile import MOSTLY, ColumnProfile
from edgeline.records.columns import NUMBER

# Mean number of rows a value. If each value still comes with one label only, that is no coincidence.
_ROWS_A_VALUE = 5
# The same for names, of which a panel has few rows each: if that is no coincidence either, by its chance.
_ROWS_A_NAME, _LARGEST_CHANCE = 1.5, 1e-6
# Fewest rows for which a column is left out because the labels' ranges of its numbers do not overlap, or
# because one of two labels has all the empty cells. A strong column separates a few dozen rows honestly (the
# petals of 50 and 50 irises). One of 20 rows would lie in the other label's range, with 95 % certainty, if
# every seventh row of its label did (1 - 0.05^(1/20)).
_APART_ROWS, _APART_ROWS_A_LABEL = 200, 20
# Share of a label's rows that are filled where those of others are all empty: no coincidence either.
_NEARLY_FILLED = 0.9
# Few groups, of at least so many rows in the mean, are told apart by values of which so many are different.
_GROUPS = range(5, 50)
_ROWS_OF_A_GROUP, _MOSTLY_APART = 3, 0.8


def gives_label_away(column: ColumnProfile) -> bool:
    """Returns whether each value of a column comes with one label only, and that is no coincidence."""
    if not column.values or len(column.labels) < 2 or column.label_of is None:
        return False
    # A measurement of a group comes with the label of its group, however many rows that has.
    is_of_groups = column.by_group is not None and not _may_be_names(column)
    rows = len(column.by_group or ()) if is_of_groups else column.cells
    if rows >= _ROWS_A_VALUE * len(column.values):
        return True
    # Each further row of a value has its label by chance, at best that of the most frequent label.
    chance = (max(column.labels.values()) / column.cells) ** (column.cells - len(column.values))
    is_repeated = column.cells >= _ROWS_A_NAME * len(column.values)
    return is_repeated and chance < _LARGEST_CHANCE and _may_be_names(column)


def _may_be_names(column: ColumnProfile) -> bool:
    if not column.has_mostly(find_best_forms(column)) or column.leading_zeros > (1 - MOSTLY) * column.cells:
        return True
    # Labels that split the numbers in order are a strong measurement.
    return bool(guess_kind(column)) and not _are_apart(column.list_ranges(NUMBER))


def describe_one_label(column: ColumnProfile, rows: Mapping[str, int]) -> str:
    """Returns the one label for which a column is empty or filled, as the end of a sentence; else nothing."""
    if label := _find_empty_label(column, rows):
        others = sum(rows.values()) - rows[label] - column.cells
        return f"empty in all rows labelled {label}, and in {others or 'no'} others"
    if label := _find_filled_label(column, rows):
        count = "all" if column.cells == rows[label] else f"{column.cells:,} of {rows[label]:,}"
        return f"filled in {count} rows labelled {label}, and in no others"
    return ""


def _find_empty_label(column: ColumnProfile, rows: Mapping[str, int]) -> str:
    """Returns the label whose rows, and no others, are all empty; else nothing."""
    empty = [label for label in rows if not column.labels[label]]
    if len(rows) < 2 or len(empty) != 1:
        return ""
    total = sum(rows.values())
    others = total - rows[empty[0]]
    is_enough = min(rows.values()) >= _APART_ROWS_A_LABEL and total >= _APART_ROWS
    # A mark has two values, and one of them is the empty cell.
    is_mark = not column.has_over(1) and total >= 2 * _ROWS_A_VALUE and column.cells == others
    return empty[0] if is_mark or (is_enough and column.cells >= _NEARLY_FILLED * others) else ""


def _find_filled_label(column: ColumnProfile, rows: Mapping[str, int]) -> str:
    """Returns the label of whose rows nearly all, and no others, are filled; else nothing."""
    if len(rows) < 2 or len(column.labels) != 1 or column.cells < _APART_ROWS_A_LABEL:
        return ""
    [filled] = column.labels
    total = sum(rows.values())
    # The chance that all rows of the other labels are empty although each row may be filled.
    chance = (1 - column.cells / total) ** (total - rows[filled])
    is_nearly = column.cells >= _NEARLY_FILLED * rows[filled] and chance < _LARGEST_CHANCE
    return filled if column.cells == rows[filled] or is_nearly else ""


def separates_labels(column: ColumnProfile, form: str) -> bool:
    """Returns whether each label has a range of a column's numbers of its own, with enough rows or groups."""
    if column.by_group is not None and len(column.by_group) < _APART_ROWS:
        return False
    ranges = column.list_ranges(form)
    counts = sorted(count for _, _, count in ranges)
    is_enough = len(counts) > 1 and counts[-2] >= _APART_ROWS_A_LABEL and sum(counts) >= _APART_ROWS
    return is_enough and _are_apart(ranges)


def _are_apart(ranges: Sequence[tuple[float, float, int]]) -> bool:
    return all(one[1] < two[0] for one, two in pairwise(sorted(ranges)))


def tells_groups_apart(column: ColumnProfile) -> bool:
    """Returns whether a column has one value in each of few groups, and another in nearly each of them."""
    groups = len(column.by_group or ())
    is_repeated = groups in _GROUPS and column.cells >= _ROWS_OF_A_GROUP * groups
    return is_repeated and len(column.values or ()) >= _MOSTLY_APART * groups
