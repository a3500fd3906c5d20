"""The cells of a row as the input of a model."""

from datetime import date, datetime

import numpy as np
import pandas
import pytest

from edgeline.edge.contracts.row import find_beyond, list_columns, measure_unlike, preprocess
from edgeline.errors import EdgelineError
from edgeline.records.columns import MISSING, CellError


def number(name: str, **column: str) -> dict:
    range_ = {"low": -1e6, "high": 1e6}
    return {"name": name, "column": {"name": name, **column}, "mean": 0.0, "deviation": 1.0, **range_}


CONTRACT = {
    "version": 3,
    "kind": "row",
    "readings": 1,
    "channels": 9,
    "clip": 1e6,
    "missing": sorted(MISSING),
    "numbers": [
        number("price", form="number with decimal comma"),
        {**number("since", form="day.month.year", part="weekday"), "name": "since_weekday"},
        {
            **number("since", form="day.month.year", part="age", until="day", until_form="month/day/year"),
            "name": "since_age",
        },
    ],
    "categories": [{"name": "zip", "vocabulary": ["01067", "80331"]}],
    "vocabulary_size": 2,
}
ROW = {"price": "78.932,5", "since": "05.01.2026", "day": "1/7/2026 12:00", "zip": "80331"}


def make(cells: dict, **changes: object) -> list[float]:
    return preprocess({**ROW, **cells}, {**CONTRACT, **changes})[0, 0].tolist()


def test_cells_become_what_the_form_of_their_column_says() -> None:
    assert list_columns(CONTRACT) == ["price", "since", "day", "zip"]
    assert make({}) == [78932.5, 1.0, 2.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


def test_values_of_programs_are_taken_as_they_are() -> None:
    typed = {"price": 78932.5, "since": datetime(2026, 1, 5), "day": pandas.Timestamp("2026-01-07 12:00")}
    assert make({**typed, "zip": 80331}) == make({})
    assert make({**typed, "since": date(2026, 1, 5)}) == make({})


@pytest.mark.parametrize("cell", [5, 5.0, "5.0"])
def test_a_whole_number_is_in_a_vocabulary_that_pandas_wrote_beside_gaps(cell: object) -> None:
    categories = [{"name": "zip", "vocabulary": ["5.0", ""]}]
    assert make({"zip": cell}, categories=categories)[6:] == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("cell", ["", None, float("nan"), pandas.NA, pandas.NaT])
def test_an_empty_category_is_outside_of_the_vocabulary(cell: object) -> None:
    assert make({"zip": cell})[6:] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("cell", ["", " NA ", "nan", None, float("nan"), pandas.NaT])
def test_a_missing_cell_is_missing_in_each_of_its_parts(cell: object) -> None:
    assert make({"since": cell})[:6] == [78932.5, 0.0, 0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ({"price": "12.5"}, "price: '12.5' is not a number with decimal comma"),
        ({"since": "2026-01-05"}, "since: '2026-01-05' is not a date as day.month.year"),
        ({"since": "30.02.2026"}, "'2026-02-30' is a time that does not exist"),
        ({"price": "1" * 50}, "is not a number that a model can read"),
    ],
)
def test_another_form_is_refused_with_the_cell(cells: dict, found: str) -> None:
    with pytest.raises(CellError) as caught:
        make(cells)
    assert found in caught.value.found


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"version": 5}, "version is 5, not 3"),
        ({"version": "1"}, "version is '1', not 3"),
        ({"missing": None, "clip": None}, ""),
        ({"numbers": [{"name": "price", "mean": 0, "deviation": 1}]}, "column of 'price' is missing"),
        ({"numbers": [{"name": "price", "column": {"name": "price"}}]}, "mean of 'price' is missing"),
        ({"numbers": [number("price", form="roman")]}, "column of 'price': roman"),
        ({"numbers": [number("price", part="weekday")]}, "column of 'price': weekday is not a part"),
        ({"categories": [{"name": "zip"}]}, "vocabulary of 'zip' is missing"),
    ],
)
def test_a_contract_that_lacks_a_part_is_refused(changed: dict, found: str) -> None:
    contract = {key: value for key, value in {**CONTRACT, **changed}.items() if value is not None}
    with pytest.raises(EdgelineError, match=found or "clip is missing; missing is missing"):
        preprocess(ROW, contract)


def test_numbers_beyond_those_of_training_are_clipped_and_named() -> None:
    price, *others = CONTRACT["numbers"]
    numbers = [{**price, "low": 5.0, "high": 10.0}, *others]
    assert [make({"price": cell}, numbers=numbers)[0] for cell in ("4", "7,5", "11")] == [5.0, 7.5, 10.0]
    contract = {**CONTRACT, "numbers": numbers}
    beyond = [find_beyond({**ROW, "price": cell}, contract) for cell in ("4", "5", "10,5", "")]
    assert beyond == [["price"], [], ["price"], []]


@pytest.mark.parametrize(
    ("cells", "unlike"),
    [
        ({"price": "10"}, 0.0),
        ({"price": "12"}, 0.5),  # one deviation above
        ({"price": "2,9"}, 0.5122),
        ({"price": "500"}, 0.9959),  # 245 deviations
        ({"price": "", "since": None}, 0.0),
        ({"zip": "99999"}, 1.0),
        ({"zip": ""}, 0.0),  # no vocabulary has the empty one
    ],
)
def test_a_row_far_beyond_the_ranges_of_training_or_with_a_new_category_is_unlike(cells, unlike) -> None:
    price, *others = CONTRACT["numbers"]
    numbers = [{**price, "low": 5.0, "high": 10.0, "deviation": 2.0}, *others]
    contract = {**CONTRACT, "numbers": numbers, "vocabulary_size": 3}
    row = {**ROW, "price": "7", **cells}
    assert measure_unlike(row, contract) == pytest.approx(unlike, abs=1e-4)
    # A full vocabulary lacks categories that training had.
    if "zip" in cells:
        assert measure_unlike(row, {**contract, "vocabulary_size": 2}) == 0.0


def test_a_window_is_as_unlike_as_its_farthest_reading() -> None:
    number_ = {**number("load", form="number"), "low": 0.0, "high": 10.0}
    contract = {**CONTRACT, "readings": 3, "numbers": [number_], "categories": []}
    windows = (["1", "2", "3"], ["1", "13", ""], ["-9", "13", "3"])
    unlike = [measure_unlike({"load": window}, contract) for window in windows]
    assert unlike == pytest.approx([0.0, 0.75, 0.9])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"zip": "1"}, "no column 'price'"),
        ({**ROW, "price": ["1", "2"]}, "'price' has 2 readings"),
        ({name: cell for name, cell in ROW.items() if name != "zip"}, "no column 'zip'"),
        ({**ROW, "zip": []}, "'zip' has 0 readings"),
    ],
)
def test_cells_that_are_not_there_or_too_many_are_named(content: dict, found: str) -> None:
    with pytest.raises(EdgelineError, match=found):
        preprocess(content, CONTRACT)


def test_readings_become_scores_gaps_ranks_and_a_one_hot() -> None:
    """The mean is 2 and the deviation 4; numbers are read as 0 to 30, and scores as -2 to 2."""
    learned = {"mean": 2.0, "deviation": 4.0, "low": 0.0, "high": 30.0, "boundaries": [0.0, 4.0, 8.0, 30.0]}
    changes = {"readings": 4, "clip": 2.0, "numbers": [{**number("a"), **learned}], "vocabulary_size": 3}
    cells = {"a": [-1, 4, None, "99"], "zip": "80331"}
    rows = preprocess(cells, {**CONTRACT, **changes})
    assert rows.dtype == np.float32 and rows.tolist() == [
        [
            [-0.5, 0.0, -0.5, 0.0, 0.0, 1.0, 0.0],
            [0.5, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            [2.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
        ]
    ]
