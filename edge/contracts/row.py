"""A row, or a window of rows, as a device makes the model's input of it: numpy alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contracts import refused, wrong_in
from errors import EdgelineError
from records.columns import MISSING, Column, text_of

_KEYS = ("readings", "numbers", "categories", "clip", "vocabulary_size")
_KEYS_OF = {"numbers": ("name", "mean", "deviation"), "categories": ("name", "vocabulary")}


def preprocess(content: Mapping[str, Any], contract: Mapping[str, Any]) -> NDArray[np.float32]:
    """The input of the model, as the Transform graph makes it; 1e-5 apart at the most.

    Args:
        content: By name of the column a cell, as text or as a program has it, or a list of the cells of the
            last readings, the oldest first. See `records.columns.Column` for how numbers come from them.
        contract: Content of preprocessing.json of kind `row`. In version 1, columns held plain numbers.

    Returns:
        float32 [1, readings, channels]: z-scores, 1 where a number is missing, ranks where there are
        boundaries, and a one-hot of each category, whose first place is for what its vocabulary lacks.

    Raises:
        EdgelineError: The contract asks for what this version does not do, a column is not there, or has
            not as many readings as the contract; CellError where a cell cannot be read.
    """
    columns = _columns(contract)
    readings, numbers = contract["readings"], contract["numbers"]
    channels = []
    if numbers:
        missing = contract.get("missing", MISSING)
        cells = {name: _cells(content, name, readings) for name in _names(columns)}
        rows = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
        values = np.array([[column.number(row, missing) for column in columns] for row in rows], np.float32)
        mean, deviation = (np.array([n[key] for n in numbers], np.float32) for key in ("mean", "deviation"))
        is_missing = np.isnan(values)
        scores = np.clip((values - mean) / deviation, -contract["clip"], contract["clip"])
        channels += [np.where(is_missing, 0, scores), is_missing]
        if "boundaries" in numbers[0]:
            boundaries = np.array([n["boundaries"] for n in numbers], np.float32)
            rank = (values[..., None] >= boundaries).sum(-1) * (2 / boundaries.shape[1]) - 1
            channels.append(np.where(is_missing, 0, rank))
    for category in contract["categories"]:
        one_hot = np.zeros((readings, contract["vocabulary_size"] + 1))
        vocabulary: Sequence[str] = category["vocabulary"]
        given = content.get(category["name"])
        text = text_of(given[-1] if isinstance(given, list | tuple) else given)
        one_hot[:, 1 + vocabulary.index(text) if text in vocabulary else 0] = 1
        channels.append(one_hot)
    return np.concatenate(channels, axis=-1).astype(np.float32)[np.newaxis]


def check(cells: Mapping[str, Any], contract: Mapping[str, Any]) -> None:
    """Refuses a reading of which a cell cannot be read. Raises as `preprocess` does."""
    for column in _columns(contract):
        column.number(cells, contract.get("missing", MISSING))


def columns_of(contract: Mapping[str, Any]) -> list[str]:
    """The columns of which cells are read. Raises as `preprocess` does of its contract."""
    categories = [each["name"] for each in contract.get("categories", ())]
    return list(dict.fromkeys((*_names(_columns(contract)), *categories)))


def _names(columns: Sequence[Column]) -> list[str]:
    return list(dict.fromkeys(name for column in columns for name in (column.name, column.until) if name))


def _columns(contract: Mapping[str, Any]) -> list[Column]:
    """Of each number how it comes from cells."""
    version = contract.get("version")
    wrong = wrong_in(contract, {"kind": "row", "version": 1 if version == 1 else 2})
    keys = _KEYS if version == 1 else (*_KEYS, "missing")
    wrong += [f"{key} is not there" for key in keys if key not in contract]
    for kind, needed in _KEYS_OF.items():
        needed = needed if version == 1 or kind == "categories" else (*needed, "column")
        for each in contract.get(kind, ()):
            wrong += [f"{key} of {each.get('name')!r} is not there" for key in needed if key not in each]
    columns = []
    for number in () if wrong else contract["numbers"]:
        try:
            columns.append(Column(**number.get("column", {"name": number["name"]})))
        except (TypeError, ValueError) as error:
            wrong.append(f"the column of {number['name']!r}: {error}")
    if wrong:
        raise refused("; ".join(wrong))
    return columns


def _cells(content: Mapping[str, Any], name: str, readings: int) -> list[Any]:
    """The cells of a column, one a reading."""
    if name not in content:
        raise EdgelineError(
            f"There is no column {name!r}.",
            "The model was trained with it.",
            "Give every column; its cell is empty, or None, where nothing is known.",
        )
    given = content[name]
    cells = [given] if isinstance(given, str) or not hasattr(given, "__len__") else list(given)
    if len(cells) != readings:
        raise EdgelineError(
            f"The column {name!r} has {len(cells)} readings.",
            f"The model takes {readings}.",
            "Give as many, the oldest first.",
        )
    return cells
