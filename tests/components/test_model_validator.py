import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tfx.components.util.model_utils import is_model_blessed
from tfx.types.standard_artifacts import Model, ModelBlessing, ModelEvaluation, ModelRun

from components.artifacts import Quarantine
from components.model_validator import ModelValidator
from edgeline.gates.settings import Bound, EvaluationSettings, ServedBound
from edgeline.records.edge import OUT_OF_FOLD, Prediction
from edgeline.records.evaluation import LABEL_ISSUES, METRICS, REVIEWED
from edgeline.records.ingest import TWINS, Twin, Twins
from edgeline.records.served import SERVED, Served, ServedVersion, Tally
from edgeline.records.training import Estimate
from edgeline.records.verdict import VERDICT
from pipeline.settings import Settings
from tests.components.steps import LABELS, SHELF, artifact, execute, measure_models, predict_eval
from trainer_module.export.align import align_labels

pytestmark = pytest.mark.e2e

NO_DROP = [Bound(slice="overall", max_drop=0.0), Bound(slice="class", metric="recall", max_drop=0.0)]
SERVED_BOUNDS = (ServedBound(lower=0.5),)


def evaluate(trained, baseline, folder, bounds=(), measured=None, workload=SHELF, **records):
    """Runs the Evaluator, unless it has measured, and ModelValidator; returns the outputs of the latter."""
    evaluation, blessing = artifact(ModelEvaluation, folder / "e"), artifact(ModelBlessing, folder / "b")
    model_run, quarantine = artifact(ModelRun, folder / "run"), artifact(Quarantine, folder / "q")
    TWINS.write(folder / "q", records.get("twins", Twins()))
    REVIEWED.write(folder / "q", records.get("reviewed", ()))
    if "out_of_fold" in records:
        OUT_OF_FOLD.write(folder / "run", records["out_of_fold"])
    if "served" in records:
        SERVED.write(folder / "q", Served(records["served"]))
    settings = EvaluationSettings(
        bounds=bounds, served=SERVED_BOUNDS, beat_majority=False, min_class_examples=1000
    )
    execute(
        ModelValidator,
        {
            "examples": trained.examples,
            "model": trained.model,
            "model_run": model_run,
            "quarantine": quarantine,
            "baseline_model": baseline,
            "measured": measured or measure_models(trained, baseline, folder, workload),
        },
        {"evaluation": evaluation, "blessing": blessing},
        folder,
        workload=workload.to_json(),
        settings=Settings(evaluation=settings).of("ModelValidator"),
        code="",
    )
    return evaluation, blessing


def example_ids(files):
    import tensorflow as tf

    for raw in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        yield tf.train.Example.FromString(raw).features.feature[SHELF.id].bytes_list.value[0].decode()


@pytest.fixture(scope="module")
def alone(trained, tmp_path_factory):
    """Measures the model beside one in production that cannot answer."""
    folder = tmp_path_factory.mktemp("alone")
    older = artifact(Model, folder / "older", has_model=1, version=7, mismatch="Feature: size is required.")
    return measure_models(trained, older, folder)


@pytest.fixture(scope="module")
def comparison(trained, tmp_path_factory):
    """Compares the model with itself in production; after two epochs, it breaks its bound."""
    production = artifact(Model, Path(trained.model.uri), has_model=1, version=7)
    folder = tmp_path_factory.mktemp("compared")
    tally = Tally(900, 0.9, 100, Estimate(100, 9, 0.3, 0.2, 0.4))
    served = (ServedVersion(8, tally), ServedVersion(7, tally))
    return evaluate(trained, production, folder, [Bound(slice="class", lower=1.0)], served=served)


def test_models_of_other_labels_are_compared_by_the_names_of_labels(trained, comparison, tmp_path):
    """The schema of a later week may have a new label, and its labels in another order."""
    labels = ("damaged", "misplaced", "broken", "ok")
    shutil.copytree(trained.model.uri, tmp_path / "aligned")
    align_labels(tmp_path / "aligned" / "Format-Serving", LABELS, labels)
    aligned = artifact(Model, tmp_path / "aligned", has_model=1, version=7)
    today, workload = replace(trained, model=aligned), replace(SHELF, labels=labels)
    evaluation, blessing = evaluate(today, aligned, tmp_path, NO_DROP, workload=workload)
    before = METRICS.read(Path(comparison[0].uri)).candidate
    assert VERDICT.read(Path(blessing.uri)).passed
    both = METRICS.read(Path(evaluation.uri))
    for metrics in (both.candidate, both.baseline):
        assert metrics["overall"]["all"]["accuracy"] == before["overall"]["all"]["accuracy"]
        for label in LABELS:
            assert metrics["class"][label]["recall"] == before["class"][label]["recall"]


def test_an_answer_of_production_that_is_no_label_any_more_is_wrong_and_not_another_labels(trained, tmp_path):
    shutil.copytree(trained.model.uri, tmp_path / "older")
    align_labels(tmp_path / "older" / "Format-Serving", (*LABELS[:2], "dent"), LABELS)
    why = "It answers with dent, no label of today, and such an answer counts as wrong."
    older = artifact(Model, tmp_path / "older", has_model=1, version=7, relabelled=why)
    evaluation, blessing = evaluate(trained, older, tmp_path, NO_DROP)
    both = METRICS.read(Path(evaluation.uri))
    for label in LABELS[:2]:
        for metric in ("recall", "precision"):
            assert both.baseline["class"][label][metric] == both.candidate["class"][label][metric]
    assert both.baseline["class"][LABELS[2]]["recall"] == 0
    assert any(warning.endswith(why) for warning in VERDICT.read(Path(blessing.uri)).warnings)


def test_a_model_is_held_where_phones_show_that_production_is_bad(comparison):
    verdict = VERDICT.read(Path(comparison[1].uri))
    assert "served overall" in verdict.slices
    assert verdict.reasons[-1].startswith("Of 100 answers of version 7 that were drawn at random, on 9 sess")
    assert any("by version 8, which the release store never had: 900." in text for text in verdict.warnings)


def test_a_model_that_breaks_a_bound_is_not_blessed(comparison):
    blessing = comparison[1]
    assert VERDICT.read(Path(blessing.uri)).result == "fail"
    assert VERDICT.read(Path(blessing.uri)).slices
    assert not is_model_blessed(blessing)
    assert {path.name for path in Path(blessing.uri).iterdir()} == {"verdict.json", "NOT_BLESSED"}


def test_a_model_that_is_surely_worse_than_production_is_held_and_says_how_sure(
    trained, always_rarest, rarest_beside_trained, tmp_path
):
    """The model always predicts the rarest class."""
    candidate = replace(trained, model=artifact(Model, always_rarest))
    production = artifact(Model, Path(trained.model.uri), has_model=1, version=7)
    bounds = [
        Bound(slice=kind, metric="loss", max_drop=0.02) for kind in ("overall", "class", "span", "lane")
    ]
    _, blessing = evaluate(candidate, production, tmp_path, bounds, rarest_beside_trained)
    verdict = VERDICT.read(Path(blessing.uri))
    assert verdict.result == "fail" and verdict.slices[0] == "overall"
    assert " above the model in production (" in verdict.reasons[0]
    assert " at most 0.020 allowed. The drop is real: only 0.0 % of 2,000 resamples" in verdict.reasons[0]
    # One session of seven is in eval.
    assert verdict.warnings[-1].startswith("Judged on only 1 session: ")


def test_a_model_is_blessed_without_a_comparable_baseline_and_judged_without_its_many_near_twins(
    trained, alone, tmp_path
):
    older = artifact(Model, tmp_path / "older", has_model=1, version=7, mismatch="Feature: size is required.")
    ids = sorted(example_ids(sorted(map(str, Path(trained.examples.uri, "Split-eval").iterdir()))))
    pairs = tuple(Twin(name, "span-00001/other.jpg") for name in ids[: len(ids) // 2])
    bounds, twins = [Bound(slice="overall", max_drop=0.01)], Twins(len(ids), pairs, len(ids))
    evaluation, blessing = evaluate(trained, older, tmp_path, bounds, alone, twins=twins)
    metrics = json.loads(Path(evaluation.uri, "metrics.json").read_text())
    (session,), overall = metrics["worst_groups"], metrics["candidate"]["overall"]["all"]
    assert session["examples"] == overall["example_count"] and session["before"] is None
    assert session["accuracy"] == pytest.approx(overall["accuracy"])
    whole = {"examples": session["examples"], "sessions": 1, "low": 0.0, "high": 1.0}
    assert whole.items() <= metrics["estimates"]["overall"]["all"].items()
    assert metrics["baseline"] is None and metrics["baseline_version"] == 7
    verdict = VERDICT.read(Path(blessing.uri))
    assert verdict.result == "no_baseline" and "Version 7 in production cannot answer" in verdict.reasons[-1]
    assert any("Feature: size is required. What decides instead" in text for text in verdict.warnings)
    assert is_model_blessed(blessing)  # as TFX's Pusher asks
    assert {path.name for path in Path(blessing.uri).iterdir()} == {"verdict.json", "BLESSED"}
    without_twins = METRICS.read(Path(evaluation.uri)).without_twins
    assert without_twins.candidate["overall"]["all"]["example_count"] == len(ids) - len(pairs)
    assert "eval examples without a near twin in train" in " ".join(VERDICT.read(Path(blessing.uri)).reasons)


@pytest.fixture(scope="module")
def out_of_fold(trained, alone, tmp_path_factory):
    """Evaluates beside answers out of fold; those of the first two eval examples are wrong.

    Somebody has reviewed the first one.
    """
    folder = tmp_path_factory.mktemp("out_of_fold")
    nothing = artifact(Model, folder / "nothing", has_model=0, version=0)
    files = sorted(str(path) for path in Path(trained.examples.uri, "Split-eval").iterdir())
    label_of = dict(zip(example_ids(files), predict_eval(trained)[0], strict=True))
    predictions, wrong = {name: label_of[name] for name in sorted(label_of)}, sorted(label_of)[:2]
    predictions |= {name: (label_of[name] + 1) % 3 for name in wrong}
    train_labels = {f"{n}.jpg": n % 3 for n in range(60)}
    label_of, predictions = {**label_of, **train_labels}, {**predictions, **train_labels}
    lane = {"lane": "lane-01"}
    lines = [
        Prediction(name, LABELS[label_of[name]], tuple(np.eye(3)[label].tolist()), lane, 1, f"s-{n % 12}")
        for n, (name, label) in enumerate(predictions.items())
    ]
    bounds = [Bound(slice="overall", lower=1.0)]
    outputs = evaluate(trained, nothing, folder, bounds, alone, out_of_fold=lines, reviewed=wrong[:1])
    return *outputs, label_of, predictions, wrong[1]


def test_bounds_are_applied_to_answers_out_of_fold_where_the_trainer_left_some(out_of_fold):
    evaluation, blessing, label_of, predictions, _ = out_of_fold
    count = len(predictions)
    (reason,) = VERDICT.read(Path(blessing.uri)).reasons
    share = f"Accuracy is {(count - 2) / count:.3f} on {count} out-of-fold examples of 12 sessions ("
    assert reason.startswith(share)
    metrics = METRICS.read(Path(evaluation.uri))
    assert metrics.out_of_fold.estimates["overall"]["all"].sessions == 12
    (simple,) = metrics.simple_models
    # The 60 examples of train are not in its files.
    assert (simple.answered, simple.examples) == (count - 60, "out-of-fold examples")
    assert simple.network == (count - 62) / (count - 60)
    pairs = [(label_of[name], predictions[name]) for name in predictions]
    assert metrics.out_of_fold.confusion.rows == tuple(
        tuple(pairs.count((actual, answer)) for answer in range(3)) for actual in range(3)
    )


def test_examples_with_a_suspect_label_are_listed_unless_somebody_looked_at_them(out_of_fold):
    evaluation, _, label_of, predictions, wrong = out_of_fold
    issues = LABEL_ISSUES.read(Path(evaluation.uri))
    (issue,) = issues.shown
    assert (issue.example, issue.split, issues.judged) == (wrong, "eval", len(predictions))
    assert issue.suggested == LABELS[(label_of[issue.example] + 1) % 3]
    assert (Path(evaluation.uri) / issue.file).read_bytes()[:2] == b"\xff\xd8"
    lines = Path(evaluation.uri, "label_issues.csv").read_text().splitlines()
    assert lines[0] == "example,label,suggested,probability,probability_of_label,corrected"
    assert len(lines) == 2
