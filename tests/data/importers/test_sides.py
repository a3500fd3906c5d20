from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.importers.sides import assign_splits
from data.photos.labels_file import LabelRow
from edgeline.errors import UsageError

WEEKS = st.lists(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), min_size=1, max_size=30), max_size=5
)


def row(session, label="ok", split="", photo="p.jpg"):
    return LabelRow(photo, label, "", session, "", split)


def objects(label, count, exposures=6):
    return [row(f"{label}-{number}", label) for number in range(count) for _ in range(exposures)]


def map_splits(rows):
    return {row.session_id or row.photo: row.split for row in rows}


def count_eval(rows):
    return Counter(row.label for row in rows if row.split == "eval")


def test_each_class_has_its_share_in_eval_by_whole_sessions():
    rows = assign_splits([*objects("ok", 150), *objects("dent", 45), *objects("crack", 8)], [], {}, 0.2)
    assert count_eval(rows) == {"ok": 180, "dent": 54, "crack": 12}
    assert len({(item.session_id, item.split) for item in rows}) == 150 + 45 + 8


@pytest.mark.parametrize(("sessions", "eval_sessions"), [(1, 0), (2, 1), (10, 2)])
def test_a_class_of_few_sessions_is_in_both_splits_from_two_on(sessions, eval_sessions):
    rows = assign_splits([*objects("ok", 50), *objects("rare", sessions)], [], {}, 0.2)
    assert count_eval(rows)["rare"] == 6 * eval_sessions


def test_of_a_class_with_one_large_session_the_small_ones_go_to_eval():
    rows = assign_splits([*objects("ok", 1, 100), row("small"), row("other")], [], {}, 0.2)
    assert {item.session_id for item in rows if item.split == "eval"} == {"small", "other"}


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.9])
def test_neither_split_is_ever_empty(fraction):
    for rows in (objects("ok", 2, 1), objects("ok", 3), [row("a", "ok"), row("b", "crack")]):
        assert set(map_splits(assign_splits(rows, [], {}, fraction)).values()) == {"train", "eval"}


@settings(max_examples=20)
@given(WEEKS)
def test_no_session_changes_sides_as_weeks_come_in(weeks):
    known, sides = [], {}
    for week in weeks:
        rows = assign_splits([row(f"s{n}", label) for n, label in week], known, dict(sides), 0.2)
        now = map_splits(rows)
        assert all(now[session] == side for session, side in sides.items() if session in now)
        assert set(now.values()) <= {"train", "eval"}
        sides |= now
        known += rows


def test_what_is_taken_depends_on_neither_order_nor_the_process():
    rows = objects("ok", 20)
    assert map_splits(assign_splits(rows, [], {}, 0.2)) == map_splits(assign_splits(rows[::-1], [], {}, 0.2))


def test_a_class_that_has_its_share_already_gets_no_more():
    known = [row(f"old-{n}", split="eval") for n in range(50)]
    assert count_eval(assign_splits(objects("ok", 10), known, map_splits(known), 0.2)) == {}


def test_a_session_that_the_hash_splits_stays_with_the_hash():
    known = [row("old-1"), row("old-2")]
    assert assign_splits([row("old-1"), row("old-2")], known, map_splits(known), 0.2) == known


@pytest.mark.parametrize(
    "known", [[], [row("a", split="train")], [row("a"), row("c")]], ids=["here", "there", "by hash"]
)
def test_one_session_in_two_splits_is_refused(known):
    rows = [row("a", split="train"), row("a", split="eval")] if not known else [row("a", split="eval")]
    with pytest.raises(UsageError, match="The session 'a' is in train and in eval"):
        assign_splits(rows, known, map_splits(known), 0.2)
