"""The cron of Kubeflow Pipelines: six fields, seconds first, as github.com/robfig/cron reads them.

    second minute hour day-of-month month day-of-week        0 0 3 * * 1    every Monday at 03:00

A field is `*` or `?`, a number, a range `1-5`, a list `1,3`, any of them with a step `/2`; months and
weekdays may be named by three letters; Sunday is 0, and 7 is nothing.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from errors import UsageError

_FIELDS: Sequence[tuple[str, int, int, tuple[str, ...]]] = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_EXAMPLE = "Every Monday at 03:00 is --cron '0 0 3 * * 1'"
_PART = re.compile(r"(?:[*?]|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
# The rarest date that exists, 29 February, comes after at most eight years.
_MOST_DAYS = 8 * 366


@dataclass(frozen=True)
class Cron:
    """When something fires, in the time zone of the cluster's scheduler: UTC, unless somebody changed it."""

    text: str  # the six fields, a blank between two
    fields: tuple[frozenset[int], ...]  # the numbers of each, as in `_FIELDS`
    any_day: bool  # whether the days of the month, or those of the week, are not restricted

    def next(self, after: datetime) -> datetime | None:
        """The first time after `after` at which it fires; None for a date that never comes."""
        seconds, minutes, hours, days, months, weekdays = self.fields
        start = after.replace(microsecond=0) + timedelta(seconds=1)
        for ahead in range(_MOST_DAYS):
            date = start + timedelta(days=ahead)
            day, weekday = date.day in days, date.isoweekday() % 7 in weekdays
            # As cron has it: where both are restricted, either will do.
            if date.month in months and (day and weekday if self.any_day else day or weekday):
                least = (0, 0, 0) if ahead else (start.hour, start.minute, start.second)
                for time in itertools.product(sorted(hours), sorted(minutes), sorted(seconds)):
                    if time >= least:
                        return date.replace(hour=time[0], minute=time[1], second=time[2])
        return None


def parse_cron(text: str) -> Cron:
    """Reads six fields.

    Raises:
        UsageError: They are not six, one of them is wrong, or no date fits.
    """
    words = text.split()
    if len(words) == 5:
        raise UsageError(
            f"--cron {text!r} has five fields.",
            "Kubeflow Pipelines counts from the seconds on, so the same five would mean another time.",
            f"Put the second first: --cron '0 {' '.join(words)}'",
        )
    if len(words) != 6:
        raise UsageError(
            f"--cron {text!r} has {len(words)} field{'' if len(words) == 1 else 's'}.",
            "It needs six: second, minute, hour, day of month, month, day of week.",
            _EXAMPLE,
        )
    fields = tuple(_read_field(word, *field) for word, field in zip(words, _FIELDS, strict=True))
    any_day = any(word[0] in "*?" and "/" not in word for word in (words[3], words[5]))
    cron = Cron(" ".join(words), fields, any_day)
    if cron.next(datetime(2024, 1, 1)) is None:
        raise UsageError(
            f"--cron {text!r} never fires.", "No month has that day.", "Fix the day of month or the month."
        )
    return cron


def _read_field(word: str, name: str, least: int, most: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in word.split(","):
        if not (numbers := _read_part(part.lower(), least, most, names)):
            sunday = " Sunday is 0." if name == "day of week" else ""
            raise UsageError(
                f"--cron: {part!r} is no {name}.",
                f"It goes from {least} to {most}, as a number, a range, a list or *, with a step /N.{sunday}",
                _EXAMPLE,
            )
        found.update(numbers)
    return frozenset(found)


def _read_part(part: str, least: int, most: int, names: tuple[str, ...]) -> range:
    """The numbers of one part of a list; none where it is wrong."""
    if (match := _PART.fullmatch(part)) is None:
        return range(0)

    def number(word: str) -> int:
        if word in names:
            return least + names.index(word)
        return int(word) if word.isdecimal() else -1

    first, last, step = match.group("first", "last", "step")
    begin = number(first) if first else least
    # One number is itself; with a step it goes on to the end.
    end = number(last or first) if last or (first and not step) else most
    stride = int(step or 1)
    return range(begin, end + 1, stride) if stride and least <= begin and end <= most else range(0)
