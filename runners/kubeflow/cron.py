"""The cron of Kubeflow Pipelines: six fields, seconds first, as github.com/robfig/cron reads them.

    second minute hour day-of-month month day-of-week        0 0 3 * * 1    every Monday at 03:00

A field is `*` or `?`, a number, a range `1-5`, a list `1,3`, any of them with a step `/2`; months and
weekdays may be named by three letters; Sunday is 0, and 7 is nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from errors import UsageError

_FIELDS: Sequence[tuple[str, int, int, tuple[str, ...]]] = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_PART = re.compile(r"(?P<first>\*|\?|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?")
# The rarest date that exists, 29 February, comes after at most eight years.
_MOST_DAYS = 8 * 366


@dataclass(frozen=True)
class Cron:
    """When something fires, in the time zone of the cluster's scheduler: UTC, unless somebody changed it.

    Attributes:
        text: The six fields, a blank between two.
    """

    text: str
    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def next(self, after: datetime) -> datetime | None:
        """The first time after `after` at which it fires; None for a date that never comes."""
        moment = after.replace(microsecond=0) + timedelta(seconds=1)
        for _ in range(_MOST_DAYS):
            if self._fires_on(moment):
                for hour in sorted(h for h in self.hours if h >= moment.hour):
                    start = moment if hour == moment.hour else moment.replace(hour=hour, minute=0, second=0)
                    for minute in sorted(m for m in self.minutes if m >= start.minute):
                        least = start.second if minute == start.minute else 0
                        if fitting := [s for s in self.seconds if s >= least]:
                            return start.replace(minute=minute, second=min(fitting))
            moment = (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        return None

    def _fires_on(self, date: datetime) -> bool:
        if date.month not in self.months:
            return False
        day, weekday = date.day in self.days, date.isoweekday() % 7 in self.weekdays
        # As cron has it: where both are restricted, either will do.
        return day and weekday if self.any_day or self.any_weekday else day or weekday


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
            "Every Monday at 03:00 is --cron '0 0 3 * * 1'",
        )
    fields = (_read_field(word, *field) for word, field in zip(words, _FIELDS, strict=True))
    seconds, minutes, hours, days, months, weekdays = fields
    whole = [word[0] in "*?" and "/" not in word for word in words]
    any_day, any_weekday = whole[3], whole[5]
    cron = Cron(" ".join(words), seconds, minutes, hours, days, months, weekdays, any_day, any_weekday)
    if cron.next(datetime(2024, 1, 1)) is None:
        raise UsageError(
            f"--cron {text!r} never fires.", "No month has that day.", "Fix the day of month or the month."
        )
    return cron


def _read_field(word: str, name: str, least: int, most: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in word.split(","):
        match = _PART.fullmatch(part)
        if not match:
            _refuse(part, name, least, most)
        if match["first"] in "*?":
            if match["last"]:
                _refuse(part, name, least, most)
            first, last = least, most
        else:
            first = _read_number(match["first"], part, name, least, most, names)
            last = first
            if match["last"]:
                last = _read_number(match["last"], part, name, least, most, names)
            elif match["step"]:
                last = most
        step = int(match["step"] or 1)
        if first > last or step < 1:
            _refuse(part, name, least, most)
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _read_number(word: str, part: str, name: str, least: int, most: int, names: tuple[str, ...]) -> int:
    number = names.index(word.lower()) + least if word.lower() in names else -1
    number = int(word) if word.isdecimal() else number
    if not least <= number <= most:
        _refuse(part, name, least, most)
    return number


def _refuse(part: str, name: str, least: int, most: int) -> NoReturn:
    sunday = " Sunday is 0." if name == "day of week" else ""
    raise UsageError(
        f"--cron: {part!r} is no {name}.",
        f"It goes from {least} to {most}, as a number, a range, a list or *, with a step /N.{sunday}",
        "Every Monday at 03:00 is --cron '0 0 3 * * 1'",
    )
