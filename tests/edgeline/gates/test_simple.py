from dataclasses import replace

import numpy as np
import pytest

from edgeline.gates.answers import Answers
from edgeline.gates.simple import SimpleAnswers, compare


def world(network_right: float, count: int = 2_000) -> Answers:
    rng, groups = np.random.default_rng(3), 200
    labels = rng.integers(0, 2, count)
    scores = np.eye(2, dtype=np.float32)[np.where(rng.random(count) < network_right, labels, 1 - labels)]
    names, group_of = tuple(map(str, range(groups))), np.arange(count) % groups
    return Answers(("no", "yes"), None, labels, group_of, scores, None, {}, names)


def simple(answers: Answers, right: float, name: str = "logistic regression") -> SimpleAnswers:
    rng, labels = np.random.default_rng(4), answers.labels
    scores = np.eye(2, dtype=np.float32)[np.where(rng.random(len(labels)) < right, labels, 1 - labels)]
    return SimpleAnswers(name, scores, 900, 0.5)


def test_simple_models_are_measured_on_the_same_examples_worst_first():
    answers = world(0.9)
    worse, better = compare(
        answers, [simple(answers, 0.95), simple(answers, 0.6, "vote")], "out-of-fold examples"
    )
    assert (worse.name, better.name) == ("vote", "logistic regression")
    assert worse.low < worse.accuracy < worse.high and better.trained_on == 900
    assert worse.no_better is None and better.no_better == 0.0
    assert (better.answered, better.examples) == (2_000, "out-of-fold examples")
    assert better.network == pytest.approx(0.9, abs=0.02)


def test_one_session_of_five_that_the_network_gets_wrong_is_no_proof():
    answers = world(1.0)
    groups = answers.groups % 5
    wrong = np.where((groups == 0)[:, np.newaxis], answers.candidate[:, ::-1], answers.candidate)
    (model,) = compare(
        replace(answers, groups=groups, candidate=wrong), [simple(answers, 1.0)], "eval examples"
    )
    # It is left out in (4/5)^5 of the resamples of sessions, and in none of the resamples of examples.
    assert model.no_better == pytest.approx(0.33, abs=0.05)
