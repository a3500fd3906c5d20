"""Tests the rules by which texts become words, beside the properties of Unicode."""

import pytest
import regex

from edgeline.records.words import split_words

# Wide Latin letters make words, as do Korean ones. A few letters of Tulu have the class too.
IDEOGRAPHIC = r"[[\p{lb=ID}\p{lb=CJ}]&&\p{L}--[\p{Latin}\p{Hangul}\p{Common}\U00011380-\U000113FF]]"
COMPLEX = r"\p{lb=SA}"


def find_matches(pattern: str) -> set[str]:
    """Returns the assigned characters that match, by the properties of the installed version of Unicode."""
    compiled = regex.compile(pattern, regex.V1)
    characters = (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    return {character for character in characters if compiled.match(character)}


def find_joined(characters: set[str], before: str = "", behind: str = "") -> set[str]:
    """Returns the characters that are one word with those around them, between two Latin letters."""
    words = {character: f"{before}{character}{behind}" for character in characters}
    split = set(split_words(" ".join(f"a{words[character]}b" for character in sorted(words))))
    return {character for character, word in words.items() if word in split}


def test_each_letter_of_a_script_without_blanks_is_a_word_by_the_classes_of_unicode():
    letters = find_matches(COMPLEX) | find_matches(IDEOGRAPHIC)
    assert len(letters) > 80_000 and {"ก", "ກ", "ក", "က", "漢", "ぁ", "ｱ"} <= letters
    assert letters - find_joined(letters) == set()


def test_letters_of_other_scripts_are_no_words_of_their_own():
    letters = find_matches(r"[[\p{L}\p{Nd}]--[\p{lb=SA}\p{lb=ID}\p{lb=CJ}\p{lb=NS}]]")
    assert len(letters) > 20_000
    assert find_joined(letters) == set()


def test_vowels_and_marks_of_these_scripts_stay_with_their_consonant():
    before = find_matches(f"[{COMPLEX}&&\\p{{Logical_Order_Exception}}]")
    stackers = find_matches(f"[{COMPLEX}&&\\p{{InSC=Invisible_Stacker}}]")
    behind = find_matches(f"[{COMPLEX}&&[\\p{{InSC=Vowel_Dependent}}\\p{{Mn}}\\p{{Mc}}]]") - before - stackers
    others = find_matches(COMPLEX) - before - behind - stackers
    assert "เ" in before and stackers == {"\u1039", "\u17d2", "\u1a60"} and {"า", "\u0e48"} <= behind
    assert find_joined(before, behind="ก") == before
    assert find_joined(behind, before="ก") == behind
    assert find_joined(stackers, before="ខ", behind="ញ") == stackers
    assert find_joined(others, before="ก") | find_joined(others, behind="ก") == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop, it's 5 o'clock!", "don't stop it's 5 o'clock !"),
        ("Größe: süß & schön", "größe süß schön"),
        ("안녕하세요 여러분 ㅋㅋ", "안녕하세요 여러분 ㅋㅋ"),
        ("नमस्ते।दुनिया", "नमस्ते दुनिया"),
        ("ABCที่นี่เร็ว 5", "abc ที่ นี่ เร็ ว 5"),
        ("ខ្ញុំស្រី។", "ខ្ញុំ ស្រី"),
        ("ཀ་མ་ལག", "ཀ མ ལག"),
        ("我很喜欢。ｶﾞｷﾞ", "我 很 喜 欢 ｶﾞ ｷﾞ"),
    ],
)
def test_blanks_part_words_where_a_script_has_them_and_syllables_are_words_elsewhere(text, words):
    assert split_words(text) == words.split()
