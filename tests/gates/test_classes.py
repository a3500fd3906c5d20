import pytest

from gates.bounds import judge
from gates.settings import EvaluationSettings
from records.evaluation import Confusion, Metrics

LABELS = ("free", "dent", "fray")


def judged(*rows, **settings):
    """The verdict on a confusion matrix of these classes; a row is what examples of a class are taken for."""
    counts = [sum(row) for row in rows]
    right = sum(row[number] for number, row in enumerate(rows))
    metrics = Metrics(
        {
            "overall": {"all": {"accuracy": right / sum(counts), "example_count": float(sum(counts))}},
            "class": {
                label: {"accuracy": row[i] / count, "example_count": float(count)}
                for i, (label, row, count) in enumerate(zip(LABELS, rows, counts, strict=True))
                if count
            },
        },
        confusion=Confusion(LABELS, rows),
    )
    return judge(metrics, EvaluationSettings(beat_majority=False, **settings), None)


def test_a_class_that_is_never_recognised_holds_the_first_model_and_says_what_it_is_taken_for():
    verdict = judged((145, 0, 3), (9, 12, 0), (7, 1, 0))

    assert not verdict.passed and verdict.slices == ("class fray",)
    assert verdict.reasons == (
        "Recall of class fray is 0.000 on 8 eval examples; at least 0.300 required. Of them 7 are taken for"
        " free, 1 are taken for dent. More examples of it help, or trainer.balanced=true, of photos"
        " model.weights=imagenet.",
    )


def test_a_class_that_is_found_as_often_as_it_is_said_was_guessed():
    # Every second example is called a dent, whatever it is.
    verdict = judged((50, 50, 0), (10, 10, 0), (0, 0, 0))

    assert verdict.slices == ("class free", "class dent")
    assert "no better than guessing, as 0.500 of all examples are taken for it" in verdict.reasons[1]


def test_classes_that_are_told_apart_badly_but_better_than_by_chance_pass():
    assert judged((65, 25, 10), (3, 5, 2), (2, 2, 4)).passed


def test_a_class_that_is_too_rare_is_named_and_not_judged():
    verdict = judged((90, 0, 0), (1, 9, 0), (3, 0, 0))

    assert verdict.passed
    assert verdict.warnings == ("Not judged: fray (3); a class is judged by 5 eval examples or more.",)
    assert not judged((90, 0, 0), (1, 9, 0), (3, 0, 0), min_class_examples=3).passed


def test_a_class_without_an_eval_example_is_named():
    verdict = judged((90, 0, 0), (1, 9, 0), (0, 0, 0))

    assert verdict.passed and verdict.warnings[0].startswith("Not judged: fray (0)")


def test_answers_that_are_no_numbers_recognise_nothing():
    verdict = judged((90, 0, 0), (1, 9, 0), (0, 0, 5))
    assert verdict.passed
    silent = Metrics(
        {
            "overall": {"all": {"accuracy": 0.94, "example_count": 105.0}},
            "class": {
                label: {"example_count": count}
                for label, count in zip(LABELS, (90.0, 10.0, 5.0), strict=True)
            },
        },
        confusion=Confusion(LABELS, ((90, 0, 0), (1, 9, 0), (0, 0, 0))),
    )
    assert judge(silent, EvaluationSettings(), None).slices == ("class fray",)


@pytest.mark.parametrize(("least", "passes"), [(0.2, True), (0.3, False)])
def test_how_much_of_a_class_has_to_be_recognised_is_a_setting(least, passes):
    assert judged((90, 0, 0), (7, 3, 0), (1, 6, 2), min_class_recall=least).passed == passes
