"""What a column of anyone's table is: numbers, dates, a category, or nothing that a model should see."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, pairwise

from data.tables.times import parse_time

# Of the cells that are there: a few typing errors are quarantined later, and do not make a column a text.
MOSTLY = 0.99
_MOST_CATEGORIES = 1_000
# A value that many rows share and that always comes with one label, in every column value: no coincidence.
_ROWS_A_VALUE = 5
# Labels whose ranges of a number lie apart. A strong column parts a few dozen rows honestly (the petals of 50
# and 50 irises). Of 20 rows one would lie in the other's range, with 95 % certainty, if every seventh
# row of that label did (1 - 0.05^(1/20)); below 200 rows in all nothing is left out for that.
_APART_ROWS, _APART_ROWS_A_LABEL = 200, 20
_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?", re.ASCII)
_DATE = re.compile(r"(\d{1,4})([-./])(\d{1,2})\2(\d{1,4})(?!\d)(.*)", re.ASCII)


def _number(cell: str) -> float:
    value = float(cell)
    if math.isfinite(value) and "_" not in cell:
        return value
    raise ValueError(cell)


def _comma_number(cell: str) -> float:
    if _COMMA.fullmatch(cell):
        return float(cell.replace(".", "").replace(",", "."))
    raise ValueError(cell)


def _time(order: str, marks: str, cell: str) -> float:
    """Seconds since 1970 of a date whose three parts come in that order, and of the time behind it."""
    match = _DATE.fullmatch(cell)
    if match is None or match[2] not in marks:
        raise ValueError(cell)
    parts = dict(zip(order, (match[1], match[3], match[4]), strict=True))
    if len(parts["y"]) != 4:
        raise ValueError(cell)
    clock = re.sub(r"^([T ])(\d:)", r"\g<1>0\2", match[5])
    return parse_time(f"{parts['y']}-{parts['m']:0>2}-{parts['d']:0>2}{clock}")


COMMA = "numbers with a decimal comma"
# How a cell can be read, by what the column then holds; the first that fits is taken.
NUMBERS: Mapping[str, Callable[[str], float]] = {"numbers": _number, COMMA: _comma_number}
TIMES: Mapping[str, Callable[[str], float]] = {
    "dates as year-month-day": partial(_time, "ymd", "-./"),
    "dates as day.month.year": partial(_time, "dmy", "-./"),
    "dates as month/day/year": partial(_time, "mdy", "-/"),
}
READERS = {**NUMBERS, **TIMES}


@dataclass
class Column:
    """What was seen of a column: how many cells hold something, and what, with which labels.

    Attributes:
        forms: How cells can be read here, of `READERS`.
        read: For each set of forms that fits a cell, how many there are, and the first one with its place.
        ranges: For each form and label, the lowest and highest number, and of how many.
    """

    name: str
    forms: tuple[str, ...] = ()
    there: int = 0
    values: dict[str, Counter[str]] | None = field(default_factory=dict)
    longest: int = 0
    read: dict[tuple[str, ...], tuple[int, str]] = field(default_factory=dict)
    ranges: dict[str, dict[str, tuple[float, float, int]]] = field(default_factory=dict)

    def add(self, cell: str, label: str, place: str) -> None:
        """One cell that holds something."""
        self.there += 1
        self.longest = max(self.longest, len(cell))
        if self.values is not None:
            self.values.setdefault(cell, Counter())[label] += 1
            if len(self.values) > _MOST_CATEGORIES:
                self.values = None
        fitting: list[str] = []
        for form in self.forms:
            if form in TIMES and ((fitting and fitting[0] in NUMBERS) or len(cell) < 8):
                break
            try:
                value = READERS[form](cell)
            except ValueError:
                continue
            fitting.append(form)
            ranges = self.ranges.setdefault(form, {})
            low, high, count = ranges.get(label, (value, value, 0))
            ranges[label] = (min(low, value), max(high, value), count + 1)
        count, first = self.read.get(tuple(fitting)) or (0, f"{cell[:60]!r} in {place}")
        self.read[tuple(fitting)] = (count + 1, first)

    def form(self) -> str:
        """How nearly all cells can be read; empty where they are no numbers and no dates, or `mixed()`."""
        counts = {form: self._count((form,)) for form in self.forms}
        best = max(counts, key=lambda form: counts[form], default="")
        clear = best and counts[best] >= MOSTLY * max(self.there, 1)
        return best if clear and not self._day_or_month(best, counts) else ""

    def mixed(self) -> str:
        """Where cells are numbers, or dates, but in no one form: two that cannot both be; else empty."""
        for group in (NUMBERS, TIMES):
            if not self.form() and self._count(group) >= MOSTLY * max(self.there, 1):
                some = [(set(forms), first) for forms, (_, first) in self.read.items() if forms]
                apart = (f"{one[1]}, {two[1]}" for one, two in combinations(some, 2) if not one[0] & two[0])
                return next(apart, "")
        return ""

    def kind(self, rows: int) -> str:
        """`number`, `time`, `category`, or why it is left out."""
        form = self.form()
        if self.there == 0 or (self.values is not None and len(self.values) == 1):
            return "has one value"
        if not self.name:
            return "has no name"
        if self.values is not None and self._gives_label_away(self.values):
            return "gives the label away"
        if form and self._parts_labels(self.ranges[form].values()):
            return "gives the label away: each label has a range of its own"
        if form:
            return "time" if form in TIMES else "number"
        if self._count(TIMES) >= MOSTLY * self.there:
            return "has dates of which nobody can tell day and month"
        if self.values is None or len(self.values) > rows / 2:
            return "is different in nearly every row" if self.longest <= 40 else "is text of many words"
        return "category"

    def _count(self, forms: Iterable[str]) -> int:
        return sum(count for fitting, (count, _) in self.read.items() if {*forms} & {*fitting})

    def _day_or_month(self, best: str, counts: Mapping[str, int]) -> bool:
        """Whether each date can be read in two ways."""
        return best in TIMES and list(counts.values()).count(counts[best]) > 1

    def _gives_label_away(self, values: Mapping[str, Counter[str]]) -> bool:
        labels = {label for counted in values.values() for label in counted}
        pure = all(len(counted) == 1 for counted in values.values())
        return pure and len(labels) > 1 and self.there >= _ROWS_A_VALUE * len(values)

    @staticmethod
    def _parts_labels(ranges: Iterable[tuple[float, float, int]]) -> bool:
        counts = sorted(count for _, _, count in ranges)
        enough = len(counts) > 1 and counts[-2] >= _APART_ROWS_A_LABEL and sum(counts) >= _APART_ROWS
        return enough and all(one[1] < two[0] for one, two in pairwise(sorted(ranges)))
