"""Times as programs and people write them that no span has: an import writes them in ISO 8601."""

import re
from collections.abc import Collection

from edgeline.records.columns import DAY_S, TIMES, parse_cell

# The seconds of one. Times before 1970 are negative. Each count is told from the others by its largest size,
# that of some time from 1971 to 2286; dates such as 20260105 are smaller.
_COUNTS = {
    "seconds since 1970": 1.0,
    "milliseconds since 1970": 1e-3,
    "microseconds since 1970": 1e-6,
    "nanoseconds since 1970": 1e-9,
}
_LEAST_S, _MOST_S = 4 * 10**7, 10**10
# Days since 1899-12-30, from 1954 to 2119.
_EXCEL, _EXCEL_1970, _EXCEL_RANGE = "days as Excel counts them", 25_569, (20_000, 80_000)
# Counts and seconds that programs write where there is no time: the beginning of Unix, the ends of whole
# numbers of 32 and 64 bits, the days about 1970 and about 1900, and the last day of the calendar.
_NO_COUNTS = (0, -1, -(2**31), 2**31 - 1, -(2**63), 2**63 - 1)
_NO_DATES_S = ((-DAY_S, DAY_S), (-25_569 * DAY_S, -25_566 * DAY_S), (253_402_214_400, 253_402_300_800))
_FAR_S = 5 * 366 * DAY_S  # a time further from all others is none
HALVES = {f"{form} with AM or PM": form for form in TIMES}
CLOCKS = (*_COUNTS, _EXCEL, *HALVES)
_HALF = re.compile(r"(.*[T ])(\d{1,2})((?::\d\d)*)\s?([ap])\.?m\.?", re.IGNORECASE | re.ASCII)


def find_count(low: float, high: float) -> str:
    """Returns what numbers from `low` to `high` count, if they are times; else an empty string."""
    least, most = _EXCEL_RANGE
    if least <= low <= high < most:
        return _EXCEL
    size = max(abs(low), abs(high))
    return next((form for form, one in _COUNTS.items() if _LEAST_S <= size * one < _MOST_S), "")


def find_no_times(ends: Collection[float], are_dates: bool) -> Collection[float]:
    """Returns which of the lowest and highest times of a column stand for no time: years from all others.

    Dates are seconds since 1970, and other times are counts.
    """
    if are_dates:
        none = {end for end in ends if any(low <= end <= high for low, high in _NO_DATES_S)}
    else:
        none = {end for end in ends if end in _NO_COUNTS}
    others = {*ends} - none
    if not none or not others:
        return ()

    low = min(others)
    high = max(others)
    form = "" if are_dates else find_count(low, high)
    if not form and not are_dates:
        return ()
    far = _FAR_S / {**_COUNTS, _EXCEL: DAY_S}.get(form, 1)
    return [end for end in none if not low - far < end < high + far]


def parse_source_cell(text: str, form: str) -> float:
    """Returns the number of a cell, or its seconds since 1970, in one of `CLOCKS` or as `parse_cell` does."""
    if form in _COUNTS:
        return round(float(text) * _COUNTS[form], 3)
    if form == _EXCEL:
        return round((float(text) - _EXCEL_1970) * DAY_S, 3)
    if form not in HALVES:
        return parse_cell(text, form)
    match = _HALF.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 12:
        raise ValueError(f"{text[:60]!r} is no time with AM or PM")
    hour = int(match[2]) % 12 + 12 * (match[4] in "pP")
    return parse_cell(f"{match[1]}{hour:02}{match[3] or ':00'}", HALVES[form])
