"""Numbers that a model reads, from the cells of a table as people write them, and times of rows.

Ingest and devices read cells with this code, and a contract describes a column by the fields of `Column`.
This module needs nothing beside Python.
"""

import math
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any

from edgeline.errors import EdgelineError

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
    """Returns an ISO 8601 time, UTC without zone, in seconds since 1970; a ValueError names another form."""
    match = _ISO.fullmatch(text)
    if match is None:
        meaning = next((kind for form, kind in _OTHERS if form.fullmatch(text)), "not a time")
        raise ValueError(f"{text[:60]!r} is {meaning}; times are ISO 8601, such as 2026-01-05T06:00:00Z")
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


# Texts that stand for a missing number, in lower case.
MISSING = frozenset(
    (
        *("", "nan", "na", "n/a", "null", "none", "<na>", "nat", "-", "?", "--", "(null)", "\\n"),
        *("#n/a", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!"),  # of a spreadsheet
    )
)
DAY_S = 86_400
DECIMALS = NUMBER, COMMA, THOUSANDS = "number", "number with decimal comma", "number with commas at thousands"
# A fraction such as 3/4 or 1 1/2; seconds written as minutes, such as 1:02.5, or minutes as hours; seconds
# written as hours.
FRACTION, MINUTES, HOURS = "fraction", "minutes:seconds or hours:minutes", "hours:minutes:seconds"
NUMBERS = (*DECIMALS, FRACTION, MINUTES, HOURS)
_IN = " in "  # before the unit that the cells of a form have: `number in kg`
# Formats of dates and times, with the order of year, month and day.
TIMES = {"year-month-day": "ymd", "day.month.year": "dmy", "month/day/year": "mdy"}
ISO = "year-month-day"
# Parts of a date that a model may be given. All recur in later data but DAYS, the days since 1970.
PARTS = WEEKDAY, HOUR, MONTH, AGE, DAYS = "weekday", "hour", "month", "age", "days"

LARGEST = 3.4028234e38  # number that a model can read, a float32
_FORMS: Mapping[str, re.Pattern[str]] = {
    NUMBER: re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII),
    COMMA: re.compile(r"[+-]?(\d+|[1-9]\d{0,2}(\.\d{3})+)(,\d+)?(?:[eE][+-]?\d+)?", re.ASCII),
    THOUSANDS: re.compile(r"[+-]?(\d+|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?", re.ASCII),
    FRACTION: re.compile(r"[+-]?(\d+(\.\d+)?(e[+-]?\d+)?|(\d+ )?\d+/0*[1-9]\d*)", re.ASCII),
    MINUTES: re.compile(r"[+-]?\d+:[0-5]\d([.,]\d+)?", re.ASCII),
    # A first part with a zero before it, as in 06:01, may be hours.
    HOURS: re.compile(r"[+-]?(\d+:[0-5]\d|[1-9]?\d):[0-5]\d([.,]\d+)?", re.ASCII),
}
# How people write a minus, in brackets or behind a number; a cell that a spreadsheet is not to read; and
# blanks or ' at thousands.
_MINUS = re.compile(r"\(([^()+-]+)\)|(\d[^+-]*)-", re.ASCII)
_FORMULA = re.compile(r'="?([^"]*)"?')
_GROUPED = re.compile(r"(\D*[1-9]\d{0,2}(?:[ \u00a0\u202f'\u2019]\d{3})+)(?!\d)(.*)", re.ASCII)
_MARKS = re.compile("[ \u00a0\u202f'\u2019]")
_DATE = re.compile(r"(\d{1,4})([-./])(\d{1,2})\2(\d{1,4})(?:([T ])(\d)?(\d:.*))?", re.ASCII)


class CellError(EdgelineError):
    """A cell that does not have the form of its column; cells with the same fault have the same `kind`."""

    def __init__(self, column: str, form: str, found: str) -> None:
        super().__init__(found, "The model was trained on cells of another form.", f"Write it as: {form}.")
        self.kind, self.is_time = f"{column}, {form}", form in TIMES
        self.args = (column, form, found)

    def __reduce__(self) -> Any:
        return type(self), self.args


@dataclass(frozen=True)
class Column:
    """A number that a model reads, and the cells of a row that it comes from.

    Raises ValueError if a form or part is not known, or the two do not fit together.
    """

    name: str
    form: str = NUMBER  # of its cells, one that `is_form` knows
    # The part of a date, in UTC: `weekday` (1, Monday, to 7), `hour` (with its minutes as a fraction),
    # `month` (1 to 12), `age` in days at the time in another column, or `days` since 1970; "" for a number.
    part: str = ""
    until: str = ""  # the other column of an age
    until_form: str = ISO
    # Texts of this column that stand for a missing number, beside the usual ones.
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_form(self.form) or self.until_form not in TIMES:
            raise ValueError(f"{self.form}, {self.until_form}: not one of {', '.join((*NUMBERS, *TIMES))}")
        if self.part not in ("", *PARTS) or (self.part and self.form not in TIMES):
            raise ValueError(f"{self.part} is not a part of a {self.form}")
        if (self.part == AGE) != bool(self.until):
            raise ValueError("`until` is required for an age, and not allowed for anything else")

    def number(self, cells: Mapping[str, Any], missing: Collection[str] = MISSING) -> float:
        """Returns the number that the model reads; NaN where the cell is empty. Raises CellError.

        `cells` are, by name of the column, texts, or the numbers and times of a program; `missing` are texts
        that stand for a missing number, in lower case.
        """
        if self.missing and format_cell(cells[self.name]) in self.missing:
            return math.nan
        value = _read_cell(self.name, self.form, cells[self.name], missing)
        if not self.part:
            return value
        if self.part == AGE:
            value = _read_cell(self.until, self.until_form, cells[self.until], missing) - value
        if math.isnan(value):
            return value
        if self.part in (AGE, DAYS):
            return value / DAY_S
        time = datetime.fromtimestamp(value, timezone.utc)
        if self.part == HOUR:
            return time.hour + time.minute / 60
        return float(time.month if self.part == MONTH else time.isoweekday())

    def seconds(self, cells: Mapping[str, Any]) -> float:
        """Returns the time in the cell in seconds since 1970. Raises CellError, also for an empty cell."""
        value = _read_cell(self.name, self.form, cells[self.name], ())
        if math.isnan(value):
            raise CellError(self.name, self.form, f"{self.name} is empty.")
        return value


def is_form(form: str) -> bool:
    """Tells whether a text is a form of cells: one of `NUMBERS` or `TIMES`, or of `DECIMALS` with a unit."""
    base, unit = split_unit(form)
    return form in (*NUMBERS, *TIMES) or (base in DECIMALS and bool(unit))


def split_unit(form: str) -> tuple[str, str]:
    """Returns a form without the unit that its cells have, and the unit, empty for none."""
    base, _, unit = form.partition(_IN)
    return base, unit


def join_unit(base: str, unit: str) -> str:
    """Returns the form of cells that have a unit."""
    return f"{base}{_IN}{unit}" if unit else base


@lru_cache(maxsize=64)  # a cell is tried in each of the forms
def normalize_number(text: str) -> str:
    """Returns a number with its minus before it, and without a formula around it or marks at thousands."""
    if match := _FORMULA.fullmatch(text):
        text = match[1]
    text = text.replace("\u2212", "-")
    if match := _MINUS.fullmatch(text):
        text = f"-{match[1] or match[2]}"
    if match := _GROUPED.fullmatch(text):
        text = _MARKS.sub("", match[1]) + match[2]
    return text


def parse_cell(text: str, form: str) -> float:
    """Returns the number, or seconds since 1970, of a text in this form; a ValueError names another form."""
    if form == NUMBER:  # the fast path; digits of other scripts, which `float` reads, are none to a phone
        with suppress(ValueError):
            if text.isascii() and "_" not in text and not math.isinf(value := float(text)):
                return value
    if form not in TIMES:
        return _parse_number(text, form)
    if match := _DATE.fullmatch(text):
        first, mark, second, third, between, hour, clock = match.groups(default="")
        parts = dict(zip(TIMES[form], (first, second, third), strict=True))
        if len(parts["y"]) == 4 and not (form == "month/day/year" and mark == "."):
            rest = f"{between}{hour or '0'}{clock}" if between else ""
            return parse_time(f"{parts['y']}-{parts['m']:0>2}-{parts['d']:0>2}{rest}")
    if form == ISO:
        return parse_time(text)  # its error names the form that the text has
    raise ValueError(f"{text[:60]!r} is not a date as {form}")


def _parse_number(text: str, form: str) -> float:
    base, unit = split_unit(form)
    plain = normalize_number(text)
    if unit:
        plain = _remove_unit(plain, unit)
    if not _FORMS[base].fullmatch(plain):
        has_comma = text.replace(",", "", 1).lstrip("+-").isdecimal() and "," in text
        is_comma = has_comma and form == NUMBER
        kind = form if base in (*DECIMALS, FRACTION) else f"number as {form}"
        fault = "a number with a decimal comma; write a point" if is_comma else f"not a {kind}"
        raise ValueError(f"{text[:60]!r} is {fault}")

    if base in DECIMALS:
        return float(plain.replace("." if base == COMMA else ",", "").replace(",", "."))
    value = 0.0
    size = plain.lstrip("+-")
    if base == FRACTION:
        for part in size.split():
            over, _, under = part.partition("/")
            value += float(over) / float(under or 1)
    else:
        for part in size.split(":"):
            value = 60 * value + float(part.replace(",", "."))
    return -value if plain.startswith("-") else value


def _remove_unit(text: str, unit: str) -> str:
    """Returns a number without its unit, before or behind it; nothing if it has another."""
    sign = text[:1] if text[:1] in ("-", "+") else ""
    number = text.removeprefix(sign)
    if number.startswith(unit):
        return sign + number.removeprefix(unit).strip()
    return sign + number.removesuffix(unit).strip() if number.endswith(unit) else ""


def write_cell(value: float, form: str) -> str:
    """Formats a number, or a time in seconds since 1970, so that `parse_cell` can read it.

    The forms of minutes and hours are only read.
    """
    base, unit = split_unit(form)
    if unit:
        return f"{write_cell(value, base)} {unit}"
    if form in (NUMBER, FRACTION):
        return repr(value)
    if form in DECIMALS:
        text = f"{Decimal(repr(value)):f}"  # only a plain number may have an exponent
        return text.replace(".", ",") if form == COMMA else text
    day, _, clock = format_time(value).partition("T")
    if form != ISO:
        year, month, date = day.split("-")
        day = f"{date}.{month}.{year}" if form == "day.month.year" else f"{month}/{date}/{year}"
    return day if clock == "00:00:00Z" else f"{day}T{clock}"


def format_cell(cell: Any) -> str:
    """Returns a cell as text without surrounding blanks: a whole number has no point, a time is ISO 8601."""
    if isinstance(cell, str):
        return cell.strip()
    # Pandas' NA cannot be compared.
    if cell is None or str(cell) == "<NA>" or cell != cell:
        return ""
    if isinstance(cell, datetime):
        return format_time(_to_seconds(cell))
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _read_cell(name: str, form: str, cell: Any, missing: Collection[str]) -> float:
    if form == NUMBER and isinstance(cell, str):  # the fast path: nearly every cell of sensor readings
        try:
            if -LARGEST <= (value := float(cell)) <= LARGEST and cell.isascii() and "_" not in cell:
                return value
        except ValueError:
            pass
    if isinstance(cell, date) and form in TIMES and cell == cell:
        return _to_seconds(cell)

    text = "" if cell is None else str(cell)
    if isinstance(cell, str):
        text = cell.strip()
    # A number of a program is not text: the form in which people write that column does not apply to it.
    cell_form = form if isinstance(cell, str) or form in TIMES else NUMBER

    try:
        value = parse_cell(text, cell_form)
        if cell_form not in TIMES and abs(value) > LARGEST:
            raise ValueError(f"{text[:60]!r} is not a number that a model can read")
        return value
    except ValueError as error:
        if text.lower() in missing or cell != cell:
            return math.nan
        raise CellError(name, form, f"{name}: {error}.") from None


def _to_seconds(time: date) -> float:
    if not isinstance(time, datetime):
        time = datetime(time.year, time.month, time.day)
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
