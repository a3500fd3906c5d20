"""Common parts of the generators of samples: checks of arguments, weeks, and assignment of faults.

A module of a sample has a function that adds weekly spans after the last existing one:

    generate(data_dir: Path, *, weeks: int, per_week: int, seed: int, faults: Mapping[str, float],
             workers: int = 1) -> list[Span]
        Returns the new spans, oldest first, of `per_week` examples each before duplicates. The same seed,
        from 0, and number of a span give the same bytes. Faults are rates from 0 to 1 by name. Raises
        UsageError if an argument is out of range, or too few numbers of spans are left.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from data.spans.layout import Span, add_span, find_next_number
from edgeline.errors import UsageError, suggest
from edgeline.records.events import Counted, report
from edgeline.records.workload import load_module


def load_sample(module: str) -> Any:
    """Imports the module of a sample. Raises UsageError if that fails, or it has no `generate`."""
    return load_module(module, ["generate"], "data/spans/sample.py")


def parse_rates(options: Iterable[str], names: Sequence[str]) -> dict[str, float]:
    """Reads `NAME=RATE` options; a generator checks both. Raises UsageError for another form."""
    faults = {}
    for option in options:
        name, _, rate = option.partition("=")
        try:
            faults[name] = float(rate)
        except ValueError:
            raise UsageError(
                f"{option!r} is not NAME=RATE.",
                "A fault needs a name and the share of examples that it affects.",
                f"Pass, for example, {names[0]}=0.05; known faults: {', '.join(names)}.",
            ) from None
    return faults


def check_arguments(
    faults: Mapping[str, float],
    names: Sequence[str],
    *,
    weeks: int,
    per_week: int,
    seed: int,
    workers: int,
    most: int = 1_000_000_000,
) -> None:
    """Raises UsageError if a fault is unknown, or a rate, a number or the seed is out of range.

    Args:
        faults: Rates by name, 0..1.
        names: The faults that the generator knows.
        weeks: The number of spans, from 1.
        per_week: The number of examples in each span, from 1.
        seed: The only number that may be 0.
        workers: The number of processes, from 1.
        most: The largest value of each of these numbers, as far as the generator's times or ids reach.
    """
    for name, rate in faults.items():
        if name not in names:
            known = f"Known faults: {', '.join(names)}."
            raise UsageError(f"There is no fault {name!r}.", suggest(name, names), known)
        if not 0 <= rate <= 1:
            raise UsageError(
                f"The rate of the fault {name!r} is {rate}.", "It is a share.", "Pass a number from 0 to 1."
            )
    for name, value in {"weeks": weeks, "per week": per_week, "seed": seed, "workers": workers}.items():
        least = 0 if name == "seed" else 1
        if not least <= value <= most:
            raise UsageError(f"{name} is {value}.", "It is out of range.", f"Pass {least} to {most:,}.")


def add_weeks(
    data_dir: Path, weeks: int, per_week: int, noun: str, fill: Callable[[int, Path], None]
) -> list[Span]:
    """Adds spans after the last existing one; `fill` writes the files of a span, given its number.

    Args:
        data_dir: The folder of spans.
        weeks: The number of spans.
        per_week: The number of examples of each, for the progress.
        noun: The plural that the progress calls the examples.
        fill: Writes the files of a span, given its number and its folder.

    Raises:
        UsageError: Too few numbers are left.
    """
    first = find_next_number(data_dir, weeks)
    spans: list[Span] = []
    for number in range(first, first + weeks):
        spans.append(add_span(data_dir, partial(fill, number)))
        report(Counted(noun, len(spans) * per_week, weeks * per_week))
    return spans


def find_monday(number: int) -> date:
    """Returns the first day of a span's week, by the number of the span."""
    return date(2026, 1, 5) + timedelta(weeks=number - 1)


def assign_faults(
    faults: Mapping[str, float], names: Iterable[str], order: Sequence[int]
) -> dict[int, list[str]]:
    """Assigns the faults `names` to examples, in exact shares, to different examples while there are enough.

    Args:
        faults: Rates by name, 0..1.
        names: Those to assign; faults of other things than examples are left out.
        order: The number of each example, shuffled.

    Returns:
        The faults of each example that has some, in the order of `names`.
    """
    assigned: dict[int, list[str]] = {}
    start = 0
    for name in names:
        count = round(faults.get(name, 0.0) * len(order))
        for place in range(start, start + count):
            assigned.setdefault(int(order[place % len(order)]), []).append(name)
        start += count
    return assigned
