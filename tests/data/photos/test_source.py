from data.photos.labels_file import LabelRow
from data.photos.source import screen_rows

LABELS = ("ok", "misplaced", "damaged")


def row(photo, label, lane="lane-01", session="walk-1", taken="2026-10-05T09:12:33Z"):
    return LabelRow(photo, label, lane, session, taken)


def test_a_label_that_is_none_is_rejected_with_the_nearest_and_makes_no_conflict():
    photos = (("a.jpg", ""), ("a.jpg", "damagd"), ("b.jpg", "zzz"), ("./a.jpg", "ok"), ("a.jpg", "ok"))
    kept, rejected = screen_rows([row(*photo) for photo in photos], LABELS)
    assert [item.photo for item in kept] == ["./a.jpg"]
    reasons = ["unlabelled", "unknown-label", "unknown-label", "duplicate-row"]
    assert [item.reason for item in rejected] == reasons
    assert "nearest known label is 'damaged'" in rejected[1].detail
    assert "known labels are 'ok', 'misplaced', 'damaged'" in rejected[2].detail


def test_a_control_character_in_a_lane_session_or_time_is_rejected_and_shown_as_its_code():
    lane, session = row("a.jpg", "ok", lane="lane\n1"), row("b.jpg", "ok", session="a\u2028b")
    kept, rejected = screen_rows([lane, session, row("c.jpg", "ok", taken="2026\x85")], LABELS)
    assert kept == [] and [item.reason for item in rejected] == ["control-character"] * 3
    assert rejected[0].detail == r"a.jpg has the lane_id 'lane\n1': it contains the control character U+000A."


def test_missing_lane_and_session_get_defaults():
    kept, _ = screen_rows([row("a.jpg", "ok", "", ""), row("b.jpg", "ok", "", "")], LABELS)
    assert [(item.lane_id, item.session_id) for item in kept] == [("unknown", "a.jpg"), ("unknown", "b.jpg")]
