"""How a device makes what a model reads: the executable forms of preprocessing.json, without TensorFlow."""

from errors import EdgelineError


def refused(wrong: str) -> EdgelineError:
    """The error of a contract that asks for what this version does not do."""
    return EdgelineError(
        f"The preprocessing contract cannot be followed: {wrong}.",
        "Guessing would show the model something else than it was trained on.",
        "Use the runtime that was released with this bundle, or verify the bundle.",
    )
