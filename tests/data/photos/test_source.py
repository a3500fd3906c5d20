from data.photos.labels_file import LabelRow
from data.photos.source import screen_rows

LABELS = ("ok", "misplaced", "damaged")


def row(photo, label, lane="lane-01", session="walk-1"):
    return LabelRow(photo, label, lane, session, "2026-10-05T09:12:33Z")


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
    assert rejected[0].detail == r"a.jpg has the lane_id 'lane\n1': it contains the control character U+000A."


def test_a_label_that_is_none_makes_no_conflict():
    rows = [row("a.jpg", ""), row("a.jpg", "damagd"), row("./a.jpg", "ok"), row("a.jpg", "ok")]
    kept, rejected = screen_rows(rows, LABELS)
    assert [item.photo for item in kept] == ["./a.jpg"]
    assert [item.reason for item in rejected] == ["unlabelled", "unknown-label", "duplicate-row"]


def test_missing_lane_and_session_get_defaults():
    kept, _ = screen_rows([row("a.jpg", "ok", "", ""), row("b.jpg", "ok", "", "")], LABELS)
    assert [(item.lane_id, item.session_id) for item in kept] == [("unknown", "a.jpg"), ("unknown", "b.jpg")]
