"""Cells of each form, as they are read and written."""

import math
import pickle

import pytest

from edgeline.records.columns import (
    DAY_S,
    DECIMALS,
    FRACTION,
    HOURS,
    MINUTES,
    NUMBERS,
    TIMES,
    CellError,
    Column,
    parse_cell,
    write_cell,
)

NOON = 20_454 * DAY_S + DAY_S / 2  # 2026-01-01, a Thursday


@pytest.mark.parametrize("form", [*DECIMALS, FRACTION, *TIMES, *(f"{form} in kg" for form in DECIMALS)])
def test_a_number_or_time_is_read_in_the_form_that_it_was_written_in(form: str) -> None:
    for value in (NOON + 61, -DAY_S) if form in TIMES else (-1234.5, 3e-05, -2.5e17):
        assert parse_cell(write_cell(value, form), form) == value


@pytest.mark.parametrize(
    ("cell", "form", "value"),
    [
        ("78.932", "number", 78.932),
        ("78.932", "number with decimal comma", 78932.0),
        ("0,5", "number with decimal comma", 0.5),
        ("1.234.567,5", "number with decimal comma", 1234567.5),
        ("1,234.5", "number with commas at thousands", 1234.5),
        *[(cell, "number", -6.41) for cell in ("6.41-", "\u22126.41", "(6.41)")],
        *[(cell, "number", 1.25) for cell in ('="1.25"', "=1.25")],
        *[(cell, "number", 1234567.5) for cell in ("1 234 567.5", "1'234'567.5", "1\u202f234\u202f567.5")],
        ("(1.234,5)", "number with decimal comma", -1234.5),
        ("1,5E3", "number with decimal comma", 1500.0),
        ("14.23 %", "number in %", 14.23),
        *[(cell, "number in $", -5.5) for cell in ("-$5.5", "$-5.5", "($5.5)", "-5.5$")],
        ("1 234,50\u00a0€", "number with decimal comma in €", 1234.5),
        ("1:02.5", MINUTES, 62.5),
        ("-0:05", MINUTES, -5.0),
        ("00:31:07", "hours:minutes:seconds", 1867.0),
        ("59:07", "hours:minutes:seconds", 3547.0),
        ("3/4", "fraction", 0.75),
        ("-1 1/2", "fraction", -1.5),
        ("0.75", "fraction", 0.75),
    ],
)
def test_the_same_cell_is_another_number_in_another_form(cell: str, form: str, value: float) -> None:
    assert parse_cell(cell, form) == value


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        *[("5-10", form) for form in NUMBERS],
        *[(cell, "number in kg") for cell in ("5 g", "5", "kg", "5 kg kg", "nan kg", "inf kg")],
        *[("06:01", HOURS), ("1:60", MINUTES), ("3/0", "fraction")],
        *[("12 34", "number"), ("0 123", "number"), ("(5", "number"), ("=SUM", "number"), ("--5", "number")],
        # Points that stand at no thousands.
        *[(cell, "number with decimal comma") for cell in ("0.123", "12.3456", "1,234.5")],
    ],
)
def test_a_cell_that_only_looks_like_a_form_is_refused(cell: str, form: str) -> None:
    with pytest.raises(ValueError, match=f"is not a .*{form}"):
        parse_cell(cell, form)


@pytest.mark.parametrize("cell", ["\u0661\u0662", "\ufeff1"])
def test_digits_of_other_scripts_which_no_phone_reads_are_refused(cell: str) -> None:
    for form in NUMBERS:
        with pytest.raises(CellError, match="is not a"):
            Column("it", form).number({"it": cell})


@pytest.mark.parametrize(
    ("part", "value"), [("weekday", 4.0), ("hour", 12.5), ("month", 1.0), ("days", 20454 + 12.5 / 24)]
)
def test_a_part_of_a_date_is_that_in_utc(part: str, value: float) -> None:
    cells = {"since": "2026-01-01T14:30:00+02:00"}
    assert Column("since", "year-month-day", part).number(cells) == pytest.approx(value)


def test_an_age_reaches_from_one_column_to_another() -> None:
    age = Column("since", "day.month.year", "age", "day", "year-month-day")
    assert age.number({"since": "30.12.2025", "day": "2026-01-01"}) == 2.0
    assert math.isnan(age.number({"since": "30.12.2025", "day": ""}))


@pytest.mark.parametrize(
    "given",
    [
        *({"form": form} for form in ("roman", "number in ", "fraction in kg", "year-month-day in kg")),
        {"form": "year-month-day", "part": "century"},
        {"part": "weekday"},
        {"form": "year-month-day", "part": "age"},
        {"until": "day"},
    ],
)
def test_an_invalid_column_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not"):
        Column("since", **given)


def test_the_error_of_a_cell_can_be_pickled() -> None:
    with pytest.raises(CellError) as caught:
        Column("price").number({"price": "warm"})
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.found, again.kind) == ("price: 'warm' is not a number.", "price, number")
    assert not again.is_time


def test_an_empty_time_is_none() -> None:
    with pytest.raises(CellError, match="since is empty"):
        Column("since", form="year-month-day").seconds({"since": math.nan})
