"""Rates of the faults that a sample is generated with, for drills: NAME=RATE."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from errors import UsageError


def check_rates(faults: Mapping[str, float], known: Sequence[str]) -> None:
    """Refuses what no generator can do.

    Raises:
        UsageError: A name is not in `known`, or a rate is not within 0 to 1.
    """
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
    check_rates(faults, known)
    return faults
