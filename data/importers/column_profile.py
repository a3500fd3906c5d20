"""The profile of a column of anyone's table, which counts its cells."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import PurePath
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.importers.cell_forms import AlikeCells, find_digits, read_cell
from data.importers.labelled_rows import Rows
from data.importers.plain_numbers import OddCells, PlainNumbers, find_plain_numbers
from edgeline.records.columns import COMMA, DAY_S, DECIMALS, FRACTION, MISSING, NUMBER, THOUSANDS, TIMES
from edgeline.tables.unpacking import PHOTO_SUFFIXES

# Share of the filled cells: a few typing errors are quarantined later, and do not make a column a text.
MOSTLY = 0.99
_NEARLY_EACH = 0.95  # share of the cells, if nearly each has a value of its own
MOST_CATEGORIES = 1_000
EXTREMES = 3  # numbers at either end that are counted
# An odd number that spreads the bits of a float evenly over the highest ones: Knuth's, by the golden ratio.
_GOLDEN = 0x9E3779B97F4A7C15


@dataclass
class ColumnProfile:
    """A column's filled cells: how many there are, their values, and the labels of their rows."""

    name: str
    forms: tuple[str, ...] = ()  # the forms that a cell may have; none for a column of names
    cells: int = 0
    labels: Counter[str] = field(default_factory=Counter)  # of the rows with these cells
    values: dict[str, int] | None = field(default_factory=dict)  # cells of each; None for over 1,000 values
    label_of: dict[str, str] | None = field(default_factory=dict)  # of each value; None if one has two
    sampled: Counter[str] = field(default_factory=Counter)  # cells of one value in 64, of the whole column
    longest: int = 0
    by_forms: dict[tuple[str, ...], AlikeCells] = field(default_factory=dict)
    # For each form and label, the lowest and the highest number, and the number of cells.
    ranges: dict[tuple[str, str], tuple[float, float, int]] = field(default_factory=dict)
    # For each number of digits, the whole numbers without a sign.
    whole_digits: Counter[int] = field(default_factory=Counter)
    last: int = -1  # the last whole number, and whether each was above the one before
    is_rising: bool = True
    leading_zeros: int = 0  # whole numbers that begin with a zero that no number needs
    by_point: tuple[int, str] = (0, "")  # cells like 78.932, and the first one with its place
    weekdays: set[int] = field(default_factory=set)  # on which dates fall, 0 to 6
    days: set[tuple[int, int]] = field(default_factory=set)  # the months and days of the month of dates
    with_clock: int = 0  # dates with a time of day
    is_grouped: bool = False  # whether the rows have groups
    is_repeated: bool = False  # whether another column has its name
    source_type: str = ""  # the type that its source has for it if no cell has that, such as lists
    merged: int = 0  # plain numbers that are another one as float32
    missing: tuple[str, ...] = ()  # texts that stand for a missing cell, beside the usual ones
    without_value: AlikeCells | None = None  # the cells that have these texts
    # The lowest and the highest of the numbers or dates, each with its count, and the first cell of each.
    extremes: tuple[Counter[float], Counter[float]] = field(default_factory=lambda: (Counter(), Counter()))
    extreme_cells: dict[float, str] = field(default_factory=dict)
    # The cell of each group; None where rows have no groups, or a group has two.
    by_group: dict[str, str] | None = None

    def add(self, texts: pa.Array, rows: Rows, missing: Collection[str] = MISSING) -> None:
        """Adds the cells that are filled, each with its row.

        Args:
            texts: The next cells of the column, strings without nulls, [N].
            rows: The rows of these cells, [N].
            missing: Cells that are passed over, in lower case; those in `self.missing` are too, but counted.
        """
        if self.missing:
            is_filled = pc.invert(pc.is_in(texts, value_set=pa.array(self.missing)))
            kept = is_filled.to_numpy(zero_copy_only=False)
            if not kept.all():
                place = int(kept.argmin())
                first = AlikeCells(texts[place].as_py(), rows.places[place])
                self.without_value = self.without_value or first
                self.without_value.count += int((~kept).sum())
            texts, rows = texts.filter(is_filled), rows.take(np.flatnonzero(kept).tolist())
        plain = find_plain_numbers(texts if self.forms else texts.slice(0, 0))
        odd = OddCells.of(texts, plain.list_others(len(texts)))
        is_missing = odd.find(missing)
        if is_missing.any():
            kept = np.ones(len(texts), bool)
            kept[odd.places[is_missing]] = False
            texts, rows = texts.filter(pa.array(kept)), rows.take(np.flatnonzero(kept).tolist())
            plain, odd = plain.keep(kept), odd.keep(kept)
        if not len(texts):
            return

        self.cells += len(texts)
        self.labels.update(rows.counts)
        self.longest = max(self.longest, pc.max(pc.utf8_length(texts)).as_py())
        if self.values is not None:
            self._add_values(self.values, texts, rows)
        if len(odd.places):
            self._add_odd_cells(odd, rows)
        if len(plain.places):
            self._add_plain_numbers(plain, texts, rows)

    def _add_values(self, values: dict[str, int], texts: pa.Array, rows: Rows) -> None:
        encoded = texts.dictionary_encode()
        if len(encoded.dictionary) > MOST_CATEGORIES:
            self.values = self.label_of = self.by_group = None
            return
        cells = encoded.dictionary.to_numpy(zero_copy_only=False).tolist()
        numbers = encoded.indices.to_numpy()
        for cell, count in zip(cells, np.bincount(numbers).tolist(), strict=True):
            values[cell] = values.get(cell, 0) + count

        if self.label_of is not None:
            of_cell = np.zeros(len(cells), np.int64)
            of_cell[numbers] = rows.codes
            labels = [rows.names[code] for code in of_cell.tolist()]
            known = [*map(self.label_of.setdefault, cells, labels)]
            if known != labels or (of_cell[numbers] != rows.codes).any():
                self.label_of = None
        if self.by_group is not None:
            of_group = self.by_group
            of_rows = dict.fromkeys(zip(rows.groups, numbers.tolist(), strict=True))
            if any(
                group and of_group.setdefault(group, cells[number]) != cells[number]
                for group, number in of_rows
            ):
                self.by_group = None
        if len(values) > MOST_CATEGORIES:
            self.values = self.label_of = self.by_group = None

    def _add_plain_numbers(self, plain: PlainNumbers, texts: pa.Array, rows: Rows) -> None:
        # One value in 64, by a hash of its bits.
        bits = plain.values.view(np.uint64) * np.uint64(_GOLDEN)
        self.sampled.update(texts.take(pa.array(plain.places[bits >> np.uint64(58) == 0])).to_pylist())
        numbers, counts = np.unique(plain.values, return_counts=True)
        with np.errstate(over="ignore"):
            self.merged += int((np.diff(numbers.astype(np.float32)) == 0).sum())
        for number in self._count_extremes(numbers, counts):
            place = int(plain.places[(plain.values == number).argmax()])
            self.extreme_cells[number] = texts[place].as_py()

        # The forms that numbers of each kind have.
        has_point = plain.has_point & ~plain.has_exponent
        for is_here, forms in (
            (~plain.has_point & ~plain.has_exponent, (*DECIMALS, FRACTION)),
            (has_point & ~plain.is_group, (NUMBER, THOUSANDS, FRACTION)),
            (plain.is_group, (*DECIMALS, FRACTION)),
            (plain.has_exponent, (NUMBER, FRACTION)),
        ):
            fitting = tuple(form for form in self.forms if form in forms and NUMBER in self.forms)
            if is_here.any():
                place = int(plain.places[is_here.argmax()])
                cells = AlikeCells(texts[place].as_py(), rows.places[place])
                self.by_forms.setdefault(fitting, cells).count += int(is_here.sum())
                self._add_ranges(fitting, plain, is_here, rows)

        if plain.is_group.any():
            place = int(plain.places[plain.is_group.argmax()])
            first = self.by_point[1] or f"{texts[place].as_py()!r} in {rows.places[place]}"
            # A thousand is a whole number already.
            count = int((plain.is_group & (plain.digits == 0)).sum())
            self.by_point = (self.by_point[0] + count, first)
        if plain.digits.any():
            self._count_digits(plain)

    def _count_extremes(self, numbers: NDArray[np.float64], counts: NDArray[np.int64]) -> Collection[float]:
        """Counts the ends of ascending numbers, each there once; returns those that are new."""
        for extremes, ends in zip(self.extremes, (slice(EXTREMES), slice(-EXTREMES, None)), strict=True):
            extremes.update(dict(zip(numbers[ends].tolist(), counts[ends].tolist(), strict=True)))
            for number in extremes.keys() - sorted(extremes)[ends]:
                del extremes[number]
        return {*self.extremes[0], *self.extremes[1]} - self.extreme_cells.keys()

    def _count_digits(self, plain: PlainNumbers) -> None:
        is_whole = plain.digits > 0
        lengths, counts = np.unique(plain.digits[is_whole], return_counts=True)
        self.whole_digits.update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))
        numbers = plain.values[is_whole]
        self.is_rising = self.is_rising and numbers[0] > self.last and bool((np.diff(numbers) > 0).all())
        self.last = int(numbers[-1])
        self.leading_zeros += int(plain.has_zero_first.sum())

    def _add_ranges(
        self, forms: Sequence[str], plain: PlainNumbers, is_here: NDArray[np.bool_], rows: Rows
    ) -> None:
        """Adds some of the plain numbers to the ranges of their labels."""
        values = plain.values[is_here]
        codes = rows.codes[plain.places[is_here]]
        # The point of a number with a decimal comma is at thousands.
        scale = 1000 if plain.is_group[is_here].all() else 1
        order = np.argsort(codes, kind="stable")
        present, starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
        lows, highs = (reduce.reduceat(values[order], starts) for reduce in (np.minimum, np.maximum))
        arrays = (present, lows, highs, counts)
        for code, low, high, count in zip(*(array.tolist() for array in arrays), strict=True):
            for form in forms:
                times = scale if form == COMMA else 1
                self._widen(form, rows.names[code], low * times, high * times, count)

    def _widen(self, form: str, label: str, low: float, high: float, count: int) -> None:
        """Widens the range of the numbers of a label in a form by so many more."""
        lowest, highest, before = self.ranges.get((form, label), (low, high, 0))
        self.ranges[form, label] = (min(lowest, low), max(highest, high), before + count)

    def _add_odd_cells(self, odd: OddCells, rows: Rows) -> None:
        """Adds cells that are no plain numbers, or of a column without forms, value by value."""
        # The values in all forms of the cells that the same forms fit, by label.
        values_of: dict[tuple[tuple[str, ...], str], list[tuple[float, ...]]] = defaultdict(list)
        rows_of = Counter[tuple[tuple[str, ...], str]]()
        sizes = Counter[float]()
        cell_of = dict[float, str]()
        for cell, code, place, count in odd.list_pairs(rows.codes):
            if crc32(cell.encode(errors="replace")) % 64 == 0:
                self.sampled[cell] += count
            if not self.forms:
                continue
            label = rows.names[code]
            forms, values = read_cell(cell, self.forms)
            values_of[forms, label].append(values)
            rows_of[forms, label] += count
            if values:
                sizes[values[0]] += count
                cell_of.setdefault(values[0], cell)
            if forms not in self.by_forms:
                self.by_forms[forms] = AlikeCells(cell, rows.places[place])
            self.by_forms[forms].count += count
            if digits := find_digits(cell):
                number = int(digits)
                self.whole_digits[len(digits)] += count
                self.is_rising = self.is_rising and number > self.last and count == 1
                self.last = number
                self.leading_zeros += count * (len(digits) > len(str(number)))
            if TIMES.keys() & {*forms}:
                self.weekdays.update(int(value // DAY_S) % 7 for value in values)
                times = [datetime.fromtimestamp(value, timezone.utc) for value in values]
                self.days.update((time.month, time.day) for time in times)
                self.with_clock += count * sum(bool(value % DAY_S) for value in values)

        ends, counts = np.array(sorted(sizes.items()), np.float64).reshape(-1, 2).T
        for end in self._count_extremes(ends, counts.astype(np.int64)):
            self.extreme_cells[end] = cell_of[end]
        for (forms, label), count in rows_of.items():
            for form, numbers in zip(forms, zip(*values_of[forms, label], strict=True), strict=True):
                self._widen(form, label, min(numbers), max(numbers), count)

    def has_over(self, count: float) -> bool:
        """Returns whether it has more values than these."""
        return self.values is None or len(self.values) > count

    @property
    def unreadable(self) -> str:
        """The first cell that is neither a number nor a date, else the first cell, with its place."""
        unread = self.by_forms.get(())
        return unread.first if unread else self.first_cell or "nothing"

    @property
    def first_cell(self) -> str:
        """The first cell with its place; empty if there is none."""
        return next((cells.first for cells in self.by_forms.values()), "")

    def names_photos(self) -> bool:
        """Returns whether its cells are names of photos."""
        cells = self.values or self.sampled
        return bool(cells) and all(PurePath(cell).suffix.lower() in PHOTO_SUFFIXES for cell in cells)

    def have_all(self, form: re.Pattern[str]) -> bool:
        """Returns whether nearly all of its values have a form."""
        cells = self.values or self.sampled
        return bool(cells) and sum(map(bool, map(form.fullmatch, cells))) >= MOSTLY * len(cells)

    def has_unique_cells(self) -> bool:
        """Returns whether nearly every cell has a value of its own, whatever their number."""
        if self.values is not None:
            return len(self.values) >= _NEARLY_EACH * self.cells
        return len(self.sampled) >= _NEARLY_EACH * self.sampled.total()

    def has_long_numbers(self) -> bool:
        """Returns whether its whole numbers have more digits than a float holds."""
        return self.is_whole() and max(self.whole_digits) > 15

    def is_whole(self) -> bool:
        """Returns whether all of its cells are whole numbers without a sign."""
        return self.whole_digits.total() == self.cells

    def list_ranges(self, form: str) -> list[tuple[float, float, int]]:
        """Returns for each label the lowest and the highest number in a form, and how many there are."""
        return [bounds for (own, _), bounds in self.ranges.items() if own == form]

    def find_bounds(self, form: str) -> tuple[float, float]:
        """Returns the lowest and the highest number in a form; zeros if there is none."""
        ranges = self.list_ranges(form) or [(0, 0, 0)]
        return min(low for low, _, _ in ranges), max(high for _, high, _ in ranges)

    def has_mostly(self, forms: Collection[str]) -> bool:
        """Returns whether nearly all of its cells have one of these forms."""
        return self.count_cells(forms) >= MOSTLY * self.cells

    def count_cells(self, forms: Collection[str]) -> int:
        """Returns the number of cells that have one of these forms."""
        return sum(cells.count for fitting, cells in self.by_forms.items() if {*forms} & {*fitting})
