"""Cron expressions of Kubeflow Pipelines: six fields, seconds first, as github.com/robfig/cron reads them.

    second minute hour day-of-month month day-of-week        0 0 3 * * 1    every Monday at 03:00

A field is `*` or `?`, a number, a range `1-5`, a list `1,3`, any of them with a step `/2`; months and
weekdays may be named by three letters; Sunday is 0, and 7 is an error.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from edgeline.errors import UsageError
from edgeline.labels import format_count

# croniter has other rules: it takes 7, L, 5#2, fri-mon and 15W, and refuses ? as a minute.
_FIELDS: Sequence[tuple[str, int, int, tuple[str, ...]]] = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_EXAMPLE = "For every Monday at 03:00, pass --cron '0 0 3 * * 1'"
_PART = re.compile(r"(?:[*?]|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
# The rarest date, 29 February, comes after at most eight years.
_MOST_DAYS = 8 * 366


@dataclass(frozen=True)
class Cron:
    """A cron expression, in the time zone of the cluster's scheduler: UTC, unless somebody changed it."""

    text: str  # the six fields, separated by blanks
    fields: tuple[frozenset[int], ...]  # the numbers of each, as in `_FIELDS`
    any_day: bool  # True if the days of the month, or those of the week, are not restricted

    def next(self, after: datetime) -> datetime | None:
        """Returns the first time after `after` at which it fires; None for a date that never comes."""
        seconds, minutes, hours, days, months, weekdays = self.fields
        start = after.replace(microsecond=0) + timedelta(seconds=1)
        for ahead in range(_MOST_DAYS):
            date = start + timedelta(days=ahead)
            day = date.day in days
            weekday = date.isoweekday() % 7 in weekdays
            # If both days are restricted, cron fires on a day that matches either.
            if date.month in months and (day and weekday if self.any_day else day or weekday):
                least = (0, 0, 0) if ahead else (start.hour, start.minute, start.second)
                for time in itertools.product(sorted(hours), sorted(minutes), sorted(seconds)):
                    if time >= least:
                        return date.replace(hour=time[0], minute=time[1], second=time[2])
        return None


def parse_cron(text: str) -> Cron:
    """Parses a cron expression of six fields.

    Raises UsageError if there are not six fields, one of them is wrong, or no date matches.
    """
    words = text.split()
    if len(words) == 5:
        raise UsageError(
            f"--cron {text!r} has five fields.",
            "Kubeflow Pipelines needs six, seconds first; these five would mean another time.",
            f"Put the second first: --cron '0 {' '.join(words)}'",
        )
    if len(words) != 6:
        raise UsageError(
            f"--cron {text!r} has {format_count(len(words), 'field')}.",
            "It needs six: second, minute, hour, day of month, month, day of week.",
            _EXAMPLE,
        )
    fields = tuple(_parse_field(word, *field) for word, field in zip(words, _FIELDS, strict=True))
    any_day = any(part[0] in "*?" for word in (words[3], words[5]) for part in word.split(","))
    cron = Cron(" ".join(words), fields, any_day)
    if cron.next(datetime(2024, 1, 1)) is None:
        raise UsageError(
            f"--cron {text!r} never fires.", "No month has that day.", "Fix the day of month or the month."
        )
    return cron


def _parse_field(word: str, name: str, least: int, most: int, names: tuple[str, ...]) -> frozenset[int]:
    allowed: set[int] = set()
    for part in word.split(","):
        if not (numbers := _parse_part(part.lower(), least, most, names)):
            sunday = " Sunday is 0." if name == "day of week" else ""
            raise UsageError(
                f"--cron: {part!r} is not a valid {name}.",
                f"Allowed are numbers from {least} to {most}, ranges, lists and *, with a step /N.{sunday}",
                _EXAMPLE,
            )
        allowed.update(numbers)
    return frozenset(allowed)


def _parse_part(part: str, least: int, most: int, names: tuple[str, ...]) -> range:
    """Returns the numbers of one part of a list; an empty range if it is wrong."""
    if (match := _PART.fullmatch(part)) is None:
        return range(0)

    def parse_number(word: str) -> int:
        if word in names:
            return least + names.index(word)
        return int(word) if word.isdecimal() else -1

    first, last, step = match.group("first", "last", "step")
    begin = parse_number(first) if first else least
    # One number stands for itself; with a step it is the start of a range to the end.
    end = parse_number(last or first) if last or (first and not step) else most
    stride = int(step or 1)
    return range(begin, end + 1, stride) if stride and least <= begin and end <= most else range(0)
