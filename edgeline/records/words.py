"""Splits a text into words, by rules that any other language can follow exactly.

    1. Each character of `fold_from` becomes the one at the same index in `fold_to`: capitals become small
       letters, curved apostrophes straight ones, control characters blanks. Invalid UTF-8 becomes U+FFFD.
    2. Each match of `separators` becomes a blank.
    3. Each match of `alone` is a word of its own: `!`, `?`, emoji, and each `SYLLABLE` of a script in which
       no blank parts two words: a character with its vowels and marks, as in Thai, Khmer, or Chinese.
    4. Apostrophes remain only inside a word.
    5. Blanks separate the words.

`trainer_module/workloads/tokens.py` does the same in TensorFlow. Folding uses a table that is part of the
graph and of the contract, since `tf.strings.lower` depends on the machine's locale (in a Turkish one, I
becomes a dotless i), and since each library has another version of Unicode. Nothing is normalised: sources
provide NFC.
"""

import re
from collections.abc import Mapping
from typing import Any

# Code points and ranges of them, in hexadecimal. A test derives them from Unicode's properties.
# Letters between which a line breaks, by their class in Unicode's line breaking (UAX #14): ID, CJ, and SA, of
# which only a dictionary tells where. Korean has blanks.
_WITHOUT_BLANKS = (
    "3005-3007 3021-3029 3038-303C 3040-312F 31A0-31FF 3400-A4CF F900-FAFF FF66-FF9D 16FF4-18AFF 18D00-191FF "
    "1B000-1B2FF 20000-3FFFF "
    "E01-E3A E40-E4E E81-ECF EDC-EDF 1000-103F 1050-108F 109A-109F 1780-17D3 17D7 17DC-17DD 1950-1974 "
    "1980-19C9 19DE-19DF 1A20-1A7C 1AA0-1AAD A9E0-A9EF A9FA-A9FE AA60-AADF 11700-1172B 1173A-1173B "
    "1173F-11746"
)
# The parts of a syllable, also by properties: vowels before their consonant (Logical_Order_Exception), signs
# that stack the next one below it (Invisible_Stacker), and vowels (Vowel_Dependent) and marks behind it.
_BEFORE = "E40-E44 EC0-EC4 19B5-19B7 19BA AAB5-AAB6 AAB9 AABB-AABC"
_STACKERS = "1039 17D2 1A60"
_BEHIND = (
    "E30-E3A E45 E47-E4E EB0-EBC EC8-ECF 102B-1038 103A-103E 1056-1059 105E-1060 1062-1064 1067-106D "
    "1071-1074 1082-108D 108F 109A-109D 17B4-17D1 17D3 17DD 19B0-19B4 19B8-19B9 19BB-19C0 1A55-1A5F "
    "1A61-1A7C A9E5 AA7B-AA7D AAB0-AAB4 AAB7-AAB8 AABA AABD-AABF AAC1 1171D-1172B FF9E-FF9F"
)


def _make_character_class(ranges: str) -> str:
    """Makes a character class of literal characters, which all regular expression libraries read alike."""
    ends = ([chr(int(end, 16)) for end in each.split("-")] for each in ranges.split())
    escaped = ([f"\\{end}" if end < "\x7f" else end for end in pair] for pair in ends)
    return "[" + "".join("-".join(pair) for pair in escaped) + "]"


_ANY = _make_character_class(_WITHOUT_BLANKS)
_MARKS = _make_character_class(_BEHIND)
_STACKED = f"(?:{_make_character_class(_STACKERS)}{_ANY}{_MARKS}*)"
# Stacks are of three at most: without a limit, Java's regular expressions overflow on a made text.
SYLLABLE = f"{_make_character_class(_BEFORE)}*{_ANY}{_MARKS}*{_STACKED}{{0,3}}"

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


_PAIRS = [(c, _fold(c)) for c in map(chr, range(FOLDED)) if _fold(c) != c]
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
    "separators": f"{_make_character_class(_PUNCTUATION)}+",
    "alone": f"({_make_character_class(_SYMBOLS)}|{SYLLABLE})",
    "leading": "(^| )'+",
    "trailing": "'+( |$)",
}
# The rules in their order, each with what its matches become.
REPLACEMENTS = (("separators", " "), ("alone", r" \1 "), ("leading", " "), ("trailing", " "))


def split_words(text: str, rules: Mapping[str, str] = RULES) -> list[str]:
    """Splits a text into words, by the rules of a contract or those of this version."""
    plain = text.translate(str.maketrans(rules["fold_from"], rules["fold_to"]))
    for rule, replacement in REPLACEMENTS:
        plain = re.sub(rules[rule], replacement, plain)
    return [word for word in plain.split(" ") if word]
