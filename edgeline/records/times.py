"""Times of rows in ISO 8601, and the detection of other formats for error messages."""

import re
from datetime import datetime, timezone

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,6})\d*)?(Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)
# The years 5 to 9999 in UTC, whatever the time zone and the block of time.
_FIRST, _END = -62_000_000_000, 253_402_300_800
_OTHERS = (
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{2,4}.*"), "a date as day.month.year"),
    (re.compile(r"\d{1,4}/\d{1,2}/\d{1,4}.*"), "a date with slashes, in which day and month are ambiguous"),
    (re.compile(r"\d{9,10}([.,]\d*)?"), "seconds since 1970"),
    (re.compile(r"\d{12,19}"), "a count of milliseconds or less since 1970"),
)


def parse_time(text: str) -> float:
    """Returns the seconds since 1970 of an ISO 8601 time; a time without a zone is in UTC.

    Raises:
        ValueError: The text is not such a time; the message says what it looks like.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        meant = next((kind for form, kind in _OTHERS if form.fullmatch(text)), "not a time")
        raise ValueError(f"{text[:60]!r} is {meant}; times are ISO 8601, such as 2026-01-05T06:00:00Z")
    day, minute, second, fraction, zone = match.groups(default="")
    zone = "+00:00" if zone in ("", "Z") else f"{zone[:3]}:{zone[3:].lstrip(':') or '00'}"
    try:
        whole = datetime.fromisoformat(f"{day}T{minute or '00:00'}{second or ':00'}{zone}").timestamp()
        seconds = whole + float(f"0.{fraction or 0}")
        if not _FIRST < seconds < _END:
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is a time that does not exist") from None
    return seconds


def format_time(seconds: float) -> str:
    """Formats a time in UTC so that `parse_time` can read it."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")
