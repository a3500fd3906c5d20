import math

import pytest

from edgeline.gates.numbers import format_with_bound


@pytest.mark.parametrize(
    ("value", "bound", "texts"),
    [
        (0.85, 0.9, ("0.850", "0.900")),
        (0.9998, 0.9999, ("0.9998", "0.9999")),
        (0.99986, 0.9999, ("0.99986", "0.99990")),
        (0.5, 1e-5, ("0.50000", "0.00001")),
        (0.1, 0.11999999731779099, ("0.100", "0.120")),  # float32
        (math.nan, 0.9, ("nan", "0.900")),
    ],
)
def test_a_value_and_its_bound_have_as_many_digits_as_tell_them_apart(value, bound, texts):
    assert format_with_bound(value, bound) == texts


def test_shares_in_percent_have_the_digits_that_the_bound_has_in_percent():
    assert format_with_bound(0.0612, 0.05, 1, "%") == ("6.1%", "5.0%")
    assert format_with_bound(0.06, 0.0525, 1, "%") == ("6.00%", "5.25%")
    assert format_with_bound(0.05004, 0.05, 1, "%") == ("5.004%", "5.000%")
