"""Two runs of texts on the same DAG: pushed, and held back."""

import json
from pathlib import Path

import pytest

from edge.runtime import EdgeModel, preprocess
from tests.e2e.conftest import Ended, edgeline, run_dag

pytestmark = pytest.mark.e2e

# What is tested is the weekly run, not how well a model can get.
QUICK = (
    "model.text_length=16",
    "model.lstm_units=4",
    "trainer.epochs=2",
    "trainer.folds=0",
    "trainer.batch_size=64",
    "gate.min_examples_per_class=5",
    "edge.variants=[fp16]",
)
EASY = (
    *QUICK,
    "evaluation.bounds=[{slice: overall, metric: auc, lower: 0.1}]",
    "evaluation.beat_majority=false",
    "evaluation.min_class_examples=1000",
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts") / "workspace"


@pytest.fixture(scope="module")
def first(workspace: Path) -> Ended:
    data = str(workspace.parent / "data")
    made = edgeline(workspace, "data", "generate", "--workload", "text", "--data", data, "--weeks", "3")
    assert made.code == 0, made.stderr
    return run_dag(workspace, "--workload", "text", "--data", data, settings=EASY)


def test_the_pushed_bundle_reads_a_text_without_tensorflow(first: Ended, workspace: Path) -> None:
    assert first.code == 0, first.stderr
    bundle = workspace / "push" / "edge" / "text" / "1"
    contract = json.loads((bundle / "preprocessing.json").read_text(encoding="utf-8"))
    model = EdgeModel(bundle / "model_fp16.tflite")

    probabilities = model.predict(preprocess("Great value, would buy it again! 👍", contract))

    assert contract["kind"] == "tokens"
    assert probabilities.sum() == pytest.approx(1, abs=1e-3)
    assert (bundle / "labels.txt").read_text(encoding="utf-8") == "negative\npositive\n"


def test_a_model_below_a_bound_of_a_class_is_held_back(first: Ended, workspace: Path) -> None:
    bound = "evaluation.bounds=[{slice: class, metric: f1, lower: 1.0}]"
    data = str(workspace.parent / "data")
    held = run_dag(workspace, "--workload", "text", "--data", data, settings=(*QUICK, bound))

    assert held.code == 3
    assert any(reason.startswith("F1 of class ") for reason in held.json["reasons"])
    assert held.states["Trainer"] == "cached"
