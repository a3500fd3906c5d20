import pytest

from edgeline.report.measures import measure_reliability


def test_the_calibration_error_is_the_mean_distance_of_confidence_and_accuracy_in_bins():
    reliability = measure_reliability([(0.9, True)] * 6 + [(0.9, False)] * 2 + [(0.55, True), (0.55, False)])
    assert [(b.low, b.high, b.examples) for b in reliability.bins] == [(0.5, 0.6, 2), (0.8, 0.9, 8)]
    assert [b.accuracy for b in reliability.bins] == [0.5, 0.75]
    assert reliability.error == pytest.approx(0.8 * (0.9 - 0.75) + 0.2 * (0.55 - 0.5))
    assert reliability.examples == 10
    # The ends of the scale belong to the outer bins.
    reliability = measure_reliability([(0.0, False), (1.0, True)])
    assert reliability.error == 0
    assert [(b.low, b.high) for b in reliability.bins] == [(0.0, 0.1), (0.9, 1.0)]
    assert measure_reliability([]) is None
