"""Sentences about an import: a reason stands once, with all columns that it holds for."""

import pytest

from data.importers.import_report import describe_columns, warn_of_labels


def test_columns_of_one_reason_share_a_sentence():
    left_out = [("a", "has one value"), ("b", "is empty in all rows"), ("c d", "has one value")]
    guessed = [("x", "number"), ("zip code", "category"), ("y", "number")]
    assert [*describe_columns([], [], guessed, left_out)] == [
        "x, y contain whole numbers that may be codes, and each was imported as a number."
        " To change that: --category COLUMN, or --leave-out COLUMN.",
        "zip code contains whole numbers that may be codes, and was imported as a category."
        " To change that: --number 'zip code', or --leave-out 'zip code'.",
        "Left out: a, c d: each has one value.",
        "Left out: b, which is empty in all rows.",
    ]


def test_labels_that_are_written_in_two_ways_share_a_warning():
    (warning,) = warn_of_labels(["had", "hid", "hAd", "HID", "hod"])
    assert warning.startswith("The labels 'HID', 'hid'; 'hAd', 'had' differ in their spelling alone")
    assert not list(warn_of_labels(["had", "hid"]))


@pytest.mark.parametrize(
    "labels",
    [
        ["red;small", "red;large", "blue;small"],
        ["a|b", "a", "b"],
        ["['pos']", "['neg']"],
        ['["a", "b"]', "c"],
    ],
)
def test_labels_that_are_several_in_one_are_warned_of(labels):
    (warning,) = warn_of_labels(labels)
    assert warning.startswith(
        f"Labels such as {min(label for label in labels if len(label) > 1)!r} look like"
    )


@pytest.mark.parametrize(
    "labels",
    [["Portland, OR", "Salem, OR", "Boise, ID"], ["(0, 10]", "(10, 20]"], ["a", "b"], ["[0,1]", "(1,2]"]],
)
def test_labels_with_commas_of_their_own_are_not_warned_of(labels):
    assert not list(warn_of_labels(labels))
