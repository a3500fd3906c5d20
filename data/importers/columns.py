"""What a column of anyone's table is: numbers, dates, a category, or nothing that a model should see."""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from records.times import parse_time

# Of the cells that are there: a few typing errors are quarantined later, and do not make a column a text.
MOSTLY = 0.99
_MOST_CATEGORIES = 1_000
# A value that many rows share and that always comes with one label, in every column value: no coincidence.
_ROWS_A_VALUE = 5
# Labels whose ranges of a number lie apart. A strong column parts a few dozen rows honestly (the petals of 50
# and 50 irises). Of 20 rows one would lie in the other's range, with 95 % certainty, if every seventh
# row of that label did (1 - 0.05^(1/20)); below 200 rows in all nothing is left out for that.
_APART_ROWS, _APART_ROWS_A_LABEL = 200, 20
_TAKEN = ("", "label", "group", "span", "newest_span", "example_id", "missing_share", "stuck_share")
_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?", re.ASCII)
_DATE = re.compile(r"(\d{1,4})([-./])(\d{1,2})\2(\d{1,4})(?:([T ])(\d)?(\d:.*))?", re.ASCII)
# How a cell can be read, by what the column then holds.
NUMBERS = NUMBER, COMMA, THOUSANDS = (
    "number",
    "number with decimal comma",
    "number with commas at thousands",
)
TIMES = {"year-month-day": "ymd", "day.month.year": "dmy", "month/day/year": "mdy"}


def readings(cell: str, semicolons: bool) -> dict[str, float]:
    """What a cell is in each form in which it can be read, dates as seconds since 1970.

    Where semicolons separate cells, the comma is the decimal sign.
    """
    found = {}
    try:
        if math.isfinite(value := float(cell)) and "_" not in cell:
            found[NUMBER] = value
    except ValueError:
        pass
    if _COMMA.fullmatch(cell):
        found[COMMA] = float(cell.replace(".", "").replace(",", "."))
    if not semicolons and _THOUSANDS.fullmatch(cell):
        found[THOUSANDS] = float(cell.replace(",", ""))
    if not found and (match := _DATE.fullmatch(cell)):
        first, mark, second, third, between, hour, clock = match.groups(default="")
        rest = f"{between}{hour or '0'}{clock}" if between else ""
        for form, order in TIMES.items():
            parts = dict(zip(order, (first, second, third), strict=True))
            if len(parts["y"]) == 4 and not (order == "mdy" and mark == "."):
                with suppress(ValueError):
                    found[form] = parse_time(f"{parts['y']}-{parts['m']:0>2}-{parts['d']:0>2}{rest}")
    return found


@dataclass
class Column:
    """What was seen of a column: how many cells hold something, and what, with which labels."""

    name: str
    semicolons: bool | None = False  # whether `;` separates cells; None where numbers are names, and not read
    there: int = 0
    values: dict[str, Counter[str]] | None = field(default_factory=dict)
    longest: int = 0
    # For each set of forms that fits a cell, how many there are, and the first one with its place.
    read: dict[tuple[str, ...], tuple[int, str]] = field(default_factory=dict)
    # For each form and label, the lowest and highest number, and of how many.
    ranges: dict[tuple[str, str], tuple[float, float, int]] = field(default_factory=dict)

    def add(self, cell: str, label: str, place: str) -> None:
        """One cell that holds something."""
        self.there += 1
        self.longest = max(self.longest, len(cell))
        if self.values is not None:
            self.values.setdefault(cell, Counter())[label] += 1
            if len(self.values) > _MOST_CATEGORIES:
                self.values = None
        if self.semicolons is None:
            return
        found = readings(cell, self.semicolons)
        for form, value in found.items():
            low, high, count = self.ranges.get((form, label)) or (value, value, 0)
            self.ranges[form, label] = (min(low, value), max(high, value), count + 1)
        count, first = self.read.get(forms := tuple(found)) or (0, f"{cell[:60]!r} in {place}")
        self.read[forms] = (count + 1, first)

    def form(self) -> str:
        """How nearly all cells can be read; empty where in no way, or in two that say another thing."""
        counts = {form: self._count((form,)) for form in (*NUMBERS, *TIMES)}
        best = max(counts, key=lambda form: counts[form])
        clear = best == NUMBER or list(counts.values()).count(counts[best]) == 1
        return best if clear and 0 < counts[best] >= MOSTLY * self.there else ""

    def mixed(self) -> str:
        """Where cells are numbers, or dates, but in no one form: two that cannot both be; else empty."""
        if not self.form() and max(map(self._count, (NUMBERS, TIMES))) >= MOSTLY * max(self.there, 1):
            pairs = combinations([(set(forms), first) for forms, (_, first) in self.read.items() if forms], 2)
            return next((f"{one[1]}, {two[1]}" for one, two in pairs if not one[0] & two[0]), "")
        return ""

    def kind(self, rows: int) -> str:
        """`number`, `time`, `category`, or why it is left out."""
        form = self.form()
        if self.there == 0 or (self.values is not None and len(self.values) == 1):
            return "has one value"
        if self.name in _TAKEN:
            return "has no name, or one that every example has for something else"
        if self.values is not None and self._gives_label_away(self.values):
            return "gives the label away"
        if form and self._parts_labels([found for (own, _), found in self.ranges.items() if own == form]):
            return "gives the label away: each label has a range of its own"
        if form:
            return "time" if form in TIMES else "number"
        if self._count(TIMES) >= MOSTLY * self.there:
            return "has dates of which nobody can tell day and month"
        if self._count(NUMBERS) >= MOSTLY * self.there:
            return "has numbers of which nobody can tell whether the comma is decimal"
        if self.values is None or len(self.values) > rows / 2:
            return "is different in nearly every row" if self.longest <= 40 else "is text of many words"
        return "category"

    def _count(self, forms: Collection[str]) -> int:
        return sum(count for found, (count, _) in self.read.items() if {*forms} & {*found})

    def _gives_label_away(self, values: Mapping[str, Counter[str]]) -> bool:
        labels = {label for counted in values.values() for label in counted}
        pure = all(len(counted) == 1 for counted in values.values())
        return pure and len(labels) > 1 and self.there >= _ROWS_A_VALUE * len(values)

    @staticmethod
    def _parts_labels(ranges: list[tuple[float, float, int]]) -> bool:
        counts = sorted(count for _, _, count in ranges)
        enough = len(counts) > 1 and counts[-2] >= _APART_ROWS_A_LABEL and sum(counts) >= _APART_ROWS
        return enough and all(one[1] < two[0] for one, two in pairwise(sorted(ranges)))
