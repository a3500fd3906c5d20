import numpy as np
import pytest

from edgeline.intervals import compute_group_interval, compute_wilson_interval


# statsmodels' proportion_confint(method="wilson") gives the same.
@pytest.mark.parametrize(
    ("right", "examples", "low", "high"),
    [(9, 10, 0.5958, 0.9821), (0, 10, 0.0, 0.2775), (81, 100, 0.7222, 0.8749)],
)
def test_the_interval_of_a_share_is_wilsons(right, examples, low, high):
    assert compute_wilson_interval(right, examples) == pytest.approx((low, high), abs=5e-5)


def test_more_examples_make_the_interval_narrower_and_none_leave_it_open():
    widths = [high - low for low, high in (compute_wilson_interval(9 * n, 10 * n) for n in (1, 10, 100))]
    assert widths == sorted(widths, reverse=True)
    assert compute_wilson_interval(0, 0) == (0.0, 1.0)


def compute_interval(hits, sizes):
    """Computes the interval for groups by their numbers of right answers and their sizes."""
    right = [np.arange(size) < hit for hit, size in zip(hits, sizes, strict=True)]
    return compute_group_interval(np.concatenate(right), np.repeat(np.arange(len(sizes)), sizes))


def test_examples_that_are_alone_have_wilsons_interval_and_one_group_shows_nothing_of_another():
    assert compute_interval([95], [100]) == (0.0, 1.0)
    assert compute_interval([1] * 81 + [0] * 19, [1] * 100) == pytest.approx(compute_wilson_interval(81, 100))


def test_four_experiments_of_a_thousand_readings_tell_little():
    low, high = compute_interval([1150, 1100, 1000, 1148], [1195] * 4)
    assert low == pytest.approx(0.715, abs=0.01) and high == pytest.approx(0.974, abs=0.01)
    assert compute_wilson_interval(4398, 4780)[1] - compute_wilson_interval(4398, 4780)[0] < 0.02


def test_shares_of_one_are_no_certainty_and_one_wrong_answer_changes_little():
    for groups, low in ((2, 0.35), (4, 0.54), (20, 0.87)):
        assert compute_interval([1000] * groups, [1000] * groups) == (pytest.approx(low, abs=0.03), 1.0)
        assert compute_interval([0] * groups, [1000] * groups) == (0.0, pytest.approx(1 - low, abs=0.03))
    assert compute_interval([999] + [1000] * 3, [1000] * 4)[0] == pytest.approx(0.5, abs=0.06)


def test_groups_that_are_alike_count_nearly_as_their_examples():
    low, high = compute_interval([90] * 200, [100] * 200)
    alone = compute_wilson_interval(18_000, 20_000)
    assert high - low == pytest.approx(alone[1] - alone[0], rel=0.2)


def test_the_interval_holds_the_share_where_one_group_is_far_larger_than_the_others():
    low, high = compute_interval([400] + [10] * 9, [1000] + [10] * 9)
    # A share of 0.45, and a mean of 0.94.
    assert low < 0.40 and high > 0.94


@pytest.mark.parametrize("groups", [5, 20])
@pytest.mark.parametrize("share", [0.8, 0.97])
def test_the_mean_of_all_groups_is_in_the_interval_about_as_often_as_it_says(groups, share):
    random, inside = np.random.default_rng(groups), 0
    for _ in range(40):
        hits = random.binomial(200, random.beta(share * 4, (1 - share) * 4, groups))
        low, high = compute_interval(hits, [200] * groups)
        inside += low <= share <= high
    # A bootstrap of 5 groups, or their variance, holds a share of 0.97 in 30 to 70 %.
    assert inside >= 34
