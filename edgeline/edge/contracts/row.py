"""Turns a row, or a window of rows, into the model's input on a device; needs only numpy."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeline.edge.contracts import find_mismatches, make_contract_error
from edgeline.errors import EdgelineError
from edgeline.records.columns import Column, format_cell

_KEYS = ("readings", "numbers", "categories", "clip", "vocabulary_size", "missing")
_ITEM_KEYS = {
    "numbers": ("name", "mean", "deviation", "column", "low", "high"),
    "categories": ("name", "vocabulary"),
}


def preprocess(content: Mapping[str, Any], contract: Mapping[str, Any]) -> NDArray[np.float32]:
    """Makes the model's input as the Transform graph does; the two differ by at most 1e-5.

    Args:
        content: The cell of each column by the column's name, as text or as a Python value, or a list of the
            cells of the last readings, oldest first. `edgeline.records.columns.Column` turns them into
            numbers.
        contract: Content of preprocessing.json of kind `row`.

    Returns:
        float32 [1, readings, channels]: z-scores, 1 where a number is missing, ranks where there are
        boundaries, and a one-hot of each category, whose first place is for values outside its vocabulary.
        A number below `low` or above `high`, which no training example had, is read as that.

    Raises:
        EdgelineError: This version does not support the contract, or a column is missing or has another
            number of readings than the contract; CellError if a cell cannot be read.
    """
    columns = _read_columns(contract)
    readings, numbers = contract["readings"], contract["numbers"]
    channels = []
    if numbers:
        low, high, mean, deviation = _read_statistics(contract)
        values = np.clip(_read_numbers(content, contract, columns), low, high)
        is_missing = np.isnan(values)
        scores = np.clip((values - mean) / deviation, -contract["clip"], contract["clip"])
        channels += [np.where(is_missing, 0, scores), is_missing]
        if "boundaries" in numbers[0]:
            boundaries = np.array([n["boundaries"] for n in numbers], np.float32)
            rank = (values[..., None] >= boundaries).sum(-1) * (2 / boundaries.shape[1]) - 1
            channels.append(np.where(is_missing, 0, rank))
    for category in contract["categories"]:
        one_hot = np.zeros((readings, contract["vocabulary_size"] + 1))
        one_hot[:, _read_category(content, category, readings)[1]] = 1
        channels.append(one_hot)
    return np.concatenate(channels, axis=-1).astype(np.float32)[np.newaxis]


def measure_unlike(content: Mapping[str, Any], contract: Mapping[str, Any]) -> float:
    """Returns how far a row, or the farthest reading of a window, is from all of training, 0..1.

    It is d / (1 + d), where d is how many deviations a number is beyond the range that it had in training: 0
    within it, above 0.5 beyond one deviation. A category that no training example had gives 1.

    Raises the errors of `preprocess`.
    """
    columns = _read_columns(contract)
    farthest = 0.0
    if columns:
        low, high, _, deviation = _read_statistics(contract)
        values = _read_numbers(content, contract, columns).astype(np.float64)
        beyond = np.maximum(low - values, values - high) / deviation
        farthest = float(np.nanmax(beyond, initial=0.0))

    for category in contract["categories"]:
        text, place = _read_category(content, category, contract["readings"])
        # All values of training are in a vocabulary that is not full, but for the empty one.
        if text and not place and len(category["vocabulary"]) < contract["vocabulary_size"]:
            farthest = np.inf
    return 1 - 1 / (1 + farthest)


def find_beyond(cells: Mapping[str, Any], contract: Mapping[str, Any]) -> list[str]:
    """Returns the names of the numbers of a reading that are beyond those of training, and so clipped.

    Raises the errors of `preprocess` if a cell cannot be read.
    """
    columns = _read_columns(contract)
    values = np.array([column.number(cells, contract["missing"]) for column in columns], np.float32)
    return [
        number["name"]
        for number, value in zip(contract["numbers"], values, strict=True)
        if value < number["low"] or value > number["high"]
    ]


def list_columns(contract: Mapping[str, Any]) -> list[str]:
    """Returns the names of the columns whose cells are read. Raises the contract errors of `preprocess`."""
    categories = [category["name"] for category in contract.get("categories", ())]
    return list(dict.fromkeys((*_list_cell_names(_read_columns(contract)), *categories)))


def _list_cell_names(columns: Sequence[Column]) -> list[str]:
    names = chain.from_iterable((column.name, column.until) for column in columns)
    return list(dict.fromkeys(name for name in names if name))


def _read_columns(contract: Mapping[str, Any]) -> list[Column]:
    """Reads and checks a contract; returns the columns that its numbers come from."""
    version = 4 if contract.get("version") == 4 else 3  # 4 has columns with texts for a missing number
    mismatches = find_mismatches(contract, {"kind": "row", "version": version})
    mismatches += [f"{key} is missing" for key in _KEYS if key not in contract]
    for kind, needed in _ITEM_KEYS.items():
        for item in contract.get(kind, ()):
            mismatches += [f"{key} of {item.get('name')!r} is missing" for key in needed if key not in item]
    numbers = [] if mismatches else contract["numbers"]
    columns = []
    for number in numbers:
        try:
            columns.append(Column(**number["column"]))
        except (TypeError, ValueError) as error:
            mismatches.append(f"the column of {number['name']!r}: {error}")
    if mismatches:
        raise make_contract_error("; ".join(mismatches))
    return columns


def _read_statistics(contract: Mapping[str, Any]) -> NDArray[np.float32]:
    """Returns the lowest and highest value of each number in training, its mean and its deviation."""
    keys = ("low", "high", "mean", "deviation")
    return np.array([[number[key] for number in contract["numbers"]] for key in keys], np.float32)


def _read_numbers(
    content: Mapping[str, Any], contract: Mapping[str, Any], columns: Sequence[Column]
) -> NDArray[np.float32]:
    """Returns the numbers of a row or window, [readings, numbers], NaN where one is missing."""
    cells = {name: _read_cells(content, name, contract["readings"]) for name in _list_cell_names(columns)}
    rows = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    values = [[column.number(row, contract["missing"]) for column in columns] for row in rows]
    return np.array(values, np.float32)


def _read_category(content: Mapping[str, Any], category: Mapping[str, Any], readings: int) -> tuple[str, int]:
    """Returns the text of a category, and its place in the one-hot: 0 if it is not in the vocabulary."""
    vocabulary: Sequence[str] = category["vocabulary"]
    # A window may have one cell of a category: it is of one machine.
    cell = _read_cells(content, category["name"], readings, least=1)[-1]
    text = format_cell(cell)
    if not isinstance(cell, str) and text not in vocabulary and f"{text}.0" in vocabulary:
        text += ".0"  # as pandas writes whole numbers beside gaps
    return text, 1 + vocabulary.index(text) if text in vocabulary else 0


def _read_cells(content: Mapping[str, Any], name: str, readings: int, least: int = 0) -> list[Any]:
    """Returns the cells of a column, one per reading, or `least` of them."""
    if name not in content:
        raise EdgelineError(
            f"There is no column {name!r}.",
            "The model was trained with it.",
            "Pass every column; leave its cell empty, or None, where the value is unknown.",
        )
    value = content[name]
    cells = list(value) if np.iterable(value) and not isinstance(value, str | bytes) else [value]
    if len(cells) not in (readings, least or readings):
        raise EdgelineError(
            f"The column {name!r} has {len(cells)} readings.",
            f"The model takes {readings}.",
            "Pass that many, the oldest first." if readings > 1 else "Pass one reading.",
        )
    return cells
