"""Says at the import what a run would refuse: classes that are too few, or have too few examples."""

from collections.abc import Mapping

from errors import DataRefused
from labels import first_few


def check_classes(shown: str, noun: str, counts: Mapping[str, int]) -> None:
    """Refuses what nothing can be learned from; `counts` are the examples by label.

    Raises:
        DataRefused: There are not two classes of two examples each.
    """
    if sum(count > 1 for count in counts.values()) < 2:
        listed = first_few([f"{count} {label}" for label, count in counts.items()])
        raise DataRefused(
            f"{shown} has {'one class' if len(counts) == 1 else f'too few {noun}s'}: {listed}.",
            "A class is told from another one, and needs an example to learn from and one to be judged by.",
            f"Import it together with more {noun}s.",
        )


def warn_of_few(noun: str, counts: Mapping[str, int], least: int) -> tuple[str, ...]:
    """Returns what a run will say of classes with fewer than the `least` examples that it wants."""
    few = [f"{count} {label}" for label, count in counts.items() if count < least]
    if not few:
        return ()
    return (
        f"A run wants {least} {noun}s of each class, and will refuse {first_few(few)}. Import more of them,"
        " or set a lower gate.min_examples_per_class in workload.yaml.",
    )
