"""What the generators of samples share: checks of what is wanted, weeks, and which examples a fault hits.

A module of a sample has a function that adds weekly spans after the last one that is there:

    generate(data_dir: Path, *, weeks: int, per_week: int, seed: int, faults: Mapping[str, float],
             workers: int = 1) -> list[Span]
        The new spans, oldest first, of `per_week` examples each before duplicates. The same seed, from 0, and
        number of a span give the same bytes. Faults are rates from 0 to 1 by name. Raises UsageError where
        one of these is out of range, or there are not as many numbers of spans left.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from data.spans.layout import Span, add_span, next_number
from errors import UsageError

_progress = logging.getLogger("edgeline.progress")


def _check_rates(faults: Mapping[str, float], known: Sequence[str]) -> None:
    for name, rate in faults.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise UsageError(
                f"There is no fault {name!r}.",
                f"Did you mean {near[0]!r}?" if near else "",
                f"Known faults: {', '.join(known)}.",
            )
        if not 0 <= rate <= 1:
            raise UsageError(
                f"The rate of the fault {name!r} is {rate}.", "It is a share.", "Give a number from 0 to 1."
            )


def parse_rates(options: Iterable[str], known: Sequence[str]) -> dict[str, float]:
    """Reads `NAME=RATE` options.

    Raises:
        UsageError: An option has another form, names an unknown fault, or its rate is not within 0 to 1.
    """
    faults = {}
    for option in options:
        name, _, rate = option.partition("=")
        try:
            faults[name] = float(rate)
        except ValueError:
            raise UsageError(
                f"{option!r} is not NAME=RATE.",
                "A fault needs a name and the share that it hits.",
                f"For example {known[0]}=0.05; known faults: {', '.join(known)}.",
            ) from None
    _check_rates(faults, known)
    return faults


def check_wanted(
    faults: Mapping[str, float],
    known: Sequence[str],
    *,
    weeks: int,
    per_week: int,
    seed: int,
    workers: int,
    most: int = 1_000_000_000,
) -> None:
    """Refuses what nothing can be made of.

    Raises:
        UsageError: A fault is not in `known`, or its rate not within 0 to 1; a number is below 1, the seed
            below 0, or one above `most`.
    """
    _check_rates(faults, known)
    for name, value in {"weeks": weeks, "per week": per_week, "seed": seed, "workers": workers}.items():
        least = 0 if name == "seed" else 1
        if not least <= value <= most:
            raise UsageError(f"{name} is {value}.", "Nothing can be made so.", f"Give {least} to {most}.")


def add_weeks(
    data_dir: Path, weeks: int, per_week: int, noun: str, fill: Callable[[int, Path], None]
) -> list[Span]:
    """Adds spans after the last one that is there; `fill` writes the files of a span, by its number.

    Raises:
        UsageError: There are not as many numbers left.
    """
    first = next_number(data_dir, weeks)
    spans: list[Span] = []
    for number in range(first, first + weeks):
        spans.append(add_span(data_dir, partial(fill, number)))
        report_progress(len(spans) * per_week, weeks * per_week, noun)
    return spans


def monday_of(number: int) -> date:
    """The day on which the week of a span begins, by its number."""
    return date(2026, 1, 5) + timedelta(weeks=number - 1)


def report_progress(done: int, total: int, noun: str) -> None:
    """Tells how far a generator or an import is."""
    event = {"event": "count", "what": noun, "done": done, "total": total}
    _progress.info(f"{done} of {total} {noun}", extra={"progress": event})


def choose(faults: Mapping[str, float], names: Iterable[str], order: Sequence[int]) -> dict[int, list[str]]:
    """Which faults, of `names`, hit which examples: exact shares, on different ones while there are enough.

    `order` has the number of each example, shuffled.
    """
    hit: dict[int, list[str]] = {}
    start = 0
    for name in names:
        count = round(faults.get(name, 0.0) * len(order))
        for place in range(start, start + count):
            hit.setdefault(int(order[place % len(order)]), []).append(name)
        start += count
    return hit
