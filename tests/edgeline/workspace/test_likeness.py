import shutil

import pytest

from edgeline.records.edge import PREDICTIONS, Prediction
from edgeline.records.evaluation import METRICS, Metrics
from edgeline.release import store
from edgeline.workspace.likeness import describe_likeness
from tests.edgeline.release.candidates import make_candidate
from tests.outputs import record_output, write_run

SCORES = {"ok": (0.9, 0.05, 0.05), "misplaced": (0.1, 0.8, 0.1), "damaged": (0.1, 0.2, 0.7)}


@pytest.fixture
def release(tmp_path):
    return store.push(str(tmp_path / "push"), "shelf", make_candidate(tmp_path / "then"))


@pytest.fixture
def make_again(tmp_path, make_run):
    """Makes a run whose model has files of `content`, an accuracy, and these answers to as many examples."""

    def make_again(content, accuracy, answers, run_id="20261012-091233"):
        folder = write_run(tmp_path / "again", make_run(id=run_id, outcome="held"))
        candidate = make_candidate(folder.path, content)
        shutil.copytree(candidate.saved_model, folder.path / "model" / "Format-Serving")
        edge = folder.path / "bundle"
        (edge / "labels.txt").write_text("ok\nmisplaced\ndamaged\n")
        PREDICTIONS.write(
            folder.path / "verdict",
            [Prediction(f"{number}.jpg", "ok", SCORES[answer]) for number, answer in enumerate(answers)],
        )
        METRICS.write(folder.path / "evaluation", Metrics({"overall": {"all": {"accuracy": accuracy}}}))
        record_output(folder, "Trainer", "model", folder.path / "model")
        record_output(folder, "EdgeConverter", "edge_models", edge)
        record_output(folder, "EdgeValidator", "verdict", folder.path / "verdict")
        return record_output(folder, "ModelValidator", "evaluation", folder.path / "evaluation")

    return make_again


def test_a_model_of_equal_bytes_is_called_so_file_by_file(release, make_again):
    then = make_again("first", 0.94, ["ok", "damaged"], "20261005-091233")
    assert list(describe_likeness(release, then, make_again("first", 0.94, ["ok", "damaged"]))) == [
        "SavedModel: the same weights and graph.",
        "model_fp16.tflite: equal bytes.",
        "model_int8.tflite: equal bytes.",
        "Accuracy: 0.9400 then, 0.9400 now.",
        "Equal predictions: 2 of 2 eval examples (100.0\u00a0%).",
    ]


def test_another_model_is_measured_on_the_examples_that_both_answered(release, make_again):
    then = make_again("first", 0.94, ["ok", "damaged", "ok", "misplaced", "ok"], "20261005-091233")
    now = make_again("second", 0.9, ["ok", "ok", "ok", "misplaced"])
    lines = list(describe_likeness(release, then, now))
    assert lines[0] == "SavedModel: other weights and graph." and "model_int8.tflite: other bytes." in lines
    assert lines[-2] == "Accuracy: 0.9400 then, 0.9000 now."
    assert lines[-1].startswith("Equal predictions: 3 of 4 eval examples (75.0")


def test_without_the_record_of_its_run_or_a_model_predictions_are_not_compared(release, make_again, make_run):
    assert list(describe_likeness(release, None, make_run(outcome="refused"))) == []
    *_, last = describe_likeness(release, None, make_again("first", 0.94, ["ok"]))
    assert last == "The predictions of run 2026-10-05-1 are not here, so single ones were not compared."
