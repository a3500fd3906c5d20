"""A row, or a window of rows, as a device makes the model's input of it: numpy alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def preprocess(content: Mapping[str, Any], contract: Mapping[str, Any]) -> NDArray[np.float32]:
    """The input of the model, as the Transform graph makes it; 1e-5 apart at the most.

    Args:
        content: Numbers by name, a list of the last readings, the oldest first (or one number where
            `readings` is 1), None or NaN where one is missing; categories by name, a text each.
        contract: Content of preprocessing.json of kind `row`.

    Returns:
        float32 [1, readings, channels]: z-scores, 1 where a number is missing, ranks where there are
        boundaries, and a one-hot of each category, whose first place is for what its vocabulary lacks.

    Raises:
        ValueError: A number has not as many readings as the contract.
    """
    readings, numbers = contract["readings"], contract["numbers"]
    channels = []
    if numbers:
        values = np.stack([_readings(content[n["name"]], n["name"], readings) for n in numbers], axis=-1)
        mean, deviation = (np.array([n[key] for n in numbers], np.float32) for key in ("mean", "deviation"))
        missing = np.isnan(values)
        scores = np.clip((values - mean) / deviation, -contract["clip"], contract["clip"])
        channels += [np.where(missing, 0, scores), missing]
        if "boundaries" in numbers[0]:
            boundaries = np.array([n["boundaries"] for n in numbers], np.float32)
            rank = (values[..., None] >= boundaries).sum(-1) * (2 / boundaries.shape[1]) - 1
            channels.append(np.where(missing, 0, rank))
    for category in contract["categories"]:
        one_hot = np.zeros((readings, contract["vocabulary_size"] + 1))
        vocabulary: Sequence[str] = category["vocabulary"]
        text = content.get(category["name"])
        one_hot[:, 1 + vocabulary.index(text) if text in vocabulary else 0] = 1
        channels.append(one_hot)
    return np.concatenate(channels, axis=-1).astype(np.float32)[np.newaxis]


def _readings(values: Any, name: str, readings: int) -> NDArray[np.float32]:
    found = np.atleast_1d(np.array(values, np.float32))  # None becomes NaN
    if found.shape != (readings,):
        raise ValueError(f"{name} has {found.size} readings, and the model takes {readings}")
    return found
