"""Splits a text into words in TensorFlow, by rules that any other language can follow exactly.

    1. Each character of `FOLD_FROM` becomes the one at the same index in `FOLD_TO`: capitals become small
       letters, curved apostrophes straight ones, control characters blanks. Invalid UTF-8 becomes U+FFFD.
    2. Each match of `SEPARATORS` becomes a blank.
    3. Each match of `ALONE` is a word of its own: `!`, `?`, emoji, and each `CHARACTER` of a script in which
       no blank parts two words, such as Chinese, Japanese, Thai, Khmer and Burmese.
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
    # Thai, Burmese and Khmer; of Tibetan also the mark that stands between two syllables.
    *((0xE4F, 0xE4F), (0xE5A, 0xE5B), (0xF04, 0xF14), (0x104A, 0x104F), (0x17D4, 0x17D6), (0x17D8, 0x17DA)),
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
_SYMBOLS = ((0x21, 0x21), (0x3F, 0x3F), (0x2190, 0x2BFF), (0x1F000, 0x1FAFF))  # ! and ?, symbols and emoji
# The classes of Unicode's line breaking (UAX #14) whose lines break between any two characters, ID and CJ, or
# where only a dictionary tells, SA. Hangul has blanks. A test derives them from Unicode's own properties.
_IDEOGRAPHIC = (
    *((0x3005, 0x3007), (0x3021, 0x3029), (0x3038, 0x303C), (0x3040, 0x312F), (0x31A0, 0x31FF)),
    *((0x3400, 0xA4CF), (0xF900, 0xFAFF), (0xFF66, 0xFF9D), (0x16FF4, 0x18AFF), (0x18D00, 0x191FF)),
    *((0x1B000, 0x1B2FF), (0x20000, 0x3FFFF)),
)
_COMPLEX = (
    *((0xE01, 0xE3A), (0xE40, 0xE4E), (0xE81, 0xECF), (0xEDC, 0xEDF), (0x1000, 0x103F), (0x1050, 0x108F)),
    *((0x109A, 0x109F), (0x1780, 0x17D3), (0x17D7, 0x17D7), (0x17DC, 0x17DD), (0x1950, 0x1974)),
    *((0x1980, 0x19C9), (0x19DE, 0x19DF), (0x1A20, 0x1A7C), (0x1AA0, 0x1AAD), (0xA9E0, 0xA9EF)),
    *((0xA9FA, 0xA9FE), (0xAA60, 0xAADF), (0x11700, 0x1172B), (0x1173A, 0x1173B), (0x1173F, 0x11746)),
)
# Vowels, tones and stacked letters belong to the character before: those of SA that are marks (Mn and Mc).
_MARKS = (
    *((0xE31, 0xE31), (0xE34, 0xE3A), (0xE47, 0xE4E), (0xEB1, 0xEB1), (0xEB4, 0xEBC), (0xEC8, 0xECF)),
    *((0x102B, 0x103E), (0x1056, 0x1059), (0x105E, 0x1060), (0x1062, 0x1064), (0x1067, 0x106D)),
    *((0x1071, 0x1074), (0x1082, 0x108D), (0x108F, 0x108F), (0x109A, 0x109D), (0x17B4, 0x17D3)),
    *((0x17DD, 0x17DD), (0x1A55, 0x1A7C), (0xA9E5, 0xA9E5), (0xAA7B, 0xAA7D), (0xAAB0, 0xAAB0)),
    *((0xAAB2, 0xAAB4), (0xAAB7, 0xAAB8), (0xAABE, 0xAABF), (0xAAC1, 0xAAC1), (0x1171D, 0x1172B)),
    (0xFF9E, 0xFF9F),
)


def _make_character_class(ranges: Sequence[tuple[int, int]]) -> str:
    """Makes a character class of literal characters, which all regular expression libraries read alike."""
    ends = ([f"\\{chr(end)}" if end < 0x7F else chr(end) for end in pair] for pair in ranges)
    return "[" + "".join(f"{first}-{last}" for first, last in ends) + "]"


SEPARATORS = f"{_make_character_class(_PUNCTUATION)}+"
CHARACTER = f"{_make_character_class((*_IDEOGRAPHIC, *_COMPLEX))}{_make_character_class(_MARKS)}*"
ALONE = f"({_make_character_class(_SYMBOLS)}|{CHARACTER})"
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
