import numpy as np
import pytest

from runners.suggest.strategy import choose, measure_margins, reduce_features

# Ten kinds of examples, far apart; most examples are of the first kind.
SIZES = (91, *[1] * 9)
KINDS = np.repeat(np.arange(10), SIZES)


@pytest.fixture
def features():
    return np.random.default_rng(1).normal(0, 0.1, (100, 10)) + 10 * np.eye(10)[KINDS]


def choose_from(features, margins=None, slices=None, count=10, seed=0):
    slices = np.array([""] * len(features) if slices is None else slices)
    return choose(features, margins, slices, count, np.random.default_rng(seed))


@pytest.mark.parametrize("margins", [None, np.linspace(0, 1, 100)])
@pytest.mark.parametrize("count", [1, 11, 100])
def test_the_choice_has_the_count_without_repeats_and_a_tenth_at_random(features, margins, count):
    useful, random = choose_from(features, margins, count=count)
    assert len({*useful, *random}) == len(useful) + len(random) == count
    assert len(random) == -(-count // 10)


def test_the_draw_does_not_depend_on_margins_or_features(features):
    _, first = choose_from(features)
    _, others = choose_from(features[::-1], np.linspace(1, 0, 100))
    assert first.tolist() == others.tolist()
    _, others = choose_from(features, seed=1)
    assert first.tolist() != others.tolist()


def test_with_few_labels_each_kind_of_examples_is_suggested_however_rare(features):
    useful, random = choose_from(features, count=20)
    assert {*KINDS[useful], *KINDS[random]} == {*range(10)}


def test_with_more_labels_the_most_doubtful_examples_of_each_kind_are_suggested(features):
    margins = np.where(np.arange(100) < 80, 0.9, 0.1)
    margins[:2] = 0.0
    useful, random = choose_from(features, margins, count=12)
    assert {*KINDS[useful], *KINDS[random]} == {*range(10)}
    assert (margins[useful] < 0.5).all() and {0, 1} & {*useful, *random}


def test_each_slice_gets_its_share_however_the_model_doubts_another(features):
    slices = ["front"] * 50 + ["back"] * 30 + ["side"] * 20
    useful, random = choose_from(features, np.linspace(0, 1, 100), slices, count=20)
    assert len(random) == 2
    counts = {name: sum(slices[place] == name for place in useful) for name in slices}
    assert counts["front"] in (8, 9, 10) and counts["back"] in (5, 6) and counts["side"] in (3, 4)


def test_equal_examples_are_suggested_like_others():
    useful, random = choose_from(np.zeros((40, 3)), count=20)
    assert len({*useful, *random}) == 20


def test_reduced_features_have_one_scale_and_at_most_128_columns():
    random = np.random.default_rng(0)
    reduced = reduce_features(random.normal(5, 1000, (200, 300)))
    assert reduced.shape == (200, 128)
    assert reduced.std() == pytest.approx(1)
    assert np.isfinite(reduce_features(np.ones((3, 4)) * [[1], [1], [2]])).all()


def test_a_margin_is_the_difference_of_the_two_most_probable_labels():
    assert measure_margins(np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]])) == pytest.approx([0.5, 0.0])
