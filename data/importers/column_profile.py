"""The profile of a column of anyone's table: its cells, and what they and its name show of it."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import combinations, pairwise
from pathlib import PurePath
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.importers.cell_forms import AlikeCells, read_cell
from data.importers.clocks import HALVES, find_count, find_no_times
from data.importers.labelled_rows import Rows
from data.importers.plain_numbers import OddCells, PlainNumbers, find_plain_numbers
from edgeline.records.columns import (
    AGE,
    COMMA,
    DAY_S,
    DECIMALS,
    FRACTION,
    HOUR,
    LARGEST,
    MISSING,
    MONTH,
    NUMBER,
    NUMBERS,
    THOUSANDS,
    TIMES,
    WEEKDAY,
    join_unit,
    normalize_number,
    split_unit,
)
from edgeline.tables.unpacking import PHOTO_SUFFIXES

# Share of the filled cells: a few typing errors are quarantined later, and do not make a column a text.
MOSTLY = 0.99
MOST_CATEGORIES = 1_000
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
# Whole numbers identify rows, and measure nothing, if there are enough rows, nearly each has another number,
# and one of these holds: the numbers fill a range like a count (random ones would repeat) or rise from row to
# row; they have the digits of a phone or an account; or all have the same number of digits and cover its
# whole range, at both ends of which no measurement stops.
_MANY_ROWS, _NEARLY_EACH, _COUNT_LIKE, _IDENTIFIER_DIGITS, _COVERED = 20, 0.95, 1.5, 7, 0.9
# Pandas writes .0 if some cells are missing. More digits than a float has are a text.
_WHOLE = re.compile(r"\+?(\d{1,300})(\.0)?", re.ASCII)
# Words of a column's name that mark an identifier: anywhere in it, or only at its end.
_IDENTIFIER_WORDS = re.compile(
    "id|ids|identifier|uuid|zip|zipcode|plz|postcode|postal|postleitzahl|code|sku|ean|isbn|iban|phone|telephone"
    "|telefon|tel|mobile|mobil"
)
_IDENTIFIER_ENDINGS = re.compile("no|num|number|store|branch|filiale|index|idx|key|.*nr|.*nummer")
# Names that R, pandas and people give to the names of rows.
_ROW_NAMES = re.compile(r"row[._ ]?(names?|ids?|index|num(ber)?|nr|no)|level_0|index", re.IGNORECASE)
_YEARS = range(1800, 2201)
# Few groups, of at least so many rows in the mean, are told apart by values of which so many are different.
_GROUPS = range(5, 50)
_ROWS_OF_A_GROUP = 3
_MOSTLY_APART = 0.8
# A number stands for no reading if it is at least this share of the cells, and further from all others than
# this many times their range; of fewer values than these, which are codes or counts, nothing is far.
_FREQUENT, _FAR, _EXTREMES_OF_MORE = 0.002, 3, 10
_EXTREMES = 3  # numbers at either end that are counted
# An odd number that spreads the bits of a float evenly over the highest ones: Knuth's, by the golden ratio.
_GOLDEN = 0x9E3779B97F4A7C15
MOST_SIZES = 20  # with a unit, which make a good category


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
        """Adds cells, each with its row; those that are `missing`, in lower case, are passed over."""
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
            is_mixed = (of_cell[numbers] != rows.codes).any()
            if is_mixed or any(map(self._has_other_label, cells, labels)):
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

    def _has_other_label(self, cell: str, label: str) -> bool:
        """Tells whether a value had another label before, and keeps the label of a new one."""
        return self.label_of is not None and self.label_of.setdefault(cell, label) != label

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
        codes = rows.codes[plain.places]
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
                # The point of a number with a decimal comma is at thousands.
                scale = 1000 if is_here is plain.is_group else 1
                self._add_ranges(fitting, plain.values[is_here], codes[is_here], rows.names, scale)

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
        for extremes, ends in zip(self.extremes, (slice(_EXTREMES), slice(-_EXTREMES, None)), strict=True):
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
        self,
        forms: Sequence[str],
        values: NDArray[np.float64],
        codes: NDArray[np.int64],
        names: Sequence[str],
        scale: int,
    ) -> None:
        """Adds numbers to the ranges of their labels, with a decimal comma `scale` times as large."""
        order = np.argsort(codes, kind="stable")
        present, starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
        lows, highs = (reduce.reduceat(values[order], starts) for reduce in (np.minimum, np.maximum))
        for code, low, high, count in zip(
            *(array.tolist() for array in (present, lows, highs, counts)), strict=True
        ):
            for form in forms:
                times = scale if form == COMMA else 1
                self._widen(form, names[code], low * times, high * times, count)

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
            if match := _WHOLE.fullmatch(normalize_number(cell)):
                number = int(match[1])
                self.whole_digits[len(match[1])] += count
                self.is_rising = self.is_rising and number > self.last and count == 1
                self.last = number
                self.leading_zeros += count * (len(match[1]) > len(str(number)))
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

    def find_form(self, decimal: str = "", former: str = "") -> str:
        """Returns the form that fits nearly all cells; empty if none does, or two that disagree do.

        Args:
            decimal: The decimal sign of the file's other columns, `,` or `.`; empty if they do not show it.
            former: The form of the column in an earlier span, which is taken if it fits.
        """
        counts = self._count_by_form()
        most = max(counts.values(), default=0)
        if not 0 < most >= MOSTLY * self.cells:
            return ""
        if counts[former] >= MOSTLY * self.cells and (former, decimal) != (NUMBER, ","):
            return former

        # All of these have the same unit.
        _, unit = split_unit(max(counts, key=counts.__getitem__))
        ties = [form for form in (*NUMBERS, *TIMES, *HALVES) if counts[join_unit(form, unit)] == most]
        if unit and not self.has_over(MOST_SIZES):
            return ""
        if decimal and {*ties} <= {*NUMBERS}:
            ties.sort(key=lambda form: (form == COMMA) != (decimal == ","))
        elif len(ties) > 1:
            is_point_open = self.by_point[0] and {NUMBER, COMMA} == {*ties} & {*DECIMALS}
            if is_point_open or ties[0] in (COMMA, *TIMES, *HALVES):
                return ""
        return join_unit(ties[0], unit)

    def _count_by_form(self) -> Counter[str]:
        counts = Counter[str]()
        for forms, cells in self.by_forms.items():
            counts.update(dict.fromkeys(forms, cells.count))
        return counts

    def find_count(self, form: str) -> str:
        """Returns what its numbers in this form count, if they are times; else an empty string."""
        return find_count(*self._find_bounds(form)) if form in NUMBERS else ""

    def find_decimal(self) -> str:
        """Returns the decimal sign if a cell shows it beyond doubt, else an empty string."""
        if (form := self.find_form()) not in NUMBERS:
            return ""
        plain = {NUMBER, THOUSANDS}
        if form == COMMA:
            return "," if any(COMMA in forms and not plain & {*forms} for forms in self.by_forms) else ""
        return "." if any(COMMA not in forms and plain & {*forms} for forms in self.by_forms) else ""

    def find_mixed_forms(self, forms: Collection[str]) -> str:
        """Returns two cells without a form in common if nearly all have one of these forms; else nothing."""
        if not self.cells or not self.has_mostly(forms):
            return ""
        pairs = combinations([(forms, cells.first) for forms, cells in self.by_forms.items() if forms], 2)
        return next((f"{one[1]}, {two[1]}" for one, two in pairs if not {*one[0]} & {*two[0]}), "")

    @property
    def several_forms(self) -> str:
        """Two cells of numbers that are written in different ways; empty if they are not."""
        return self.find_mixed_forms(NUMBERS)

    def has_one_value(self) -> bool:
        """Returns whether all of its cells are the same."""
        return self.values is not None and len(self.values) == 1

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

    @property
    def others(self) -> str:
        """The few cells of numbers or dates that are none; empty if most cells are none."""
        best = self._find_best_forms()
        count = self.cells - self._count_cells(best)
        if not 0 < count < self.cells / 2:
            return ""
        other = next(cells for forms, cells in self.by_forms.items() if not {*forms} & {*best})
        what = f"{count:,} cells that are not numbers or dates, such as"
        if count == 1:
            what = "one cell that is not a number or date,"
        # A cell with a digit in it has a value.
        has_value = re.search(r"\d", other.cell)
        do = "write numbers alone" if has_value else "empty " + ("these" if count > 1 else "it")
        return f"has {what} {other.first}: {do}"

    def _find_best_forms(self) -> Collection[str]:
        """Returns the forms of numbers, of dates, or the one with a unit, whichever has most cells."""
        kinds = [NUMBERS, (*TIMES,), *((form,) for form in self._count_by_form())]
        return max(kinds, key=self._count_cells)

    def guess_kind(self) -> str:
        """Guesses the kind of whole numbers that may be codes; empty if they clearly are not."""
        cells = self.values or {}
        if len(cells) < 3 or self.has_unique_cells() or not self._is_whole():
            return ""

        is_sparse = False
        (digits, count), *_ = self.whole_digits.most_common(1)
        if count == self.cells and digits >= 3:
            numbers = sorted(int(normalize_number(cell).removesuffix(".0")) for cell in cells)
            step = math.gcd(*(high - low for low, high in pairwise(numbers)))
            places = (numbers[-1] - numbers[0]) // step + 1
            # The expected number of distinct values in as many random draws from that range.
            expected = places * -math.expm1(-self.cells / places)
            # Doses and sizes are few on purpose, but round.
            is_sparse = len(numbers) < expected / 2 and step % 5 != 0 and not {*numbers} <= {*_YEARS}

        is_named = self._has_identifier_name()
        if not is_named and not is_sparse:
            return ""
        return "category" if is_named or digits >= 4 else "number"

    def find_date_parts(self, form: str, time: str) -> tuple[str, ...]:
        """Returns the parts of a date that vary and repeat here, or that the column `time` gives."""
        low, high = self._find_bounds(form)
        days = (high - low) / DAY_S
        # Years and months are written as their first days, whose weekday says nothing.
        is_day = any(day > 1 for _, day in self.days)
        fits = {
            WEEKDAY: days >= 14 and len(self.weekdays) > 1 and is_day,
            HOUR: days >= 2 and self.with_clock > (1 - MOSTLY) * self.cells,
            MONTH: days >= 730 and len({month for month, _ in self.days}) > 1,
            AGE: bool(time),
        }
        return tuple(part for part, fit in fits.items() if fit)

    def show_cells(self) -> str:
        """Returns its first values, for a question about it."""
        return ", ".join(list(self.values or self.sampled)[:4])

    def find_sentinels(self) -> list[tuple[str, int]]:
        """Returns cells like -9999 that are frequent and far from all others, each with its count."""
        lows, highs = (sorted(extremes) for extremes in self.extremes)
        if len(lows) < _EXTREMES or not self.has_over(_EXTREMES_OF_MORE):
            return []
        least = max(_EXTREMES, _FREQUENT * self.cells)
        gap = _FAR * (highs[-2] - lows[1])
        ends = (
            (lows[0], lows[1] - lows[0], self.extremes[0]),
            (highs[-1], highs[-1] - highs[-2], self.extremes[1]),
        )
        return [
            (self.extreme_cells[number], counts[number])
            for number, distance, counts in ends
            if distance > gap and counts[number] >= least
        ]

    def find_no_times(self) -> tuple[str, ...]:
        """Returns the cells of a column of times that stand for none, such as 0 and 1970-01-01."""
        lows, highs = self.extremes
        are_dates = 2 * self._count_cells((*TIMES, *HALVES)) > self.cells
        none = find_no_times({*lows, *highs}, are_dates)
        if {*none} >= lows.keys():  # the lowest of the others is not known
            return ()
        return tuple(self.extreme_cells[number] for number in sorted(none))

    def names_photos(self) -> bool:
        """Returns whether its cells are names of photos."""
        cells = self.values or self.sampled
        return bool(cells) and all(PurePath(cell).suffix.lower() in PHOTO_SUFFIXES for cell in cells)

    def have_all(self, form: re.Pattern[str]) -> bool:
        """Returns whether nearly all of its values have a form."""
        cells = self.values or self.sampled
        return bool(cells) and sum(map(bool, map(form.fullmatch, cells))) >= MOSTLY * len(cells)

    def is_nearly_unique(self) -> bool:
        """Returns whether nearly every cell has a value of its own."""
        return self.cells >= _MANY_ROWS and self.has_unique_cells()

    def has_unique_cells(self) -> bool:
        """Returns whether nearly every cell has a value of its own, whatever their number."""
        if self.values is not None:
            return len(self.values) >= _NEARLY_EACH * self.cells
        return len(self.sampled) >= _NEARLY_EACH * self.sampled.total()

    def has_long_numbers(self) -> bool:
        """Returns whether its whole numbers have more digits than a float holds."""
        return self._is_whole() and max(self.whole_digits) > 15

    def _is_whole(self) -> bool:
        return self.whole_digits.total() == self.cells

    def _list_ranges(self, form: str) -> list[tuple[float, float, int]]:
        return [bounds for (own, _), bounds in self.ranges.items() if own == form]

    def counts_rows(self, form: str) -> bool:
        """Returns whether its whole numbers in this form count the rows, and measure nothing."""
        if not (self._is_whole() and self.is_nearly_unique()):
            return False
        low, high = self._find_bounds(form)
        return self.is_rising or high - low < _COUNT_LIKE * self.cells

    def identifies_rows(self, form: str) -> bool:
        """Returns whether its whole numbers in this form name the rows, and measure nothing."""
        if not (self._is_whole() and self.is_nearly_unique()):
            return False
        if self._has_identifier_name():
            return True
        low, high = self._find_bounds(form)
        (digits, count), *_ = self.whole_digits.most_common(1)
        covered = (high - low) / (10**digits - 10 ** (digits - 1)) >= _COVERED
        return count == self.cells and (digits >= _IDENTIFIER_DIGITS or (covered and digits >= 4))

    def is_called_identifier(self, by_ending: bool = True) -> bool:
        """Returns whether it has whole numbers, and the name of an identifier, also by its ending alone."""
        return self._has_identifier_name(by_ending) and self._is_whole()

    def is_called_row_name(self) -> bool:
        """Returns whether it has more whole numbers than a few, and the name of names of rows."""
        return bool(_ROW_NAMES.fullmatch(self.name)) and self._is_whole() and self.has_over(MOST_SIZES)

    def _find_bounds(self, form: str) -> tuple[float, float]:
        ranges = self._list_ranges(form)
        return min(low for low, _, _ in ranges), max(high for _, high, _ in ranges)

    def _has_identifier_name(self, by_ending: bool = True) -> bool:
        words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", self.name).lower())
        if any(map(_IDENTIFIER_WORDS.fullmatch, words)):
            return True
        return by_ending and any(map(_IDENTIFIER_ENDINGS.fullmatch, words[-1:]))

    def has_mostly(self, forms: Collection[str]) -> bool:
        """Returns whether nearly all of its cells have one of these forms."""
        return self._count_cells(forms) >= MOSTLY * self.cells

    def has_all(self, form: str) -> bool:
        """Returns whether all of its cells have a form, and none is beyond what a model can read."""
        most = max((max(abs(low), abs(high)) for low, high, _ in self._list_ranges(form)), default=0)
        return self._count_cells((form,)) == self.cells and most <= LARGEST

    def _count_cells(self, forms: Collection[str]) -> int:
        return sum(cells.count for fitting, cells in self.by_forms.items() if {*forms} & {*fitting})

    def gives_label_away(self) -> bool:
        """Returns whether each value comes with one label only, and that is no coincidence."""
        if not self.values or len(self.labels) < 2 or self.label_of is None:
            return False
        # A measurement of a group comes with the label of its group, however many rows that has.
        is_of_groups = self.by_group is not None and not self._may_be_names()
        rows = len(self.by_group or ()) if is_of_groups else self.cells
        if rows >= _ROWS_A_VALUE * len(self.values):
            return True
        # Each further row of a value has its label by chance, at best that of the most frequent label.
        chance = (max(self.labels.values()) / self.cells) ** (self.cells - len(self.values))
        is_repeated = self.cells >= _ROWS_A_NAME * len(self.values)
        return is_repeated and chance < _LARGEST_CHANCE and self._may_be_names()

    def tells_groups_apart(self) -> bool:
        """Returns whether it has one value in each of few groups, and another one in nearly each of them."""
        groups = len(self.by_group or ())
        is_repeated = groups in _GROUPS and self.cells >= _ROWS_OF_A_GROUP * groups
        return is_repeated and len(self.values or ()) >= _MOSTLY_APART * groups

    def _may_be_names(self) -> bool:
        if not self.has_mostly(self._find_best_forms()) or self.leading_zeros > (1 - MOSTLY) * self.cells:
            return True
        # Labels that split the numbers in order are a strong measurement.
        return bool(self.guess_kind()) and not self._are_apart(self._list_ranges(NUMBER))

    def find_empty_label(self, rows: Mapping[str, int]) -> str:
        """Returns the label whose rows, and no others, are all empty; else nothing."""
        empty = [label for label in rows if not self.labels[label]]
        if len(rows) < 2 or len(empty) != 1:
            return ""
        total = sum(rows.values())
        others = total - rows[empty[0]]
        is_enough = min(rows.values()) >= _APART_ROWS_A_LABEL and total >= _APART_ROWS
        # A mark has two values, and one of them is the empty cell.
        is_mark = self.has_one_value() and total >= 2 * _ROWS_A_VALUE and self.cells == others
        return empty[0] if is_mark or (is_enough and self.cells >= _NEARLY_FILLED * others) else ""

    def find_filled_label(self, rows: Mapping[str, int]) -> str:
        """Returns the label of whose rows nearly all, and no others, are filled; else nothing."""
        if len(rows) < 2 or len(self.labels) != 1 or self.cells < _APART_ROWS_A_LABEL:
            return ""
        [filled] = self.labels
        total = sum(rows.values())
        # The chance that all rows of the other labels are empty although each row may be filled.
        chance = (1 - self.cells / total) ** (total - rows[filled])
        is_nearly = self.cells >= _NEARLY_FILLED * rows[filled] and chance < _LARGEST_CHANCE
        return filled if self.cells == rows[filled] or is_nearly else ""

    def separates_labels(self, form: str) -> bool:
        """Returns whether each label has a range of numbers of its own, with enough rows or groups."""
        if self.by_group is not None and len(self.by_group) < _APART_ROWS:
            return False
        ranges = self._list_ranges(form)
        counts = sorted(count for _, _, count in ranges)
        is_enough = len(counts) > 1 and counts[-2] >= _APART_ROWS_A_LABEL and sum(counts) >= _APART_ROWS
        return is_enough and self._are_apart(ranges)

    @staticmethod
    def _are_apart(ranges: Sequence[tuple[float, float, int]]) -> bool:
        return all(one[1] < two[0] for one, two in pairwise(sorted(ranges)))
