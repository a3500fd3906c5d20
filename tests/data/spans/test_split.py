import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.spans.split import eval_sessions, session_position
from errors import DataRefused

POSITION = 0.51939461771349  # of s00001-0000
SESSIONS = st.lists(st.text(max_size=12), min_size=2, max_size=60, unique=True)


@given(SESSIONS, st.floats(0.01, 0.9))
def test_neither_split_is_ever_empty(sessions, fraction):
    chosen = eval_sessions(sessions, fraction)
    assert 0 < len(chosen) < len(sessions)
    assert chosen <= set(sessions)


def test_the_share_of_sessions_is_about_the_one_asked_for():
    chosen = eval_sessions((f"walk-{n}" for n in range(2000)), 0.2)
    # Five standard deviations of a binomial share of 2,000 are 4.5 points.
    assert len(chosen) / 2000 == pytest.approx(0.2, abs=0.045)


def test_repeats_and_order_do_not_matter():
    sessions = [f"walk-{n}" for n in range(20)]
    assert eval_sessions(sessions, 0.3) == eval_sessions([*reversed(sessions), *sessions], 0.3)


def test_a_session_keeps_its_split_when_other_weeks_are_added():
    old, new = [f"old-{n}" for n in range(50)], [f"new-{n}" for n in range(50)]
    assert eval_sessions(old, 0.2) == eval_sessions([*old, *new], 0.2) & set(old)


def test_positions_are_the_same_on_every_machine():
    # SHA-256, unlike Python's hash, does not depend on the process; the number is pinned so that a change of
    # the rule, which would move photos between the splits of old and new models, cannot pass unseen.
    assert session_position("s00001-0000") == pytest.approx(POSITION, abs=1e-12)


@pytest.mark.parametrize("sessions", [["walk-1", "walk-1"], []])
def test_fewer_than_two_sessions_are_refused(sessions):
    with pytest.raises(DataRefused, match="one session") as refused:
        eval_sessions(sessions, 0.2)
    assert refused.value.found and refused.value.why and refused.value.do
