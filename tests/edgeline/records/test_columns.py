"""Cells of each form, as they are read and written."""

import math
import pickle

import pytest

from edgeline.records.columns import DAY_S, NUMBERS, TIMES, CellError, Column, parse_cell, write_cell

NOON = 20_454 * DAY_S + DAY_S / 2  # 2026-01-01, a Thursday


@pytest.mark.parametrize("form", [*NUMBERS, *TIMES])
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
    ],
)
def test_the_same_cell_is_another_number_in_another_form(cell: str, form: str, value: float) -> None:
    assert parse_cell(cell, form) == value


@pytest.mark.parametrize("cell", ["0.123", "12.3456", "1,234.5"])
def test_points_that_stand_at_no_thousands_are_refused_where_the_comma_is_decimal(cell: str) -> None:
    with pytest.raises(ValueError, match="not a number with decimal comma"):
        parse_cell(cell, "number with decimal comma")


@pytest.mark.parametrize("cell", ["\u0661\u0662", "\ufeff1"])
def test_digits_of_other_scripts_which_no_phone_reads_are_refused(cell: str) -> None:
    for form in NUMBERS:
        with pytest.raises(CellError, match="is not a number"):
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
        {"form": "roman"},
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
