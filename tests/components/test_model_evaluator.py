import json
from pathlib import Path

import numpy as np
import pytest
from tfx.types.standard_artifacts import Model, ModelBlessing, ModelEvaluation

from components.model_evaluator import ModelEvaluatorExecutor, judge, read_metrics
from components.verdict import read_verdict
from pipeline.evaluation import evaluation_config
from report.collect import collect
from report.facts import About
from report.sources import Sources
from tests.components.conftest import LABELS
from tests.components.steps import artifact, execute


def slice_of(accuracy, photos):
    # TFMA's accuracies are Keras's: float32.
    return {"accuracy": float(np.float32(accuracy)), "example_count": float(photos)}


def metrics(overall=0.9, ok=0.95, damaged=0.8, lane=0.9, lane_photos=50.0):
    return {
        "overall": {"all": slice_of(overall, 100)},
        "class": {"ok": slice_of(ok, 60), "damaged": slice_of(damaged, 40)},
        "lane": {"lane-01": slice_of(lane, lane_photos)},
        "span": {"42": slice_of(overall, 100)},
    }


def bound(kind="overall", lower=None, max_drop=None, min_support=1):
    return {
        "slice": kind,
        "metric": "accuracy",
        "lower": lower,
        "max_drop": max_drop,
        "min_support": min_support,
    }


def test_the_first_model_that_keeps_its_bounds_passes_without_a_baseline_and_says_so():
    verdict = judge(metrics(), None, [bound(lower=0.85, max_drop=0.02)], beat_majority=True)
    assert verdict.result == "no_baseline" and verdict.passed
    assert "Accuracy 0.900 on 100 eval photos" in verdict.reasons[0]
    assert "no baseline" in verdict.reasons[1]


def test_a_model_as_good_as_production_passes_and_names_its_accuracy():
    verdict = judge(metrics(), metrics(overall=0.91), [bound(max_drop=0.02)], beat_majority=True)
    assert verdict.result == "pass"
    assert any("0.910" in reason for reason in verdict.reasons)


def test_each_slice_below_its_lower_bound_is_named():
    verdict = judge(metrics(damaged=0.5, lane=0.4), None, [bound("class", 0.55), bound("lane", 0.5)], True)
    assert verdict.result == "fail"
    assert [reason.split(" is ")[0] for reason in verdict.reasons] == [
        "Accuracy of class damaged",
        "Accuracy of lane lane-01",
    ]
    assert "0.500 on 40 eval photos" in verdict.reasons[0]
    assert "0.550" in verdict.reasons[0]


def test_a_drop_below_production_is_named_with_both_numbers():
    verdict = judge(metrics(0.85), metrics(0.9), [bound(max_drop=0.02)], beat_majority=True)
    (reason,) = verdict.reasons
    assert "0.850" in reason and "0.050 below" in reason and "0.900" in reason and "0.020" in reason


@pytest.mark.parametrize(("photos", "passed"), [(49, True), (50, False)])
def test_a_slice_with_too_few_photos_is_not_judged(photos, passed):
    found = metrics(lane=0.1, lane_photos=photos)
    assert judge(found, None, [bound("lane", 0.5, min_support=50)], True).passed == passed


# float32 has no 0.9, 0.93 or 0.6: the nearest ones lie below, below and above.
@pytest.mark.parametrize("value", [0.9, 0.7, 0.6, 0.55, 0.85, 2 / 3])
def test_a_value_at_its_lower_bound_holds(value):
    assert judge(metrics(value), None, [bound(lower=value)], beat_majority=False).passed
    assert not judge(metrics(value - 0.001), None, [bound(lower=value)], beat_majority=False).passed


@pytest.mark.parametrize(("before", "now"), [(0.93, 0.91), (0.9, 0.88), (0.62, 0.6), (0.85, 0.83)])
def test_a_drop_of_just_what_is_allowed_holds(before, now):
    assert judge(metrics(now), metrics(before), [bound(max_drop=0.02)], beat_majority=False).passed
    worse = metrics(now - 0.001)
    assert not judge(worse, metrics(before), [bound(max_drop=0.02)], beat_majority=False).passed


def test_a_bound_on_the_drop_says_nothing_of_a_slice_that_production_has_not_seen():
    before = metrics()
    del before["lane"]["lane-01"]
    assert judge(metrics(lane=0.1), before, [bound("lane", max_drop=0.1)], beat_majority=True).passed


@pytest.mark.parametrize(("accuracy", "passed"), [(0.6, False), (0.55, False), (0.61, True)])
def test_a_model_has_to_beat_always_saying_the_most_frequent_class(accuracy, passed):
    verdict = judge(metrics(accuracy), None, [], beat_majority=True)
    assert verdict.passed == passed
    assert passed or "always saying ok, which is right for 0.600" in verdict.reasons[0]
    assert judge(metrics(accuracy), None, [], beat_majority=False).passed


def test_an_accuracy_that_is_no_number_holds_no_bound():
    nothing = metrics(float("nan"))
    assert not judge(nothing, None, [bound(lower=0.1)], beat_majority=False).passed
    assert not judge(nothing, metrics(), [bound(max_drop=0.9)], beat_majority=False).passed
    assert not judge(nothing, None, [], beat_majority=True).passed


def evaluate(trained, baseline, folder, bounds=()):
    evaluation, blessing = artifact(ModelEvaluation, folder / "e"), artifact(ModelBlessing, folder / "b")
    execute(
        ModelEvaluatorExecutor,
        {"examples": trained.examples, "model": trained.model, "baseline_model": baseline},
        {"evaluation": evaluation, "blessing": blessing},
        folder,
        eval_config=evaluation_config(),
        labels=json.dumps(LABELS),
        bounds=json.dumps(bounds),
        beat_majority=0,
        fairness_indicator_thresholds="null",
    )
    return evaluation, blessing


def by_hand(trained):
    """Label ids and the SavedModel's answers for the eval split."""
    import tensorflow as tf

    files = sorted(str(path) for path in Path(trained.examples.uri, "Split-eval").iterdir())
    raw = list(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())
    serve = tf.saved_model.load(str(Path(trained.model.uri, "Format-Serving"))).signatures
    answers = serve["serving_default"](examples=tf.constant(raw))["probabilities"].numpy().argmax(1)
    return serve["transform_features"](examples=tf.constant(raw))["label"].numpy(), answers


@pytest.fixture(scope="module")
def compared(trained, tmp_path_factory):
    """An evaluation beside a production model, which is the same model, with a bound that cannot hold."""
    production = artifact(Model, Path(trained.model.uri), has_model=1, version=7)
    folder = tmp_path_factory.mktemp("compared")
    return evaluate(trained, production, folder, [bound("class", lower=1.01)])


@pytest.mark.e2e
def test_tfma_measures_what_the_saved_model_answers(trained, compared):
    labels, answers = by_hand(trained)
    found = read_metrics(compared[0].uri, "candidate", LABELS)
    # float32 has 7 digits.
    assert found["overall"]["all"]["accuracy"] == pytest.approx((labels == answers).mean(), abs=1e-6)
    assert found["overall"]["all"]["example_count"] == len(labels)
    for number, label in enumerate(LABELS):
        of_class = labels == number
        assert found["class"][label]["example_count"] == of_class.sum()
        right = (answers[of_class] == number).mean()
        assert found["class"][label]["accuracy"] == pytest.approx(right, abs=1e-6)
    assert set(found["span"]) == {"1", "2"}
    assert set(found["lane"]) == {f"lane-0{n}" for n in (1, 2, 3, 4)}
    assert {key: read_metrics(compared[0].uri, "baseline", LABELS)[key] for key in ("overall",)} == {
        "overall": {
            "all": {k: v for k, v in found["overall"]["all"].items() if not k.endswith("_diff")},
        }
    }


@pytest.mark.e2e
def test_both_models_are_in_the_metrics_file(trained, compared):
    written = json.loads(Path(compared[0].uri, "metrics.json").read_text())
    assert written["candidate"] == read_metrics(compared[0].uri, "candidate", LABELS)
    assert written["baseline"]["overall"]["all"]["accuracy"] == pytest.approx(
        written["candidate"]["overall"]["all"]["accuracy"]
    )
    assert written["baseline_version"] == 7


@pytest.mark.e2e
def test_the_confusion_matrix_counts_what_each_class_was_taken_for(trained, compared):
    labels, answers = by_hand(trained)
    confusion = json.loads(Path(compared[0].uri, "metrics.json").read_text())["confusion"]
    assert confusion["labels"] == list(LABELS)
    assert confusion["rows"] == [
        [int(((labels == actual) & (answers == said)).sum()) for said in range(3)] for actual in range(3)
    ]


@pytest.mark.e2e
def test_the_report_finds_what_it_shows_of_the_evaluation(compared):
    evaluation, blessing = (Path(artifact.uri) for artifact in compared)
    found = collect(Sources(evaluation=evaluation, blessing=blessing), About(run="1", model="shelf"))
    assert found.unreadable == () and found.gates[0].result == "fail"
    assert found.evaluation is not None and found.evaluation.overall is not None
    overall, classes = found.evaluation.overall, found.evaluation.of("class")
    assert found.evaluation.baseline_version == 7 and overall.before == pytest.approx(overall.accuracy)
    assert {item.name for item in classes} == set(LABELS)
    assert sum(item.photos for item in classes) == overall.photos
    assert overall.low < overall.accuracy <= overall.high
    confusion = found.evaluation.confusion
    assert confusion is not None and confusion.labels == LABELS
    right = sum(confusion.rows[place][place] for place in range(3)) / overall.photos
    assert right == pytest.approx(overall.accuracy, abs=1e-6)


@pytest.mark.e2e
def test_a_model_that_breaks_a_bound_is_not_blessed(compared):
    blessing = compared[1]
    assert read_verdict(blessing.uri).result == "fail"
    assert len(read_verdict(blessing.uri).reasons) == 3
    assert blessing.get_int_custom_property("blessed") == 0
    assert {path.name for path in Path(blessing.uri).iterdir()} == {"verdict.json", "NOT_BLESSED"}


@pytest.mark.e2e
def test_without_a_production_model_a_good_model_is_blessed_and_no_baseline_is_measured(trained, tmp_path):
    nothing = artifact(Model, tmp_path / "nothing", has_model=0, version=0)
    evaluation, blessing = evaluate(trained, nothing, tmp_path, [bound(max_drop=0.01)])
    written = json.loads(Path(evaluation.uri, "metrics.json").read_text())
    assert written["baseline"] is None and written["baseline_version"] == 0
    assert set(written["candidate"]["class"]) == set(LABELS)
    assert (
        sum(map(sum, written["confusion"]["rows"])) == written["candidate"]["overall"]["all"]["example_count"]
    )
    assert read_verdict(blessing.uri).result == "no_baseline"
    assert blessing.get_int_custom_property("blessed") == 1
    assert {path.name for path in Path(blessing.uri).iterdir()} == {"verdict.json", "BLESSED"}
