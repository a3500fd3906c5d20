"""Reviews of a wholesaler's shops and goods, made of clauses that praise or complain.

A clause describes a thing with a word that has a mood, which a negation may invert, so no word alone decides
the mood of a review. Some words are used for good and bad things alike.
"""

import random
from dataclasses import dataclass

# The mood of a clause: 1 praises, -1 complains.
GOOD, BAD = 1, -1

_THINGS = (
    *("the delivery", "the staff", "the app", "the checkout", "the packaging", "this coffee machine"),
    *("the parking", "the return desk", "the fresh fish", "the blue crates", "the website", "their cheese"),
    *("the price", "the forklift battery", "the label printer", "the queue", "the bakery", "the hotline"),
    *("the opening hours", "the cold store", "the invoice", "these gloves", "the loading dock", "my order"),
)
_WORDS = {
    GOOD: (
        *("great", "excellent", "friendly", "quick", "reliable", "fresh", "helpful", "spotless", "fair"),
        *("superb", "handy", "sturdy", "well organised", "worth every cent", "smooth", "delicious"),
        *("generous", "flawless"),
    ),
    BAD: (
        *("terrible", "slow", "rude", "broken", "late", "overpriced", "dirty", "useless", "stale"),
        *("confusing", "flimsy", "a mess", "a waste of money", "unreliable", "noisy", "damaged", "awful"),
        "misleading",
    ),
}
# Words for both moods: a cheap price, a cheap handle.
_EITHER = ("cheap", "simple", "different", "as always", "the usual", "surprising", "hard to believe", "small")
_DEGREES = ("", "", "", "really ", "very ", "quite ", "absolutely ", "rather ", "so ", "a bit ")
_NEGATIONS = ("is not {}", "isn't {}", "was never {}", "is far from {}", "is hardly {}")
_PLAIN = ("is {}", "was {}", "has been {}", "turned out {}", "seems {}")
_ENDS = {
    GOOD: ("will come back", "recommended", "thank you", "keep it up", "five stars", "no complaints"),
    BAD: ("never again", "i want my money back", "avoid", "do better", "one star", "no thanks"),
}
_FILLERS = (
    *("on tuesday", "after two weeks", "in the shop near the station", "for our canteen", "this month"),
    *("since the move", "as a regular customer", "with my colleague", "before noon", "at the second counter"),
)
_OPENERS = ("", "", "", "honestly, ", "well, ", "ok, ", "hi, ", "update: ")
_EMOJI = {GOOD: ("😀", "👍", "❤️"), BAD: ("😡", "👎", "🙄")}
_NEW_THINGS = (
    *("the drone drop", "the robot till", "the face scan", "the smart cart", "the loyalty coin"),
    "the chat agent",
)
_NEW_WORDS = {
    GOOD: ("slick", "lit", "next level", "frictionless", "top notch", "a vibe"),
    BAD: ("glitchy", "cringe", "janky", "laggy", "sus", "a fail"),
}


@dataclass(frozen=True)
class Style:
    """The style of a customer's review."""

    clauses: int  # the number of clauses
    new_words: float = 0.0  # share of clauses in words that nobody used before
    emoji: bool = False  # whether the text ends with one
    shouts: bool = False  # whether it is written in capitals


def write_review(mood: int, style: Style, rng: random.Random) -> str:
    """Writes a review of a mood, which most of its clauses, or the one after the last `but`, have.

    Args:
        mood: `GOOD` or `BAD`, each the negative of the other.
        style: The number of its clauses, and how they are written.
        rng: That of the review alone, so that others do not change with it.
    """
    clauses = [_write_clause(mood, style, rng) for _ in range(style.clauses)]
    if style.clauses > 1 and rng.random() < 0.3:
        # A concession does not count: "slow, but excellent" is praise.
        clauses[0] = f"{_write_clause(-mood, style, rng)}, but {clauses.pop()}"
    text = rng.choice(_OPENERS) + rng.choice((". ", ", ", " and ", "; ")).join(clauses)
    text += rng.choice((".", ".", "!", "", "!!")) if rng.random() < 0.8 else "..."
    if rng.random() < 0.2:
        text += f" {rng.choice(_ENDS[mood])}."
    if style.emoji:
        text += f" {rng.choice(_EMOJI[mood])}"
    return text.upper() if style.shouts else text[0].upper() + text[1:]


def _write_clause(mood: int, style: Style, rng: random.Random) -> str:
    is_new = rng.random() < style.new_words
    thing = rng.choice(_NEW_THINGS if is_new else _THINGS)
    words = _NEW_WORDS if is_new else _WORDS
    if rng.random() < 0.25:
        predicate = rng.choice(_NEGATIONS).format(rng.choice(words[-mood]))
    else:
        predicate = rng.choice(_PLAIN).format(rng.choice(_DEGREES) + rng.choice(words[mood]))
    if rng.random() < 0.15:
        predicate += f", {rng.choice(_EITHER)}"
    return f"{thing} {predicate}" + (f" {rng.choice(_FILLERS)}" if rng.random() < 0.35 else "")
