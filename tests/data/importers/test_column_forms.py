import pytest

from data.importers.column_forms import describe_others, find_form
from tests.data.importers.test_column_rules import SIZES, profile, swap


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        ([f"{size.replace('.', ',')} %" for size in SIZES], "number with decimal comma in %"),
        ([f"{n} EUR" for n in range(400)], "number in EUR"),
        ([f"{n % 50},5E+02" for n in range(400)], "number with decimal comma"),
        ([f"{n % 9 + 1} {n % 700 + 200}" for n in range(400)], "number"),
        ([f"{n % 24:02}:{n % 60:02}" for n in range(400)], "minutes:seconds or hours:minutes"),
        ([f"{n % 50}:{n % 60:02}{':07' * (n % 2)}" for n in range(10, 400)], "hours:minutes:seconds"),
        ([f"{n % 50}/{n % 9 + 1}" for n in range(400)], "fraction"),
        ([f"{n % 9 + 1} 1/2" if n % 2 else str(n % 9) for n in range(400)], "fraction"),
        ([f"{n % 50}/{n % 9}th" for n in range(400)], ""),
        ([f"{n % 50}{'ABCD'[n % 4]}" for n in range(400)], ""),
        (swap([f"{size} kg" for size in SIZES], *[f"{size} g" for size in SIZES[:20]]), ""),
        (swap([f"{size} kg" for size in SIZES], *SIZES[:20]), ""),
        ([f"{n % 24:02}:{n % 60:02}{':07' * (n % 2)}" for n in range(400)], ""),
    ],
)
def test_numbers_as_people_write_them_are_read_where_nearly_all_cells_have_the_form(cells, form):
    assert find_form(profile(cells)) == form


@pytest.mark.parametrize(
    ("odd", "do"),
    [("broken", "empty these"), ("ca. 5", "write numbers alone"), ("1OT", "write numbers alone")],
)
def test_a_cell_with_a_digit_has_a_value_which_nobody_is_told_to_empty(odd, do):
    others = describe_others(profile(swap(SIZES, odd, odd)))
    assert others == f"has 2 cells that are not numbers or dates, such as '{odd}' in row 0: {do}"


def test_names_that_begin_with_a_number_are_not_told_to_be_numbers():
    names = ["2. Married"] * 300 + ["1. Never Married"] * 85 + ["4. Divorced"] * 15
    assert describe_others(profile(names)) == ""
