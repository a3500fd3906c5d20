"""Splits a text into words in TensorFlow, by rules that any other language can follow exactly.

    1. Each character of `FOLD_FROM` becomes the one at the same index in `FOLD_TO`: capitals become small
       letters, curved apostrophes straight ones, control characters blanks. Invalid UTF-8 becomes U+FFFD.
    2. Each match of `SEPARATORS` becomes a blank.
    3. Each match of `ALONE` is a word of its own: `!`, `?`, emoji, Chinese and Japanese characters.
    4. Apostrophes remain only inside a word.
    5. Blanks separate the words.

`edgeline/edge/contracts/tokens.py` does the same without TensorFlow. Folding uses a table that is part of the
graph and of the contract, since `tf.strings.lower` depends on the machine's locale (in a Turkish one, I
becomes a dotless i), and since each library has another version of Unicode. Nothing is normalised: sources
provide NFC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

VERSION = 1
# Beyond this code point there are no small and capital letters that people write texts in.
_FOLDED = 0x2100
_APOSTROPHES = "\u2018\u2019\u02bc\u0060\u00b4"


def _fold(character: str) -> str:
    if ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0:
        return " "
    if character in _APOSTROPHES:
        return "'"
    # One character becomes one: if its lower case has several, the first is used. A final sigma is a sigma.
    return character.lower()[0].replace("\u03c2", "\u03c3")


_PAIRS = [(c, _fold(c)) for c in map(chr, range(_FOLDED)) if _fold(c) != c]
FOLD_FROM, FOLD_TO = ("".join(side) for side in zip(*_PAIRS, strict=True))
_PUNCTUATION = (
    *((0x22, 0x26), (0x28, 0x2F), (0x3A, 0x3E), (0x40, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),  # ASCII
    *((0xA0, 0xA9), (0xAB, 0xB1), (0xB6, 0xB8), (0xBB, 0xBB), (0xBF, 0xBF)),  # Latin-1
    *((0x5BE, 0x5BE), (0x60C, 0x60D), (0x61B, 0x61F), (0x66A, 0x66D), (0x6D4, 0x6D4), (0x964, 0x965)),
    # General, including direction marks and joiners; Chinese and Japanese; emoji variants; wide forms.
    *((0x2000, 0x206F), (0x3000, 0x3004), (0x3008, 0x3020), (0x3030, 0x3030), (0xFE00, 0xFE0F)),
    *((0xFEFF, 0xFEFF), (0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65)),
    # Placeholders and noncharacters, which TensorFlow reads as U+FFFD.
    *(
        (0xFFF0, 0xFFFF),
        (0xFDD0, 0xFDEF),
        *((p + 0xFFFE, p + 0xFFFF) for p in range(0x10000, 0x110000, 0x10000)),
    ),
)
_ALONE = (
    *((0x21, 0x21), (0x3F, 0x3F), (0x2190, 0x2BFF), (0x1F000, 0x1FAFF)),  # ! and ?, symbols and emoji
    *((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),  # kana and ideographs
)


def _make_character_class(ranges: Sequence[tuple[int, int]]) -> str:
    """Makes a character class of literal characters, which all regular expression libraries read alike."""
    ends = ([f"\\{chr(end)}" if end < 0x7F else chr(end) for end in pair] for pair in ranges)
    return "[" + "".join(f"{first}-{last}" for first, last in ends) + "]"


SEPARATORS, ALONE = f"{_make_character_class(_PUNCTUATION)}+", f"({_make_character_class(_ALONE)})"
LEADING, TRAILING = "(^| )'+", "'+( |$)"


def split_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits texts, string [N], into words, ragged string [N, words]."""
    import tensorflow as tf

    table = list(range(_FOLDED))
    for old, new in zip(FOLD_FROM, FOLD_TO, strict=True):
        table[ord(old)] = ord(new)
    codes = tf.strings.unicode_decode(texts, "UTF-8")
    low = tf.gather(tf.constant(table), tf.minimum(codes.flat_values, _FOLDED - 1))
    folded = codes.with_flat_values(tf.where(codes.flat_values < _FOLDED, low, codes.flat_values))
    plain = tf.strings.unicode_encode(folded, "UTF-8")
    for pattern, replacement in ((SEPARATORS, " "), (ALONE, r" \1 "), (LEADING, " "), (TRAILING, " ")):
        plain = tf.strings.regex_replace(plain, pattern, replacement)
    return tf.strings.split(plain)
