"""A model whose production cannot be compared with it."""

from dataclasses import replace

import numpy as np

from edgeline.gates.comparison import judge_comparison
from edgeline.gates.evidence import Evidence
from edgeline.gates.settings import Bound, EvaluationSettings
from edgeline.records.evaluation import Metrics
from edgeline.records.served import PushedVersion
from tests.edgeline.gates import test_bounds

DROP = EvaluationSettings(bounds=(Bound(slice="class", max_drop=0.1), Bound(slice="overall", max_drop=0.02)))
LACKS = "It reads the feature d (float), which these examples do not have."


def judge(wrong, accuracy, settings=DROP, mismatch=LACKS, **values):
    """Judges a model that is wrong on some of its 1,000 examples, where version 7 had these accuracies."""
    answers = test_bounds.make_answers(worse=0)
    size = len(answers.labels)
    labels = np.zeros(size, np.int64)
    candidate = np.tile(np.array([[0.9, 0.1, 0.0]], np.float32), (size, 1))
    candidate[: wrong * size // 1000] = [[0.1, 0.9, 0.0]]
    half = np.arange(size) % 2 == 0
    answers = replace(
        answers,
        labels=labels,
        candidate=candidate,
        baseline=None,
        groups=np.arange(size),
        slices={("span", "1"): half, ("span", "2"): ~half},
    )
    metrics = Metrics({}, baseline_version=7)
    pushed = {7: PushedVersion("2026-10-05T09:12:33Z", accuracy)}
    evidence = Evidence(metrics, settings, answers, mismatch=mismatch, pushed=pushed, **values)
    return [*judge_comparison(evidence)]


def test_a_model_that_is_surely_worse_than_production_was_is_held_with_the_setting_that_lets_it_through():
    warning, finding = judge(213, {"overall": {"all": 0.947}})
    assert warning.severity == "warn" and LACKS in warning.sentence and "simple models" in warning.sentence
    assert finding.severity == "block" and finding.lifted_by == "evaluation.bounds[1].max_drop=null"
    assert "had 0.947 on its own eval examples when it was pushed" in finding.sentence
    assert finding.sentence.startswith("Accuracy is 0.790 on 100 eval examples (95 % CI 0.700 to 0.858)")


def test_a_model_that_may_be_as_good_as_production_was_is_no_finding():
    assert len(judge(70, {"overall": {"all": 0.947}})) == 1
    no_drop = EvaluationSettings(bounds=(Bound(slice="overall", lower=0.1),))
    assert len(judge(213, {"overall": {"all": 0.947}}, no_drop)) == len(judge(213, {})) == 1


def test_production_is_taken_by_what_it_was_on_the_same_spans():
    spans = {"overall": {"all": 0.75}, "span": {"1": 0.95, "9": 0.1}}
    _, finding = judge(213, spans)
    assert "had 0.950 on those of the same spans" in finding.sentence
    assert len(judge(213, {"overall": {"all": 0.95}, "span": {"1": 0.79}})) == 1


def test_labels_that_are_gone_are_a_warning_of_their_own():
    (warning,) = judge(500, {"overall": {"all": 1.0}}, mismatch="", relabelled="It answers with good.")
    assert warning.severity == "warn" and warning.sentence.endswith("others: It answers with good.")
