"""Tests the rules by which texts become words, beside the properties of Unicode."""

import pytest
import regex

from edgeline.edge.contracts.tokens import split_words
from trainer_module.workloads.tokens import RULES

# Wide Latin letters make words, as do Korean ones. A few letters of Tulu have the class too.
IDEOGRAPHIC = r"[[\p{lb=ID}\p{lb=CJ}]&&\p{L}--[\p{Latin}\p{Hangul}\p{Common}\U00011380-\U000113FF]]"
COMPLEX = r"\p{lb=SA}"
MARK = r"[\p{Mn}\p{Mc}]"


def find_matches(pattern: str) -> set[str]:
    """Returns the assigned characters that match, by the properties of the installed version of Unicode."""
    compiled = regex.compile(pattern, regex.V1)
    characters = (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    return {character for character in characters if compiled.match(character)}


def find_alone(characters: set[str], before: str = "a") -> set[str]:
    """Returns the characters that are a word of their own between two letters."""
    text = " ".join(f"{before}{character}b" for character in sorted(characters))
    return characters & set(split_words(text, RULES))


def test_each_letter_of_a_script_without_blanks_is_a_word_by_the_classes_of_unicode():
    letters = find_matches(COMPLEX) | find_matches(IDEOGRAPHIC)
    assert len(letters) > 80_000 and {"ก", "ກ", "ក", "က", "漢", "ぁ", "ｱ"} <= letters
    assert letters - find_alone(letters) == set()


def test_letters_of_other_scripts_are_no_words_of_their_own():
    letters = find_matches(r"[[\p{L}\p{Nd}]--[\p{lb=SA}\p{lb=ID}\p{lb=CJ}\p{lb=NS}]]")
    assert len(letters) > 20_000
    assert find_alone(letters) == set()


def test_marks_of_these_scripts_stay_with_the_letter_before_them():
    marks = find_matches(f"[{COMPLEX}&&{MARK}]")
    assert {"\u0e48", "\u17d2", "\u103a"} <= marks
    assert find_alone(marks, before="ก") == set()
    letters = find_matches(f"[{COMPLEX}--{MARK}]")
    assert letters - find_alone(letters, before="ก") == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop, it's 5 o'clock!", "don't stop it's 5 o'clock !"),
        ("Größe: süß & schön", "größe süß schön"),
        ("안녕하세요 여러분 ㅋㅋ", "안녕하세요 여러분 ㅋㅋ"),
        ("नमस्ते।दुनिया", "नमस्ते दुनिया"),
        ("ABCที่นี่ดี 5", "abc ที่ นี่ ดี 5"),
        ("ខ្ញុំ។", "ខ្ ញុំ"),
        ("ཀ་མ་ལག", "ཀ མ ལག"),
        ("我很喜欢。ｶﾞｷﾞ", "我 很 喜 欢 ｶﾞ ｷﾞ"),
    ],
)
def test_blanks_part_words_where_a_script_has_them_and_characters_are_words_elsewhere(text, words):
    assert split_words(text, RULES) == words.split()
