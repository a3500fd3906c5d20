"""Times as programs and people write them that no span has: an import writes them in ISO 8601."""

import re

from edgeline.records.columns import TIMES, parse_cell

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
