import numpy as np

from edgeline.gates.answers import Answers
from edgeline.gates.figures import compute_metrics
from edgeline.gates.settings import EvaluationSettings
from tests.edgeline.gates.worlds import judge

LABELS = ("free", "dent", "fray")


def make_answers(*rows):
    """Makes answers from a confusion matrix; a row counts the predictions for examples of a class."""
    pairs = [(a, b) for a, row in enumerate(rows) for b, n in enumerate(row) for _ in range(n)]
    labels, predictions = np.array(pairs).T
    numbers = np.arange(len(labels))
    probabilities = np.eye(3, dtype=np.float32)[predictions]
    return Answers(LABELS, None, labels, numbers, probabilities, None, {}, tuple(map(str, numbers)))


def decide(*rows, **settings):
    """Returns the verdict on answers with a confusion matrix."""
    answers = make_answers(*rows)
    settings = EvaluationSettings(beat_majority=False, **settings)
    return judge(compute_metrics(answers, "group", 0.01), settings, answers)


def test_classes_that_are_separated_badly_but_better_than_by_chance_pass():
    assert decide((65, 25, 10), (3, 5, 2), (2, 2, 4)).passed


def test_answers_that_are_no_numbers_recognise_nothing():
    answers = make_answers((90, 0, 0), (1, 9, 0), (0, 0, 5))
    answers.candidate[answers.labels == 2] = np.nan
    metrics = compute_metrics(answers, "group", 0.01)
    assert metrics.confusion.rows == ((90, 0, 0), (1, 9, 0), (0, 0, 0))
    assert metrics.candidate["overall"]["all"]["loss"] is None
    assert judge(metrics, EvaluationSettings(), answers).slices == ("class fray",)
