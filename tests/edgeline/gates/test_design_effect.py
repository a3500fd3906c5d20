"""The variance between samples whose examples come in groups, against sums by hand."""

import math

import pytest

from edgeline.gates.design_effect import estimate_variance

PAIRS, OTHERS, ALONE = list("aabb"), list("ccdd"), [""] * 4
LEVELS, MIXED, TEXTS = [0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0], ["x", "x", "y", "z"]
GAPS = [math.nan, math.nan, 1.0, 1.0]
TENTHS = [*"ababccddeeffgghhiijj"], [float(number) for number in range(20)]
HALF = [*PAIRS, "e", "e"], [*LEVELS, 0.0, 1.0]


# Two groups of two are 4 of the 12 ordered pairs of four examples: a third of the variance each.
@pytest.mark.parametrize(
    ("others", "span", "variance"),
    [
        pytest.param((PAIRS, LEVELS), (OTHERS, LEVELS), 2 / 3, id="alike in each group"),
        pytest.param((PAIRS, TEXTS), (OTHERS, TEXTS), 2 / 3, id="the commonest text or another"),
        pytest.param((PAIRS, GAPS), (OTHERS, LEVELS), 2 / 3, id="no number or one"),
        pytest.param((PAIRS, LEVELS), (ALONE, LEVELS), 1 / 3, id="one sample without groups"),
        pytest.param((PAIRS, LEVELS), (["c"], [0.0]), 1 / 3, id="one example"),
        pytest.param(HALF, (OTHERS, LEVELS), (1 / 3) * (6 / 30 + 1 / 3), id="two of three groups are alike"),
        # Correlations of -1/9 in the two tenths that a and b share, and of 1 in the eight others.
        pytest.param(TENTHS, (["z"], [0.0]), (8 - 2 / 9) / 10 / 19, id="tenths of numbers"),
        pytest.param(
            (PAIRS, LEVELS), (list("aacd"), LEVELS), 1 / 3 + 1 / 6 - 2 * 4 / 16, id="a group in both"
        ),
        pytest.param((PAIRS, LEVELS), (PAIRS, LEVELS), 0, id="both groups in both"),
        pytest.param((PAIRS, MIXED), (OTHERS, LEVELS), 0, id="unlike in each group"),
        pytest.param((PAIRS, [math.nan] * 4), (OTHERS, LEVELS), 0, id="no number at all"),
        pytest.param((ALONE, LEVELS), (OTHERS, LEVELS), 0, id="no groups"),
    ],
)
def test_the_variance_of_groups_is_that_of_their_pairs(others, span, variance):
    assert estimate_variance(others, span) == pytest.approx(variance)
