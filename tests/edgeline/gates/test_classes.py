import numpy as np
import pytest

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


def test_a_class_that_is_never_recognised_holds_the_first_model_and_says_what_it_is_taken_for():
    verdict = decide((145, 0, 3), (9, 12, 0), (7, 1, 0))

    assert not verdict.passed and verdict.slices == ("class fray",)
    (reason,) = verdict.reasons
    assert reason.startswith("Recall of class fray is 0.000 on 8 eval examples; at least 0.300 required.")
    assert "free for 7, dent for 1" in reason and "trainer.balanced=true" in reason


def test_a_class_with_a_recall_equal_to_its_share_of_predictions_was_guessed():
    # Every second example of each class is called a dent.
    verdict = decide((50, 50, 0), (10, 10, 0), (0, 0, 0))

    assert verdict.slices == ("class free", "class dent")
    assert "no better than guessing, since it is predicted for 0.500 of all examples" in verdict.reasons[1]


def test_classes_that_are_separated_badly_but_better_than_by_chance_pass():
    assert decide((65, 25, 10), (3, 5, 2), (2, 2, 4)).passed


@pytest.mark.parametrize("examples", [0, 3])
def test_a_class_that_is_too_rare_is_named_and_not_judged(examples):
    verdict = decide((90, 0, 0), (1, 9, 0), (examples, 0, 0))

    (warning,) = verdict.warnings
    assert warning == f"Not judged for lack of eval examples: fray ({examples}); at least 5 required."
    assert verdict.passed
    assert not decide((90, 0, 0), (1, 9, 0), (3, 0, 0), min_class_examples=3).passed


def test_answers_that_are_no_numbers_recognise_nothing():
    answers = make_answers((90, 0, 0), (1, 9, 0), (0, 0, 5))
    answers.candidate[answers.labels == 2] = np.nan
    metrics = compute_metrics(answers, "group", 0.01)
    assert metrics.confusion.rows == ((90, 0, 0), (1, 9, 0), (0, 0, 0))
    assert judge(metrics, EvaluationSettings(), answers).slices == ("class fray",)


@pytest.mark.parametrize(("least", "passes"), [(0.2, True), (0.3, False)])
def test_the_least_recall_of_a_class_is_a_setting(least, passes):
    assert decide((90, 0, 0), (7, 3, 0), (1, 6, 2), min_class_recall=least).passed == passes
