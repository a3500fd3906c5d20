import re
from dataclasses import replace

import numpy as np
import pytest

from edgeline.gates.answers import Answers, build_measure
from edgeline.gates.evidence import Evidence
from edgeline.gates.paired import estimate_no_drop
from edgeline.gates.regressions import judge_lost_groups
from edgeline.gates.settings import EvaluationSettings
from edgeline.records.evaluation import Metrics

CLASSES = ("ok", "bent", "torn")
METRICS = ("accuracy", "recall", "precision", "f1", "loss", "auc", "recall_at_false_alarms")


def make_probabilities(predictions):
    """Makes probabilities that are the largest for the predictions."""
    return np.where(np.eye(3)[predictions] > 0, 0.8, 0.1).astype(np.float32)


def make_answers(labels, candidate, baseline, groups=None, **slices):
    """Makes answers of two models; without `groups`, each example is a group."""
    return Answers(
        classes=CLASSES,
        normal=0,
        labels=np.asarray(labels),
        groups=np.arange(len(labels)) if groups is None else groups,
        candidate=make_probabilities(candidate),
        baseline=make_probabilities(baseline),
        slices={("lane", name): np.asarray(here) for name, here in slices.items()},
    )


def estimate_most(*arguments):
    """Returns the larger of the shares of resamples that show no drop."""
    return max(estimate_no_drop(*arguments))


def spoil(labels, wrong):
    """Returns the labels, in which each example in `wrong` has the next class."""
    predictions = np.array(labels)
    predictions[wrong] = (predictions[wrong] + 1) % 3
    return predictions


def test_a_drop_of_ten_points_on_500_examples_is_found():
    labels = np.arange(500) % 3
    # 60 examples are answered worse and 10 better than before: 0.80 in place of 0.90.
    answers = make_answers(labels, spoil(labels, range(40, 140)), spoil(labels, range(50)))
    assert estimate_most(answers, "overall", "all", "accuracy", 0.01) == 0.0
    for metric in ("recall", "precision", "f1", "loss"):
        assert estimate_most(answers, "overall", "all", metric, 0.01) < 0.001


def test_few_examples_show_no_drop_between_equally_good_models():
    labels = np.arange(60) % 3
    # Each is right where the other is wrong: 7 and 5 of 60, three points.
    answers = make_answers(labels, spoil(labels, range(7)), spoil(labels, range(20, 25)))
    for metric in METRICS:
        assert estimate_most(answers, "overall", "all", metric, 0.01) > 0.1


def test_pairs_show_a_drop_that_two_independent_samples_would_not():
    labels = np.zeros(200, int)
    # 0.70 in place of 0.74 with intervals of 0.06: but all that changed became worse.
    answers = make_answers(labels, spoil(labels, range(60)), spoil(labels, range(52)))
    assert estimate_most(answers, "overall", "all", "accuracy", 0.01) < 0.01


def test_a_drop_that_is_none_is_taken_for_sure_as_rarely_as_the_confidence_says():
    """All examples of a group are right or wrong together; resampled one by one, a quarter was sure."""
    random, together = np.random.default_rng(3), 6
    groups = np.repeat(np.arange(120), together)
    labels = np.zeros(120 * together, int)
    sure = 0
    for _ in range(40):
        wrong = [np.repeat(random.random(120) < 0.3, together) for _ in range(2)]
        answers = make_answers(labels, *(spoil(labels, each) for each in wrong), groups=groups)
        sure += estimate_most(answers, "overall", "all", "accuracy", 0.01) < 0.05
    # 2 of 40 are expected, of standard deviation 1.4.
    assert 1 <= sure <= 6


def test_a_drop_in_one_of_few_groups_is_not_sure_and_one_in_the_only_group_is_as_sure_as_its_examples():
    labels = np.zeros(200, int)
    here = make_answers(labels, spoil(labels, range(40)), labels, groups=np.repeat((5, 9), 100))
    assert estimate_most(here, "overall", "all", "accuracy", 0.01) == pytest.approx(0.25, abs=0.04)
    alone = replace(here, groups=np.zeros(200, int))
    assert estimate_most(alone, "overall", "all", "accuracy", 0.01) == 0.0


def test_the_same_answers_give_the_same_share_each_time():
    labels = np.arange(90) % 3
    answers = make_answers(labels, spoil(labels, range(9)), spoil(labels, range(30, 36)))
    first, second = (estimate_no_drop(answers, "overall", "all", "accuracy", 0.01) for _ in range(2))
    assert first == second


def test_only_the_examples_of_a_slice_count():
    labels = np.arange(300) % 3
    here = np.arange(300) < 100
    answers = make_answers(labels, spoil(labels, range(30)), spoil(labels, range(200, 230)), a=here, b=~here)
    assert estimate_most(answers, "lane", "a", "accuracy", 0.01) == 0.0
    assert estimate_most(answers, "lane", "b", "accuracy", 0.01) == 1.0
    for kind, name, examples in (("lane", "a", 100), ("class", "bent", 100), ("overall", "all", 300)):
        groups, _ = build_measure(answers, answers.candidate, kind, name, "accuracy", 0.01)
        assert len(groups) == examples


def test_a_class_is_judged_by_the_predictions_for_other_classes_too():
    labels = np.repeat((0, 1), 100)
    predictions = labels.copy()
    predictions[:30] = 1  # each `bent` is still found, among 1.3 times as many alarms
    answers = make_answers(labels, predictions, labels)
    assert estimate_most(answers, "class", "bent", "recall", 0.01) == 1.0
    assert estimate_most(answers, "class", "bent", "precision", 0.01) == 0.0
    assert estimate_most(answers, "class", "bent", "f1", 0.01) == 0.0


def test_answers_that_are_no_numbers_are_a_sure_drop():
    labels = np.arange(60) % 3
    answers = make_answers(labels, labels, labels)
    answers = replace(answers, candidate=np.full((60, 3), np.nan, np.float32))
    for metric in ("accuracy", "recall", "precision", "f1", "loss"):
        assert estimate_most(answers, "overall", "all", metric, 0.01) == 0.0


def test_recall_at_false_alarms_is_that_of_scikit_learn():
    from sklearn.metrics import roc_curve

    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 400)
    scores = (random.normal(labels == 0, 1.0).round(1) + 5) / 12  # rounded: many are equal
    probabilities = np.stack([scores, 1 - scores, 0 * scores], 1).astype(np.float32)
    answers = Answers(CLASSES, 0, labels, np.arange(400), probabilities, probabilities, {})
    _, measure = build_measure(answers, answers.candidate, "overall", "all", "recall_at_false_alarms", 0.1)
    (value,) = measure(np.ones((1, 400), np.float32))
    false, true, _ = roc_curve(labels == 0, scores, drop_intermediate=False)
    assert value == pytest.approx(1 - false[true >= 0.9].min(), abs=1e-5)

    metrics = Metrics({"overall": {"all": {"example_count": 400.0}}})
    rates = (0.01, 0.1)
    described = []
    for rate in rates:
        measured = Evidence(metrics, EvaluationSettings(false_alarm_rate=rate), answers).on_eval
        described.append(measured.describe(metric="recall_at_false_alarms"))
    lows = [float(re.search(r"CI ([\d.]+) to", text)[1]) for text in described]
    assert lows[0] < lows[1] < value


def find_lost(now, before, size, sessions=20, **settings):
    """Returns examples, right before and right now of lost sessions; the first alone has wrong answers."""
    labels = np.zeros(sessions * size, int)
    answers = make_answers(labels, spoil(labels, range(now)), spoil(labels, range(size - before, size)))
    names = tuple(f"s-{number}" for number in range(sessions))
    answers = replace(answers, groups=np.repeat(np.arange(sessions), size), group_names=names)
    evidence = Evidence(Metrics({}), EvaluationSettings(**settings), answers)
    return [tuple(finding.numbers.values()) for finding in judge_lost_groups(evidence)]


def test_a_group_is_lost_where_production_was_right_and_the_candidate_is_not():
    assert find_lost(now=20, before=2, size=40) == [(40, 38, 20)]
    assert find_lost(now=19, before=2, size=40) == find_lost(now=20, before=5, size=40) == []
    assert find_lost(now=20, before=5, size=40, group_right_before=0.8) == [(40, 35, 20)]
    assert find_lost(now=19, before=2, size=40, group_right_after=0.6) == [(40, 38, 21)]


def test_the_more_groups_there_are_the_more_of_one_have_to_turn_wrong():
    assert find_lost(now=8, before=0, size=10) == []
    assert find_lost(now=9, before=0, size=10) == [(10, 10, 1)]
    assert find_lost(now=9, before=0, size=10, sessions=300) == []
    assert find_lost(now=13, before=0, size=14, sessions=300) == [(14, 14, 1)]
    assert find_lost(now=1, before=0, size=1, sessions=500) == []
