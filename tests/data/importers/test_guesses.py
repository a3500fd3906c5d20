"""Guesses of the columns of a table that nobody named."""

import json
import random

import pytest

from data.importers.guesses import guess_columns

TEXTS = ["it came late and was broken in two", "works as it should, and looks well", "fine, would buy again"]


def write(path, header, *columns):
    lines = [header, *zip(*columns, strict=True)]
    path.write_text("\n".join(";".join(map(str, line)) for line in lines) + "\n", encoding="utf-8")
    return path


def guess(path):
    columns = guess_columns(str(path), "", "")
    return columns.label, columns.text


def numbers(seed):
    return [round(random.Random(seed + n).gauss(50, 9), 3) for n in range(90)]


@pytest.mark.parametrize(
    ("header", "label"),
    [
        (("age", "town", "plan", "heat"), "plan"),  # the last column of few values
        (("age", "Churn", "plan", "heat"), "Churn"),  # the one with the name of a label
        (("age", "town", "target"), "target"),  # whose many numbers are refused with a way out
        (("heat", "speed"), ""),
    ],
)
def test_a_label_is_guessed_by_its_name_or_its_few_values(tmp_path, header, label):
    few = {"town": ["A", "B", "C"] * 30, "plan": ["x", "y"] * 45, "Churn": ["no", "yes", "no"] * 30}
    columns = [few.get(name) or numbers(place) for place, name in enumerate(header)]
    assert guess(write(tmp_path / "a.csv", header, *columns)) == (label, "")


def test_a_column_of_many_words_is_guessed_as_the_texts(tmp_path):
    texts = [f"{TEXTS[n % 3]} {n}" for n in range(90)]
    src = write(tmp_path / "a.csv", ("id", "review", "stars"), range(90), texts, [1, 2, 5] * 30)
    assert guess(src) == ("stars", "review")
    assert guess_columns(str(src), "", "").texts_alone
    # Beside many other useful columns, the texts are only a remark.
    others = {f"c{n}": ["a", "b", "c"] * 30 for n in range(4)}
    wide = write(tmp_path / "b.csv", ("review", *others, "paid"), texts, *others.values(), ["no", "yes"] * 45)
    guess_of_wide = guess_columns(str(wide), "", "")
    assert (guess_of_wide.label, guess_of_wide.text, guess_of_wide.texts_alone) == ("paid", "review", False)


def test_lists_and_fractions_of_json_lines_are_no_labels_and_hide_none(tmp_path):
    rows = []
    for n in range(90):
        lists = {"tokens": f"{TEXTS[0]} {n}".split(), "helpful": [n % 2, 4.5]}
        rows.append({"body": f"{TEXTS[n % 3]} {n}", "score": float(n % 5), **lists})
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert guess(tmp_path / "a.jsonl") == ("score", "body")


def test_the_manifest_of_photos_is_no_table(tmp_path):
    src = write(tmp_path / "a.csv", ("file", "label"), [f"{n}.JPG" for n in range(90)], ["a", "b"] * 45)
    assert guess_columns(str(src), "", "").lists_photos


@pytest.mark.parametrize("photo", ["https://shop.example/{}.jpg", ""])
def test_a_table_with_links_to_photos_or_few_of_them_is_no_manifest(tmp_path, photo):
    files = [photo.format(n) for n in range(80)] + [f"{n}.jpg" for n in range(10)]
    src = write(tmp_path / "a.csv", ("file", "label"), files, ["a", "b"] * 45)
    assert not guess_columns(str(src), "", "").lists_photos


def test_the_column_with_the_labels_of_earlier_imports_is_the_label(tmp_path):
    header = ("label", "mood", "plan")
    src = write(tmp_path / "a.csv", header, [0, 1, 2] * 30, ["good", "bad", "good"] * 30, ["x", "y"] * 45)
    assert guess_columns(str(src), "", "").label == "label"
    assert guess_columns(str(src), "", "", {"good", "bad"}).label == "mood"
