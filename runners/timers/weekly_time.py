"""The start times of a schedule: days of the week and a time of day, in the formats of systemd and cron."""

import re
from dataclasses import dataclass

from edgeline.errors import UsageError, suggest

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHORT = tuple(day[:3] for day in _DAYS)
_FORM = re.compile(r"(?:(?P<days>[^\s0-9]+)\s+)?(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})")


@dataclass(frozen=True)
class WeeklyTime:
    """A time on some days of every week, in the machine's time zone."""

    days: tuple[int, ...]  # 0 (Monday) to 6 (Sunday), in this order, at least one
    hour: int  # 0 to 23
    minute: int  # 0 to 59

    def __str__(self) -> str:
        return f"{self._day_names or 'every day'} {self.hour:02}:{self.minute:02}"

    @property
    def calendar(self) -> str:
        """Returns systemd's OnCalendar, in the form that systemd itself prints (systemd.time(7))."""
        return f"{self._day_names} *-*-* {self.hour:02}:{self.minute:02}:00".strip()

    @property
    def cron(self) -> str:
        """Returns the five fields of a crontab line, where Sunday is 0 (crontab(5))."""
        numbers = ",".join(str(number) for number in sorted((day + 1) % 7 for day in self.days))
        return f"{self.minute} {self.hour} * * {numbers if self._day_names else '*'}"

    @property
    def _day_names(self) -> str:
        return "" if len(self.days) == len(_DAYS) else ",".join(_SHORT[day] for day in self.days)


def parse_weekly_time(text: str) -> WeeklyTime:
    """Reads `Mon 03:00`, `Mon,Thu 3:00`, `Mon..Fri 03:00`, or `03:00` for every day.

    Raises UsageError if the text has none of these forms.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise _make_error(text, "It is not days of the week and a time of day.")
    hour, minute = int(match["hour"]), int(match["minute"])
    if hour > 23 or minute > 59:
        raise _make_error(text, f"{match['hour']}:{match['minute']} is not a time of day.")
    if match["days"] is None:
        return WeeklyTime(tuple(range(len(_DAYS))), hour, minute)
    days: set[int] = set()
    for part in match["days"].split(","):
        first, dots, last = part.partition("..")
        start = _parse_day(first, text)
        end = _parse_day(last, text) if dots else None
        # A range such as Sat..Mon goes past the end of the week.
        length = 1 if end is None else (end - start) % len(_DAYS) + 1
        days |= {(start + offset) % len(_DAYS) for offset in range(length)}
    return WeeklyTime(tuple(sorted(days)), hour, minute)


def _parse_day(word: str, text: str) -> int:
    for number, day in enumerate(_DAYS):
        if word.lower() in (day.lower(), day[:3].lower()):
            return number
    hint = suggest(word.capitalize(), (*_SHORT, *_DAYS))
    raise _make_error(text, f"{word!r} is not a day of the week. {hint}".rstrip())


def _make_error(text: str, why: str) -> UsageError:
    return UsageError(
        f"--at {text!r} cannot be understood.",
        why,
        "Write it as 'Mon 03:00', 'Mon,Thu 03:00', 'Mon..Fri 03:00', or '03:00' for every day.",
    )
