"""Checks at the import for what a run would refuse: too few classes, or classes with too few examples."""

from collections.abc import Mapping

from edgeline.errors import DataRefused
from edgeline.labels import join_names


def check_classes(shown: str, noun: str, counts: Mapping[str, int]) -> None:
    """Refuses data without two classes to learn; `counts` are the examples by label.

    Raises:
        DataRefused: Fewer than two classes have two examples or more.
    """
    if sum(count > 1 for count in counts.values()) < 2:
        listed = join_names([f"{count} {label}" for label, count in counts.items()])
        raise DataRefused(
            f"{shown} has {'one class' if len(counts) == 1 else f'too few {noun}s'}: {listed}.",
            "Training needs two classes, each with an example to learn from and one to evaluate on.",
            f"Import it together with more {noun}s.",
        )


def warn_of_few(noun: str, counts: Mapping[str, int], least: int) -> tuple[str, ...]:
    """Returns a warning if classes have fewer than the `least` examples that a run wants."""
    few = [f"{count} {label}" for label, count in counts.items() if count < least]
    if not few:
        return ()
    return (
        f"A run requires {least} {noun}s of each class, and will refuse {join_names(few)}. Import more of"
        " them, or set a lower gate.min_examples_per_class in workload.yaml.",
    )
