"""Syllables of the scripts in which no blank parts two words, such as Thai, as a regular expression."""

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


def make_character_class(ranges: str) -> str:
    """Makes a character class of literal characters, which all regular expression libraries read alike."""
    ends = ([chr(int(end, 16)) for end in each.split("-")] for each in ranges.split())
    escaped = ([f"\\{end}" if end < "\x7f" else end for end in pair] for pair in ends)
    return "[" + "".join("-".join(pair) for pair in escaped) + "]"


_ANY = make_character_class(_WITHOUT_BLANKS)
_MARKS = make_character_class(_BEHIND)
_STACKED = f"(?:{make_character_class(_STACKERS)}{_ANY}{_MARKS}*)"
# Stacks are of three at most: without a limit, Java's regular expressions overflow on a made text.
SYLLABLE = f"{make_character_class(_BEFORE)}*{_ANY}{_MARKS}*{_STACKED}{{0,3}}"
