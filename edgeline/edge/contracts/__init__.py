"""Preprocessing on a device: runs preprocessing.json without TensorFlow."""

from collections.abc import Mapping
from typing import Any

from edgeline.errors import EdgelineError


def find_mismatches(contract: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Lists the values of a contract that this version does not support, as text."""
    return [
        f"{key} is {contract.get(key)!r}, not {value!r}"
        for key, value in expected.items()
        if contract.get(key) != value
    ]


def make_contract_error(mismatches: str) -> EdgelineError:
    """Makes the error for a contract that this version does not support."""
    return EdgelineError(
        f"The preprocessing contract is not supported: {mismatches}.",
        "The model would get other inputs than those it was trained on.",
        "Use the runtime that was released with this bundle, or verify the bundle.",
    )
