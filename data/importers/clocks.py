"""Times as programs and people write them that no span has: an import writes them in ISO 8601."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from edgeline.records.columns import TIMES, parse_cell
from edgeline.records.rejection import Rejected
from edgeline.tables.files import Table

# The seconds of one, the one that is 1970-01-01, and how many there are from some year of the 20th century on
# to one of the next: each count is told from the others by its size.
_COUNTS = {
    "seconds since 1970": (1, 0, (10**8, 10**10)),
    "milliseconds since 1970": (1e-3, 0, (10**11, 10**13)),
    "microseconds since 1970": (1e-6, 0, (10**14, 10**16)),
    "nanoseconds since 1970": (1e-9, 0, (10**17, 10**19)),
    "days as Excel counts them": (86_400, 25_569, (20_000, 80_000)),
}
HALVES = {f"{form} with AM or PM": form for form in TIMES}
CLOCKS = (*_COUNTS, *HALVES)
_HALF = re.compile(r"(.*[T ])(\d{1,2})((?::\d\d)*)\s?([ap])\.?m\.?", re.IGNORECASE | re.ASCII)


def find_count(low: float, high: float) -> str:
    """Returns what numbers from `low` to `high` count, if they are times; else an empty string."""
    for form, (_, _, (least, most)) in _COUNTS.items():
        if least <= low <= high < most:
            return form
    return ""


def parse_source_cell(text: str, form: str) -> float:
    """Returns the number of a cell, or its seconds since 1970, in one of `CLOCKS` or as `parse_cell` does."""
    if form in _COUNTS:
        seconds, begin, _ = _COUNTS[form]
        return round((float(text) - begin) * seconds, 3)
    if form not in HALVES:
        return parse_cell(text, form)
    match = _HALF.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 12:
        raise ValueError(f"{text[:60]!r} is no time with AM or PM")
    hour = int(match[2]) % 12 + 12 * (match[4] in "pP")
    return parse_cell(f"{match[1]}{hour:02}{match[3] or ':00'}", HALVES[form])


def is_joined(time: str, names: Collection[str]) -> bool:
    """Tells whether the name of a column of times is `DAY+CLOCK`, of two of these columns."""
    return "+" in time and {*time.split("+", 1)} <= {*names}


@dataclass(frozen=True)
class DatedTable(Table):
    """A table of which two columns have the date and the time of day; another one, `DAY+CLOCK`, has both."""

    day: str = ""
    clock: str = ""

    @classmethod
    def of(cls, table: Table, time: str) -> Table:
        """Returns the table with the column `time` if that names two that it has, else the table itself."""
        if time in table.header or not is_joined(time, table.header):
            return table
        day, _, clock = time.partition("+")
        own = {**vars(table), "header": [*table.header, time]}
        return cls(**own, day=day, clock=clock)

    def lists(
        self, names: Sequence[str], any_json: bool = False
    ) -> Iterator[tuple[str, list[str]] | Rejected]:
        """Yields rows as `Table` does."""
        time = f"{self.day}+{self.clock}"
        if time not in names:
            yield from super().lists(names, any_json)
            return
        number = names.index(time)
        read = [self.day if name == time else name for name in names]
        for item in super().lists([*read, self.clock], any_json):
            if not isinstance(item, Rejected):
                day, clock = item[1][number], item[1].pop()
                item[1][number] = f"{day} {_format_clock(clock)}" if day and clock else ""
            yield item


def _format_clock(clock: str) -> str:
    """Formats a time of day; one with a type in its source is a number of seconds."""
    if not clock.replace(".", "", 1).isdecimal():
        return clock
    minutes, seconds = divmod(float(clock), 60)
    return f"{minutes // 60:02.0f}:{minutes % 60:02.0f}:{seconds:09.6f}"
