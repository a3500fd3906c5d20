"""The values of a `tf.train.Feature`."""

from typing import Any


def list_values(feature: Any) -> list[Any]:
    """Returns the values of a `tf.train.Feature`."""
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


def format_value(value: Any) -> str:
    """Formats a value of a `tf.train.Feature` as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
