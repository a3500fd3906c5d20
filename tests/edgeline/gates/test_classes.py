import numpy as np
import pytest

from edgeline.gates.answers import Answers
from edgeline.gates.bounds import judge
from edgeline.gates.figures import compute_metrics
from edgeline.gates.settings import EvaluationSettings

LABELS = ("free", "dent", "fray")


def answers_of(*rows):
    """Answers of which so many of each class are taken for each class."""
    pairs = [
        (label, predicted)
        for label, row in enumerate(rows)
        for predicted, n in enumerate(row)
        for _ in range(n)
    ]
    labels, predicted = np.array(pairs).T
    alone = np.arange(len(labels))
    return Answers(
        LABELS, None, labels, alone, np.eye(3, dtype=np.float32)[predicted], None, {}, tuple(map(str, alone))
    )


def judged(*rows, **settings):
    """The verdict on a confusion matrix of these classes; a row is what examples of a class are taken for."""
    answers = answers_of(*rows)
    settings = EvaluationSettings(beat_majority=False, **settings)
    return judge(compute_metrics(answers, "group", 0.01), settings, answers)


def test_a_class_that_is_never_recognised_holds_the_first_model_and_says_what_it_is_taken_for():
    verdict = judged((145, 0, 3), (9, 12, 0), (7, 1, 0))

    assert not verdict.passed and verdict.slices == ("class fray",)
    (reason,) = verdict.reasons
    assert reason.startswith("Recall of class fray is 0.000 on 8 eval examples; at least 0.300 required.")
    assert "free for 7, dent for 1" in reason and "trainer.balanced=true" in reason


def test_a_class_that_is_found_as_often_as_it_is_said_was_guessed():
    # Every second example is called a dent, whatever it is.
    verdict = judged((50, 50, 0), (10, 10, 0), (0, 0, 0))

    assert verdict.slices == ("class free", "class dent")
    assert "no better than guessing, since it is predicted for 0.500 of all examples" in verdict.reasons[1]


def test_classes_that_are_told_apart_badly_but_better_than_by_chance_pass():
    assert judged((65, 25, 10), (3, 5, 2), (2, 2, 4)).passed


@pytest.mark.parametrize("examples", [0, 3])
def test_a_class_that_is_too_rare_is_named_and_not_judged(examples):
    verdict = judged((90, 0, 0), (1, 9, 0), (examples, 0, 0))

    (warning,) = verdict.warnings
    assert warning == f"Not judged for lack of eval examples: fray ({examples}); at least 5 required."
    assert verdict.passed
    assert not judged((90, 0, 0), (1, 9, 0), (3, 0, 0), min_class_examples=3).passed


def test_answers_that_are_no_numbers_recognise_nothing():
    answers = answers_of((90, 0, 0), (1, 9, 0), (0, 0, 5))
    answers.candidate[answers.labels == 2] = np.nan
    metrics = compute_metrics(answers, "group", 0.01)
    assert metrics.confusion.rows == ((90, 0, 0), (1, 9, 0), (0, 0, 0))
    assert judge(metrics, EvaluationSettings(), answers).slices == ("class fray",)


@pytest.mark.parametrize(("least", "passes"), [(0.2, True), (0.3, False)])
def test_how_much_of_a_class_has_to_be_recognised_is_a_setting(least, passes):
    assert judged((90, 0, 0), (7, 3, 0), (1, 6, 2), min_class_recall=least).passed == passes
