from dataclasses import replace

from data.photos.labels_file import LabelRow
from data.photos.source import screen_rows

LABELS = ("ok", "misplaced", "damaged")


def row(photo, label, lane="lane-01", session="walk-1"):
    return LabelRow(photo, label, lane, session, "2026-10-05T09:12:33Z")


def reasons(*rows):
    kept, rejected = screen_rows(rows, LABELS)
    assert len(kept) + len(rejected) == len(rows)
    return [item.photo for item in kept], [(item.id, item.reason) for item in rejected]


def test_an_unlabelled_or_unknown_row_is_rejected_and_the_nearest_label_named():
    kept, rejected = screen_rows([row("a.jpg", ""), row("b.jpg", "damagd"), row("c.jpg", "zzz")], LABELS)
    assert kept == []
    assert [item.reason for item in rejected] == ["unlabelled", "unknown-label", "unknown-label"]
    assert "nearest known label is 'damaged'" in rejected[1].detail
    assert "known labels are 'ok', 'misplaced', 'damaged'" in rejected[2].detail


def test_a_control_character_in_a_lane_session_or_time_is_rejected_and_shown_as_its_code():
    odd = [
        row("a.jpg", "ok", lane="lane\n1"),
        row("b.jpg", "ok", session="a\u2028b"),
        LabelRow("c.jpg", "ok", "", "", "2026\x85"),
    ]
    kept, rejected = screen_rows([*odd, row("d.jpg", "ok")], LABELS)
    assert [item.photo for item in kept] == ["d.jpg"]
    assert {item.reason for item in rejected} == {"control-character"}
    assert rejected[0].detail == r"a.jpg has the lane_id 'lane\n1': it holds the control character U+000A."


def test_of_rows_that_say_the_same_the_first_is_kept():
    again = row("./a.jpg", "ok", lane="lane-02")
    assert reasons(row("a.jpg", "ok"), row("b.jpg", "ok"), again) == (
        ["a.jpg", "b.jpg"],
        [("./a.jpg", "duplicate-row")],
    )


def test_a_photo_with_two_labels_is_rejected_in_whole():
    rows = [row("a.jpg", "ok"), row("a.jpg", "damaged"), row("a.jpg", "ok"), row("b.jpg", "ok")]
    assert reasons(*rows) == (["b.jpg"], [("a.jpg", "conflicting-label")] * 3)


def test_a_label_that_is_none_makes_no_conflict():
    rows = [row("a.jpg", ""), row("a.jpg", "damagd"), row("a.jpg", "ok")]
    assert reasons(*rows) == (["a.jpg"], [("a.jpg", "unlabelled"), ("a.jpg", "unknown-label")])


def test_a_row_without_a_photo_is_rejected():
    assert reasons(row("", "ok")) == ([], [("", "missing")])


def test_missing_lane_and_session_get_defaults():
    kept, _ = screen_rows([row("a.jpg", "ok", "", ""), row("b.jpg", "ok", "", "")], LABELS)
    assert [(item.lane_id, item.session_id) for item in kept] == [("unknown", "a.jpg"), ("unknown", "b.jpg")]


def test_an_unknown_split_is_rejected_by_its_word():
    kept, rejected = screen_rows(
        [replace(row("a.jpg", "ok"), split=word) for word in ("test", "Eval")], LABELS
    )
    assert kept == [] and {item.reason for item in rejected} == {"unknown-split"}
    assert rejected[0].detail.startswith("a.jpg has the split 'test'")
