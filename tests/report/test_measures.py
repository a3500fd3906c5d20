import math

import pytest

from intervals import wilson
from report.measures import reliability


# From the closed form, as statsmodels' proportion_confint(method="wilson") gives them.
@pytest.mark.parametrize(
    ("right", "examples", "low", "high"),
    [(9, 10, 0.5958, 0.9821), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 100, 0.7222, 0.8749)],
)
def test_the_interval_of_a_share_is_wilsons(right, examples, low, high):
    assert wilson(right, examples) == pytest.approx((low, high), abs=5e-5)


def test_more_examples_make_the_interval_narrower_and_none_leave_it_open():
    widths = [high - low for low, high in (wilson(9 * n, 10 * n) for n in (1, 10, 100))]
    assert widths == sorted(widths, reverse=True)
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_calibration_error_is_the_mean_distance_of_confidence_and_accuracy():
    found = reliability([(0.9, True)] * 6 + [(0.9, False)] * 2 + [(0.55, True), (0.55, False)])
    assert found is not None
    assert [(b.low, b.high, b.examples) for b in found.bins] == [(0.5, 0.6, 2), (0.8, 0.9, 8)]
    assert [b.accuracy for b in found.bins] == [0.5, 0.75]
    assert found.error == pytest.approx(0.8 * (0.9 - 0.75) + 0.2 * (0.55 - 0.5))
    assert found.examples == 10


def test_the_ends_of_the_scale_belong_to_the_outer_bins():
    found = reliability([(0.0, False), (1.0, True)])
    assert found is not None
    assert [(b.low, b.high) for b in found.bins] == [(0.0, 0.1), (0.9, 1.0)]
    assert math.isclose(found.error, 0.0)


def test_without_an_answer_nothing_is_said():
    assert reliability([]) is None
