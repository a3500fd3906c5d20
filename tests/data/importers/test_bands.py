"""A label of many numbers is refused with the command that makes bands of it."""

import shlex
from collections import Counter

import pytest

from data.importers.bands import suggest_bands
from edgeline.tables.rows import read_rows
from tests.data.importers.test_column_rules import profile


@pytest.mark.parametrize(
    ("cells", "sizes"),
    [
        ([f"{n / 10}" for n in range(90)], {"low": 30, "middle": 30, "high": 30}),
        (["0"] * 60 + [f"{n}.5" for n in range(30)], {"low": 60, "middle": 1, "high": 29}),
        ([f"{n}" for n in range(5)] + ["9"] * 85, {"low": 5, "high": 85}),
    ],
)
def test_the_command_for_a_csv_makes_bands_of_about_as_many_rows(tmp_path, cells, sizes):
    path = tmp_path / "my taxi.csv"
    path.write_text("\n".join(["x;age", *(f"{cell};1" for cell in cells)]))
    before, _, script = suggest_bands(str(path), profile(cells)).partition(" .venv/bin/python -c ")
    assert f"import {path.with_name('my taxi_bands.csv')} with --label x_band" in before
    exec(*shlex.split(script), {})
    rows = [row for _, row in read_rows(tmp_path / "my taxi_bands.csv", ())]
    assert Counter(row["x_band"] for row in rows) == sizes
    assert "x" not in rows[0]  # a model would read the answer


def test_the_bands_of_a_query_are_cases_and_those_of_a_workbook_a_column():
    column = profile([f"{n}" for n in range(90)])
    assert suggest_bands("sqlite:///a.db", column).endswith(
        "CASE WHEN x < 30 THEN 'low' WHEN x < 60 THEN 'middle' ELSE 'high' END AS x_band."
    )
    assert "(low below 30, middle below 60, else high)" in suggest_bands("a.xlsx", column)
