"""What all tests share: a quiet TensorFlow, and the order in which they end soonest."""

import os

import pytest

# Read when TensorFlow is first imported; 2 keeps its errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Minutes each: begun last, one would run alone at the end while the other cores wait.
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
