"""Sentences about an import: a reason stands once, with all columns that it holds for."""

from data.importers.import_report import describe_columns, warn_of_spellings


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
    (warning,) = warn_of_spellings(["had", "hid", "hAd", "HID", "hod"])
    assert warning.startswith("The labels 'HID', 'hid'; 'hAd', 'had' differ in their spelling alone")
    assert warn_of_spellings(["had", "hid"]) == ()
