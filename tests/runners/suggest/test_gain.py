import numpy as np
import pytest

from runners.suggest.gain import Gain, estimate_gain

COUNT = 400


def estimate(features, labels, groups=None, count=30, few=False):
    groups = np.arange(len(labels)).astype(str) if groups is None else groups
    slices = np.array([""] * len(labels))
    return estimate_gain(features, labels.astype(str), groups, slices, count, few)


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_suggestions_of_rare_kinds_are_worth_more_than_random_ones(random, monkeypatch):
    monkeypatch.setattr("runners.suggest.gain._KNOWN", 20 / 450)
    kinds = random.choice(12, COUNT, p=[0.7, 0.2, *[0.01] * 10])
    features = random.normal(0, 0.5, (COUNT, 12)) + 6 * np.eye(12)[kinds]
    gain = estimate(features, kinds % 2, few=True)
    assert gain.accuracy > gain.at_random + 2 * gain.error
    assert gain.worth > gain.suggested == 30
    assert "30 suggested ones were worth" in gain.sentence("photos")


def test_features_without_information_about_the_label_give_no_sure_gain(random):
    gain = estimate(random.normal(0, 1, (COUNT, 5)), random.integers(0, 2, COUNT), count=1)
    assert gain.suggested == 10  # the smallest number
    assert abs(gain.accuracy - gain.at_random) <= 2 * gain.error
    assert "were not surely better" in gain.sentence("texts")


def test_examples_of_one_group_are_never_known_hidden_and_tested_at_once(random):
    # The features are the group, and each group has one label; other groups say nothing about it.
    groups = np.repeat(np.arange(40), 10)
    labels = random.integers(0, 2, 40)[groups]
    gain = estimate(np.eye(40)[groups], labels, groups.astype(str))
    assert gain.accuracy < 0.7 and gain.at_random < 0.7


@pytest.mark.parametrize("count", [0, 40])
def test_too_few_examples_give_no_estimate(count):
    assert estimate(np.eye(count, 3), np.arange(count) % 2) is None


def test_one_group_or_one_label_gives_no_estimate(random):
    features = random.normal(0, 1, (COUNT, 5))
    assert estimate(features, np.zeros(COUNT, int)) is None
    assert estimate(features, np.arange(COUNT) % 2, np.array(["walk"] * COUNT)) is None


@pytest.mark.parametrize(
    ("accuracy", "worth", "message"),
    [
        (0.91, 140.4, "were worth 140 random ones: accuracy 0.910 against 0.880, +3.0 ± 1.0 points."),
        (0.91, 300.0, "were worth at least 300 random ones"),
        (0.89, 110.0, "were not surely better than as many random ones"),
        (0.85, 30.0, "were worse than as many random ones"),
    ],
)
def test_a_gain_is_reported_only_where_it_is_sure(accuracy, worth, message):
    sentence = Gain(1200, 100, accuracy, 0.88, 0.01, worth).sentence("photos")
    assert sentence.startswith("Beside 1,200 of your own labelled photos, 100 suggested ones " + message)
