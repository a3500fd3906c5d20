"""How a device makes what a model reads: the executable forms of preprocessing.json, without TensorFlow."""

from collections.abc import Mapping
from typing import Any

from errors import EdgelineError


def wrong_in(contract: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Where a contract says something else than what is followed here, in words."""
    return [
        f"{key} is {contract.get(key)!r}, not {value!r}"
        for key, value in known.items()
        if contract.get(key) != value
    ]


def refused(wrong: str) -> EdgelineError:
    """The error of a contract that asks for what this version does not do."""
    return EdgelineError(
        f"The preprocessing contract cannot be followed: {wrong}.",
        "Guessing would show the model something else than it was trained on.",
        "Use the runtime that was released with this bundle, or verify the bundle.",
    )
