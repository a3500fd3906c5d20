"""Random damage to texts and to values of JSON, the same for the same seed."""

import copy
import os
import random
from collections.abc import Sequence
from typing import Any

# The number of times that a test damages something; a large run sets it to thousands.
ROUNDS, SEED = int(os.environ.get("FUZZ_ROUNDS", "150")), int(os.environ.get("FUZZ_SEED", "20"))
_ENDLESS = (float("nan"), float("inf"), 10**300, 10**4200, 1e308)
_TEXTS = ("", "x", "fp16", "pushed", "\ud800", "\x1b[2J", "\0", "a\nb", "é" * 300, "=1", "../..", "span-x")
_NESTED = ([], {}, [[]], [{}], {"": None}, {"all": 1}, [None, "a", 1.5], ["a"] * 500)
VALUES = (None, True, False, 0, -1, 1, 2**31, 2**63, 0.5, -0.0, "9999-99-99", *_ENDLESS, *_TEXTS, *_NESTED)


def damage_text(chance: random.Random, text: str, tokens: Sequence[str]) -> str:
    """Inserts, removes, repeats, reverses or cuts off one to four pieces of a text."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(text))
        before, piece, after = text[:start], text[start : start + 20], text[start + 20 :]
        token = chance.choice(tokens) * chance.choice((1, 1, 1, 2, 50, 3000))
        middle = (token + piece, token, "", piece * chance.choice((2, 3, 400)), piece[::-1])
        text = before + chance.choice(middle) + chance.choice((after, after, after, ""))
    return text


def damage_value(chance: random.Random, value: Any) -> Any:
    """Replaces, adds or removes one to three values within a value of JSON; returns a copy."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        inner: Any = value
        while isinstance(inner, dict | list) and inner:
            key = chance.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            if not isinstance(inner[key], dict | list) or not inner[key] or chance.random() < 0.3:
                draw = chance.random()
                if draw < 0.7:
                    inner[key] = copy.deepcopy(chance.choice(VALUES))
                elif draw < 0.85:
                    del inner[key]
                elif isinstance(inner, dict):
                    inner[chance.choice(["", "extra", "\ud800", "all"])] = inner[key]
                else:
                    inner.append(inner[key])
                break
            inner = inner[key]
        else:
            value = copy.deepcopy(chance.choice(VALUES))
    return value
