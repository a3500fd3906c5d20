"""Faults for drills: texts and labels go wrong on purpose as they do in the field.

Rates are shares of a week's reviews; that of `vocabulary-drift` is a share of the clauses of all reviews.
"""

import random
import string

ONE_REVIEW = (
    *("unlabelled", "unknown-label", "duplicate", "empty", "control-character", "huge"),
    *("unknown-tokens", "length-shift"),
)
FAULTS = (*ONE_REVIEW, "vocabulary-drift", "label-shift")
_HUGE_CHARACTERS = 20_000
LONG_CLAUSES = 12
_LETTERS = string.ascii_lowercase + string.digits


def spoil(fault: str, row: dict[str, str], rng: random.Random) -> dict[str, str]:
    """Returns a row with one fault; for `duplicate` a copy, as somebody types it a second time.

    Args:
        fault: One of `ONE_REVIEW`; one that concerns the length leaves the row as it is.
        row: By column; it is not changed.
        rng: Draws the words of `unknown-tokens`; other faults draw nothing.
    """
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
            # A broken export may write such words, of which none is in any vocabulary.
            words = ("".join(rng.choices(_LETTERS, k=max(len(word), 4))) for word in text.split())
            return {**row, "text": " ".join(words)}
    return row
