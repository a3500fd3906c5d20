from dataclasses import replace

import numpy as np
import pytest

from gates.bounds import judge
from gates.paired import Answers
from gates.settings import Bound, EvaluationSettings
from records.evaluation import Metrics


def slice_of(accuracy, photos):
    # TFMA's accuracies are Keras's: float32.
    known = None if accuracy is None else float(np.float32(accuracy))
    return {"accuracy": known, "example_count": float(photos)}


def metrics(overall=0.9, ok=0.95, damaged=0.8, lane=0.9, lane_photos=50.0):
    return {
        "overall": {"all": slice_of(overall, 100)},
        "class": {"ok": slice_of(ok, 60), "damaged": slice_of(damaged, 40)},
        "lane": {"lane-01": slice_of(lane, lane_photos)},
        "span": {"42": slice_of(overall, 100)},
    }


def bound(kind="overall", lower=None, max_drop=None, min_support=1):
    return Bound(slice=kind, lower=lower, max_drop=max_drop, min_support=min_support)


def answers(worse, better=0):
    """Answers to 100 examples, 60 `ok` and 40 `damaged`: so many of each became wrong, and so many right."""
    labels = np.repeat((0, 1), (60, 40))
    at = np.r_[0:60, 0:40]  # the place within the class
    right = {"candidate": at >= worse, "baseline": ~((at >= worse) & (at < worse + better))}
    said = {
        model: np.eye(2, dtype=np.float32)[np.where(held, labels, 1 - labels)]
        for model, held in right.items()
    }
    slices = {("lane", "lane-01"): np.ones(100, bool), ("span", "42"): np.ones(100, bool)}
    return Answers(("ok", "damaged"), None, labels, np.arange(100), slices=slices, **said)


def judged(candidate, baseline=None, bounds=(), beat_majority=True, said=None, **settings):
    """The verdict; where answers are not given, those of production are better beyond doubt."""
    if baseline is not None:
        said = said or answers(worse=30)
    settings = EvaluationSettings(bounds=bounds, beat_majority=beat_majority, **settings)
    return judge(Metrics(candidate, baseline), settings, said)


def test_the_first_model_that_keeps_its_bounds_passes_without_a_baseline_and_says_so():
    verdict = judged(metrics(), None, [bound(lower=0.85, max_drop=0.02)], beat_majority=True)
    assert verdict.result == "no_baseline" and verdict.passed
    assert "Accuracy 0.900 on 100 eval examples" in verdict.reasons[0]
    assert "no baseline" in verdict.reasons[1]


def test_a_model_as_good_as_production_passes_and_names_its_accuracy():
    verdict = judged(metrics(), metrics(overall=0.91), [bound(max_drop=0.02)], beat_majority=True)
    assert verdict.result == "pass"
    assert any("0.910" in reason for reason in verdict.reasons)


def test_each_slice_below_its_lower_bound_is_named():
    verdict = judged(metrics(damaged=0.5, lane=0.4), None, [bound("class", 0.55), bound("lane", 0.5)], True)
    assert verdict.result == "fail"
    assert [reason.split(" is ")[0] for reason in verdict.reasons] == [
        "Recall of class damaged",
        "Accuracy of lane lane-01",
    ]
    assert "0.500 on 40 eval examples" in verdict.reasons[0]
    assert "0.550" in verdict.reasons[0]
    assert verdict.slices == ("class damaged", "lane lane-01")


def test_a_drop_below_production_is_named_with_both_numbers():
    verdict = judged(metrics(0.85), metrics(0.9), [bound(max_drop=0.02)], beat_majority=True)
    (reason,) = verdict.reasons
    assert reason == (
        "Accuracy is 0.850 on 100 eval examples, 0.050 below the model in production (0.900);"
        " at most 0.020 allowed. Sure: 0.0 % of 2,000 resamples show no drop."
    )


def test_a_drop_within_noise_is_told_and_holds_nothing_back():
    noise = answers(worse=4, better=3)
    bounds = [bound(max_drop=0.02), bound("class", max_drop=0.02)]
    verdict = judged(metrics(0.85, damaged=0.75), metrics(0.9, damaged=0.8), bounds, said=noise)
    assert verdict.result == "pass" and verdict.slices == ()
    overall, damaged = verdict.warnings
    assert overall.startswith("Accuracy is 0.850 on 100 eval examples, 0.050 below the model in production")
    assert "(0.900); within noise: of 2,000 resamples " in overall
    assert damaged.startswith("Recall of class damaged is 0.750 on 40 eval examples, 0.050 below the model")
    assert damaged.endswith(" % show no drop.")


def test_how_sure_a_drop_has_to_be_is_a_setting():
    # 4 became wrong and 1 right in each class: between 0.7 and 0.999 sure.
    doubtful = answers(worse=4, better=1)
    for confidence, passed in ((0.7, False), (0.999, True)):
        drop = metrics(0.85), metrics(0.9), [bound(max_drop=0.0)]
        assert judged(*drop, said=doubtful, confidence=confidence).passed == passed
    assert judged(metrics(), metrics(), [bound(max_drop=0.0)], said=doubtful).warnings == ()


def test_a_drop_within_noise_does_not_hide_one_that_is_sure():
    found = metrics(0.85, lane=0.6)
    said = answers(worse=4, better=3)
    sure = replace(said, slices={("lane", "lane-01"): said.labels < 0})
    sure.slices["lane", "lane-01"][:4] = True
    verdict = judged(found, metrics(0.9), [bound(max_drop=0.02), bound("lane", max_drop=0.02)], said=sure)
    assert verdict.result == "fail" and verdict.slices == ("lane lane-01",)
    assert "within noise" in verdict.warnings[0] and "Sure: " in verdict.reasons[0]


@pytest.mark.parametrize(("photos", "passed"), [(49, True), (50, False)])
def test_a_slice_with_too_few_photos_is_not_judged(photos, passed):
    found = metrics(lane=0.1, lane_photos=photos)
    assert judged(found, None, [bound("lane", 0.5, min_support=50)], True).passed == passed


# float32 has no 0.9, 0.93 or 0.6: the nearest ones lie below, below and above.
@pytest.mark.parametrize("value", [0.9, 0.7, 0.6, 0.55, 0.85, 2 / 3])
def test_a_value_at_its_lower_bound_holds(value):
    assert judged(metrics(value), None, [bound(lower=value)], beat_majority=False).passed
    assert not judged(metrics(value - 0.001), None, [bound(lower=value)], beat_majority=False).passed


@pytest.mark.parametrize(("before", "now"), [(0.93, 0.91), (0.9, 0.88), (0.62, 0.6), (0.85, 0.83)])
def test_a_drop_of_just_what_is_allowed_holds(before, now):
    assert judged(metrics(now), metrics(before), [bound(max_drop=0.02)], beat_majority=False).passed
    worse = metrics(now - 0.001)
    assert not judged(worse, metrics(before), [bound(max_drop=0.02)], beat_majority=False).passed


def test_a_bound_on_the_drop_says_nothing_of_a_slice_that_production_has_not_seen():
    before = metrics()
    del before["lane"]["lane-01"]
    assert judged(metrics(lane=0.1), before, [bound("lane", max_drop=0.1)], beat_majority=True).passed


@pytest.mark.parametrize(("accuracy", "passed"), [(0.6, False), (0.55, False), (0.61, True)])
def test_a_model_has_to_beat_always_saying_the_most_frequent_class(accuracy, passed):
    verdict = judged(metrics(accuracy), None, [], beat_majority=True)
    assert verdict.passed == passed
    assert passed or "always saying ok, which is right for 0.600" in verdict.reasons[0]
    assert judged(metrics(accuracy), None, [], beat_majority=False).passed


def test_an_accuracy_that_is_no_number_holds_no_bound():
    nothing = metrics(None)
    assert not judged(nothing, None, [bound(lower=0.1)], beat_majority=False).passed
    assert not judged(nothing, metrics(), [bound(max_drop=0.9)], beat_majority=False).passed
    assert not judged(nothing, None, [], beat_majority=True).passed
