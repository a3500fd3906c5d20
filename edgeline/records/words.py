"""Splits a text into words, by rules that any other language can follow exactly.

    1. Each character of `fold_from` becomes the one at the same index in `fold_to`: capitals become small
       letters, curved apostrophes straight ones, control characters blanks. Invalid UTF-8 becomes U+FFFD.
    2. Each match of `separators` becomes a blank.
    3. Each match of `alone` is a word of its own: `!`, `?`, emoji, and each `SYLLABLE` of a script in which
       no blank parts two words: a character with its vowels and marks, as in Thai, Khmer, or Chinese.
    4. Apostrophes remain only inside a word.
    5. Blanks separate the words.

`trainer_module/workloads/texts.py` does the same in TensorFlow. Folding uses a table that is part of the
graph and of the contract, since `tf.strings.lower` depends on the machine's locale (in a Turkish one, I
becomes a dotless i), and since each library has another version of Unicode. Nothing is normalised: sources
provide NFC.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from edgeline.records.syllables import SYLLABLE, make_character_class

# Beyond this code point there are no small and capital letters that people write texts in.
FOLDED = 0x2100
_APOSTROPHES = "\u2018\u2019\u02bc\u0060\u00b4"


def _fold(character: str) -> str:
    if ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0:
        return " "
    if character in _APOSTROPHES:
        return "'"
    # One character becomes one: if its lower case has several, the first is used. A final sigma is a sigma.
    return character.lower()[0].replace("\u03c2", "\u03c3")


_PAIRS = [(c, folded) for c in map(chr, range(FOLDED)) if (folded := _fold(c)) != c]
# Code points and ranges of them, in hexadecimal.
_PUNCTUATION = (
    "22-26 28-2F 3A-3E 40 5B-60 7B-7E "  # ASCII
    "A0-A9 AB-B1 B6-B8 BB BF "  # Latin-1
    "5BE 60C-60D 61B-61F 66A-66D 6D4 964-965 "
    # Thai, Burmese and Khmer; of Tibetan also the mark that stands between two syllables.
    "E4F E5A-E5B F04-F14 104A-104F 17D4-17D6 17D8-17DA "
    # General, including direction marks and joiners; Chinese and Japanese; emoji variants; wide forms.
    "2000-206F 3000-3004 3008-3020 3030 FE00-FE0F FEFF FF01-FF0F FF1A-FF20 FF3B-FF40 FF5B-FF65 "
    # Placeholders and noncharacters, which TensorFlow reads as U+FFFD.
    "FFF0-FFFF FDD0-FDEF "
) + " ".join(f"{plane:X}FFFE-{plane:X}FFFF" for plane in range(0x1, 0x11))
_SYMBOLS = "21 3F 2190-2BFF 1F000-1FAFF"  # ! and ?, symbols and emoji
RULES: dict[str, Any] = {
    "version": 1,
    "fold_from": "".join(old for old, _ in _PAIRS),
    "fold_to": "".join(new for _, new in _PAIRS),
    "separators": f"{make_character_class(_PUNCTUATION)}+",
    "alone": f"({make_character_class(_SYMBOLS)}|{SYLLABLE})",
    "leading": "(^| )'+",
    "trailing": "'+( |$)",
}
# The rules in their order, each with what its matches become.
REPLACEMENTS = (("separators", " "), ("alone", r" \1 "), ("leading", " "), ("trailing", " "))


@lru_cache(maxsize=4)
def _make_table(old: str, new: str) -> dict[int, int]:
    return str.maketrans(old, new)


def split_words(text: str, rules: Mapping[str, str] = RULES) -> list[str]:
    """Splits a text into words, by the rules of a contract or those of this version."""
    plain = text.translate(_make_table(rules["fold_from"], rules["fold_to"]))
    for rule, replacement in REPLACEMENTS:
        plain = re.sub(rules[rule], replacement, plain)
    return [word for word in plain.split(" ") if word]
