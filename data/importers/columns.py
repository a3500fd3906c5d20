"""What a column of anyone's table is: numbers, dates, a category, a name of rows, or nothing for a model."""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations, pairwise

from records.columns import (
    AGE,
    COMMA,
    DAY_S,
    HOUR,
    MONTH,
    NUMBER,
    NUMBERS,
    THOUSANDS,
    TIMES,
    WEEKDAY,
    parse_cell,
)

# Of the cells that are there: a few typing errors are quarantined later, and do not make a column a text.
MOSTLY = 0.99
_MOST_CATEGORIES = 1_000
# A value that many rows share and that always comes with one label, in every column value: no coincidence.
_ROWS_A_VALUE = 5
# Labels whose ranges of a number lie apart, or two of which one has all empty cells. A strong column parts a
# few dozen rows honestly (the petals of 50 and 50 irises). Of 20 rows one would lie in the other's
# range, with 95 % certainty, if every seventh row of that label did (1 - 0.05^(1/20)); below 200 rows in all
# nothing is left out for that.
_APART_ROWS, _APART_ROWS_A_LABEL = 200, 20
_TAKEN = ("", "label", "group", "span", "newest_span", "example_id", "missing_share", "stuck_share")
# Whole numbers name rows, and measure nothing, where nearly each is another one of so many rows, and they
# fill a range like a count (of drawn ones some would be equal) or rise from row to row, have the digits of a
# phone or an account, or all have as many digits and reach from the first number with so many to the last: no
# measure ends at both.
_MANY_ROWS, _NEARLY_EACH, _COUNT_LIKE, _DIGITS_OF_A_NAME, _COVERED = 20, 0.95, 1.5, 7, 0.9
_WHOLE = re.compile(r"\+?(\d+)(\.0)?", re.ASCII)  # pandas writes .0 where some are missing
_THOUSANDS_BY_POINT = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}", re.ASCII)
# Words of a column's name that say so: these anywhere, and some at its end.
_NAMES_ANYWHERE = re.compile(
    "id|ids|identifier|uuid|zip|zipcode|plz|postcode|postal|postleitzahl|code|sku|ean|isbn|iban|phone|telephone"
    "|telefon|tel|mobile|mobil"
)
_NAMES_LAST = re.compile("no|num|number|store|branch|filiale|index|idx|key|.*nr|.*nummer")
_SAY_IT = " (say it: --decimal . or --decimal ,)"
_YEARS = (1800, 2200)


@lru_cache(maxsize=2**16)
def readings(cell: str, forms: tuple[str, ...]) -> Mapping[str, float]:
    """What a cell is in each of the forms in which it can be read; dates are seconds since 1970."""
    found = dict[str, float]()
    for form in forms:
        if form in TIMES and (found.keys() & {*NUMBERS} or not cell[:1].isdecimal()):
            break
        with suppress(ValueError):
            if math.isfinite(value := parse_cell(cell, form)):
                found[form] = value
    return found


@dataclass
class ColumnProfile:
    """What was seen of a column: how many cells hold something, and what, with which labels."""

    name: str
    forms: tuple[str, ...] = ()  # in which cells may be; none where they are names
    there: int = 0
    labels: Counter[str] = field(default_factory=Counter)  # of the rows with these cells
    values: dict[str, Counter[str]] | None = field(default_factory=dict)
    filled: int = 0  # in how many cells there were so many values that they are counted no more
    longest: int = 0
    # For each set of forms that fits a cell, how many there are, and the first one with its place.
    read: dict[tuple[str, ...], tuple[int, str]] = field(default_factory=dict)
    # For each form and label, the lowest and highest number, and of how many.
    ranges: dict[tuple[str, str], tuple[float, float, int]] = field(default_factory=dict)
    whole: Counter[int] = field(default_factory=Counter)  # whole numbers without a sign, by their digits
    last: int = -1  # of these, and whether each is above the one before
    rising: bool = True
    zeros: int = 0  # of these, how many begin with a zero that no number needs
    by_point: tuple[int, str] = (0, "")  # cells as 78.932, and the first one with its place
    days: set[int] = field(default_factory=set)  # of the week, on which dates fall
    clocks: int = 0  # dates with a time of day

    def add(self, cell: str, label: str, place: str) -> None:
        """One cell that holds something."""
        self.there += 1
        self.labels[label] += 1
        self.longest = max(self.longest, len(cell))
        if self.values is not None:
            self.values.setdefault(cell, Counter())[label] += 1
            if len(self.values) > _MOST_CATEGORIES:
                self.values, self.filled = None, self.there
        if not self.forms:
            return
        found = readings(cell, self.forms)
        for form, value in found.items():
            low, high, count = self.ranges.get((form, label)) or (value, value, 0)
            self.ranges[form, label] = (min(low, value), max(high, value), count + 1)
            if form in TIMES:
                self.days.add(int(value // DAY_S) % 7)
                self.clocks += bool(value % DAY_S)
        if match := _WHOLE.fullmatch(cell):
            self.whole[len(match[1])] += 1
            self.rising, self.last = self.rising and int(match[1]) > self.last, int(match[1])
            self.zeros += len(match[1]) > 1 and match[1][0] == "0"
        elif _THOUSANDS_BY_POINT.fullmatch(cell):
            self.by_point = (self.by_point[0] + 1, self.by_point[1] or f"{cell!r} in {place}")
        count, first = self.read.get(forms := tuple(found)) or (0, f"{cell[:60]!r} in {place}")
        self.read[forms] = (count + 1, first)

    def form(self, decimal: str = "", known: str = "") -> str:
        """How nearly all cells can be read; empty where in no way, or in two that say another thing.

        Args:
            decimal: The sign that other columns of the file have, `,` or `.`; empty where they do not tell.
            known: The form that the column had in an earlier span, which counts where it fits.
        """
        fits = 0 < self._count((known,)) >= MOSTLY * self.there
        if fits and not (known == NUMBER and decimal == ","):
            return known
        counts = {form: self._count((form,)) for form in (*NUMBERS, *TIMES)}
        best = max(counts, key=lambda form: counts[form])
        ties = [form for form in counts if counts[form] == counts[best]]
        if not 0 < counts[best] >= MOSTLY * self.there:
            return ""
        if decimal and {*ties} <= {*NUMBERS}:
            preferred = (COMMA,) if decimal == "," else (NUMBER, THOUSANDS)
            return next((form for form in preferred if form in ties), best)
        if self.by_point[0] and THOUSANDS not in self.forms and {NUMBER, COMMA} <= {*ties}:
            return ""
        return best if best == NUMBER or len(ties) == 1 else ""

    def decimal(self) -> str:
        """Which sign is the decimal one in some cell, for certain; empty where no cell tells."""
        if (form := self.form()) not in NUMBERS:
            return ""
        plain = {NUMBER, THOUSANDS}
        if form == COMMA:
            return "," if any(COMMA in forms and not plain & {*forms} for forms in self.read) else ""
        return "." if any(COMMA not in forms and plain & {*forms} for forms in self.read) else ""

    def mixed(self, form: str) -> str:
        """Where cells are numbers, or dates, but in no one `form`: two that cannot both be; else empty."""
        if not form and max(map(self._count, (NUMBERS, TIMES))) >= MOSTLY * max(self.there, 1):
            pairs = combinations([(set(forms), first) for forms, (_, first) in self.read.items() if forms], 2)
            return next((f"{one[1]}, {two[1]}" for one, two in pairs if not one[0] & two[0]), "")
        return ""

    def kind(self, rows: Mapping[str, int], form: str) -> str:
        """`number`, `time`, `category`, or why it is left out; `rows` are those of each label."""
        if self.there == 0 or (self.values is not None and len(self.values) == 1):
            return "has one value"
        if self.name in _TAKEN:
            return "has no name, or one that every example has for something else"
        if self.gives_label_away():
            return "gives the label away"
        if empty := self._empty_label(rows):
            return f"gives the label away: it is empty where that is {empty}, and nowhere else"
        # A measure that begins with a zero has a point behind it.
        is_code = self.zeros > (1 - MOSTLY) * self.there
        if form and not is_code:
            if why := self._names_rows(form):
                return why
            if self._parts_labels([found for (own, _), found in self.ranges.items() if own == form]):
                return "gives the label away: each label has a range of its own"
            return "time" if form in TIMES else "number"
        if self._count(TIMES) >= MOSTLY * self.there:
            return "has dates of which nobody can tell day and month"
        if not is_code and self._count(NUMBERS) >= MOSTLY * self.there:
            if self.by_point[0]:
                return f"has numbers of which the point may be decimal or not, as {self.by_point[1]}{_SAY_IT}"
            return f"has numbers of which nobody can tell whether the comma is decimal{_SAY_IT}"
        if self.values is None or len(self.values) > sum(rows.values()) / 2:
            return "is different in nearly every row" if self.longest <= 40 else "is text of many words"
        return "category"

    def guess(self, form: str) -> str:
        """Of whole numbers that may be codes, as what they are to be taken; empty where nobody need ask."""
        if form not in NUMBERS or self.values is None or self._each_is_another():
            return ""
        if self.whole.total() < self.there or len(self.values) < 3:
            return ""
        named = self._is_named_as_a_name()
        sparse = False
        (digits, count), *_ = self.whole.most_common(1)
        if count == self.there and digits >= 3:
            numbers = sorted(int(parse_cell(cell, form)) for cell in self.values)
            step = math.gcd(*(high - low for low, high in pairwise(numbers)))
            places = (numbers[-1] - numbers[0]) // step + 1
            # How many values as many draws from that range would have.
            drawn = places * -math.expm1(-self.there / places)
            years = _YEARS[0] <= numbers[0] and numbers[-1] <= _YEARS[1]
            # Doses and sizes are few on purpose, but round.
            sparse = len(numbers) < drawn / 2 and step % 5 != 0 and not years
        return ("category" if named or digits >= 4 else "number") if named or sparse else ""

    def parts(self, form: str, time: str) -> tuple[str, ...]:
        """What of a date comes again within these rows, or follows from the column `time`."""
        found = [found for (own, _), found in self.ranges.items() if own == form]
        days = (max(high for _, high, _ in found) - min(low for low, _, _ in found)) / DAY_S
        fits = {
            WEEKDAY: days >= 14 and len(self.days) > 1,
            HOUR: days >= 2 and self.clocks > (1 - MOSTLY) * self.there,
            MONTH: days >= 730,
            AGE: bool(time),
        }
        return tuple(part for part, fit in fits.items() if fit)

    def is_another_in_each(self) -> bool:
        """Whether nearly each cell is another one, as far as they were counted."""
        return self.there >= _MANY_ROWS and self._each_is_another()

    def _each_is_another(self) -> bool:
        count, cells = (
            (_MOST_CATEGORIES, self.filled) if self.values is None else (len(self.values), self.there)
        )
        return count >= _NEARLY_EACH * cells

    def _names_rows(self, form: str) -> str:
        if self.there < _MANY_ROWS or self.whole.total() < self.there or not self._each_is_another():
            return ""
        found = [found for (own, _), found in self.ranges.items() if own == form]
        low, high = min(low for low, _, _ in found), max(high for _, high, _ in found)
        if self.rising or high - low < _COUNT_LIKE * self.there:
            return "numbers the rows"
        (digits, count), *_ = self.whole.most_common(1)
        first, end = 10 ** (digits - 1), 10**digits
        covered = (high - low) / (end - first) >= _COVERED
        if self._is_named_as_a_name() or (
            count == self.there and (digits >= _DIGITS_OF_A_NAME or (covered and digits >= 4))
        ):
            return "is different in nearly every row, as what names rows is"
        return ""

    def _is_named_as_a_name(self) -> bool:
        words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", self.name).lower())
        return any(map(_NAMES_ANYWHERE.fullmatch, words)) or any(map(_NAMES_LAST.fullmatch, words[-1:]))

    def _count(self, forms: Collection[str]) -> int:
        return sum(count for found, (count, _) in self.read.items() if {*forms} & {*found})

    def gives_label_away(self) -> bool:
        """Whether each value, of many rows, comes with one label."""
        values = self.values or {}
        labels = {label for counted in values.values() for label in counted}
        pure = all(len(counted) == 1 for counted in values.values())
        return pure and len(labels) > 1 and self.there >= _ROWS_A_VALUE * len(values)

    def _empty_label(self, rows: Mapping[str, int]) -> str:
        """Returns which of two labels has all empty cells, in each of its rows; else nothing."""
        empty = [label for label in rows if not self.labels[label]]
        enough = min(rows.values()) >= _APART_ROWS_A_LABEL and sum(rows.values()) >= _APART_ROWS
        whole = len(rows) == 2 and len(empty) == 1 and self.there + rows[empty[0]] == sum(rows.values())
        return empty[0] if whole and enough else ""

    @staticmethod
    def _parts_labels(ranges: Sequence[tuple[float, float, int]]) -> bool:
        counts = sorted(count for _, _, count in ranges)
        enough = len(counts) > 1 and counts[-2] >= _APART_ROWS_A_LABEL and sum(counts) >= _APART_ROWS
        return enough and all(one[1] < two[0] for one, two in pairwise(sorted(ranges)))
