"""Faults for drills: what goes wrong with texts and labels in the field, made on purpose.

Rates are shares of a week's reviews; for `vocabulary-drift` of the clauses, in every review.
"""

import random
from collections.abc import Mapping

from data.reviews.phrases import Style
from errors import UsageError

_ONE_REVIEW = (
    *("unlabelled", "unknown-label", "duplicate", "empty", "control-character", "huge"),
    *("unknown-tokens", "length-shift"),
)
FAULTS = (*_ONE_REVIEW, "vocabulary-drift", "label-shift")
_HUGE_CHARACTERS = 20_000
_LONG_CLAUSES = 12


def check_faults(faults: Mapping[str, float]) -> None:
    """Refuses what `generate` cannot do.

    Raises:
        UsageError: A name is not in `FAULTS`, or a rate is not within 0 to 1.
    """
    for name, rate in faults.items():
        if name not in FAULTS:
            raise UsageError(
                f"There is no fault {name!r} of reviews.", "", f"Known faults: {', '.join(FAULTS)}."
            )
        if not 0 <= rate <= 1:
            raise UsageError(
                f"The rate of the fault {name!r} is {rate}.", "It is a share.", "Give a number from 0 to 1."
            )


def choose_reviews(faults: Mapping[str, float], count: int, rng: random.Random) -> list[tuple[str, ...]]:
    """Which faults hit each of a week's reviews: exact shares, on different ones while there are enough."""
    hit: list[tuple[str, ...]] = [()] * count
    order = rng.sample(range(count), count)
    start = 0
    for name in _ONE_REVIEW:
        hits = round(faults.get(name, 0.0) * count)
        for place in range(start, start + hits):
            review = order[place % count]
            hit[review] = (*hit[review], name)
        start += hits
    return hit


def styled(style: Style, faults: tuple[str, ...]) -> Style:
    """How a review is written under its faults."""
    if "length-shift" not in faults:
        return style
    return Style(_LONG_CLAUSES, style.new_words, style.emoji, style.shouts)


def spoil(fault: str, row: dict[str, str], rng: random.Random) -> dict[str, str]:
    """A row with one fault; `duplicate` gives the copy, as it is typed a second time."""
    text = row["text"]
    match fault:
        case "unlabelled":
            return {**row, "label": ""}
        case "unknown-label":
            return {**row, "label": "neutral"}
        case "duplicate":
            return {**row, "text": f"{text.upper()} "}
        case "empty":
            return {**row, "text": "  "}
        case "control-character":
            return {**row, "text": f"{text[:5]}\x07{text[5:]}"}
        case "huge":
            return {**row, "text": f"{text} " * (_HUGE_CHARACTERS // len(text) + 1)}
        case "unknown-tokens":
            # As a broken export writes it: each word is another one, and none is in any vocabulary.
            return {**row, "text": " ".join(_gibberish(len(word), rng) for word in text.split())}
    return row


def _gibberish(length: int, rng: random.Random) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=max(length, 4)))
