"""Cells that stand for no reading, although they are numbers or times."""

from data.importers.clocks import HALVES, find_no_times
from data.importers.column_profile import EXTREMES, ColumnProfile
from edgeline.records.columns import TIMES

# A number stands for no reading if it is at least this share of the cells, and further from all others than
# this many times their range; of fewer values than these, which are codes or counts, nothing is far.
_FREQUENT, _FAR, _EXTREMES_OF_MORE = 0.002, 3, 10


def find_sentinels(column: ColumnProfile) -> list[tuple[str, int]]:
    """Returns cells of a column like -9999 that are frequent and far from all others, each with its count."""
    lows, highs = (sorted(extremes) for extremes in column.extremes)
    if len(lows) < EXTREMES or not column.has_over(_EXTREMES_OF_MORE):
        return []
    least = max(EXTREMES, _FREQUENT * column.cells)
    gap = _FAR * (highs[-2] - lows[1])
    ends = (
        (lows[0], lows[1] - lows[0], column.extremes[0]),
        (highs[-1], highs[-1] - highs[-2], column.extremes[1]),
    )
    return [
        (column.extreme_cells[number], counts[number])
        for number, distance, counts in ends
        if distance > gap and counts[number] >= least
    ]


def list_no_times(column: ColumnProfile) -> tuple[str, ...]:
    """Returns the cells of a column of times that stand for none, such as 0 and 1970-01-01."""
    lows, highs = column.extremes
    are_dates = 2 * column.count_cells((*TIMES, *HALVES)) > column.cells
    none = find_no_times({*lows, *highs}, are_dates)
    if {*none} >= lows.keys():  # the lowest of the others is not known
        return ()
    return tuple(column.extreme_cells[number] for number in sorted(none))
