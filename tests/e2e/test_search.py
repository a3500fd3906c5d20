"""A search on the whole DAG: its trials, what the model is then trained with, and runs that pin it."""

import json
from pathlib import Path

import pytest

from edgeline.records.training import SEARCH
from pipeline.settings import load
from pipeline.workloads import find_workload
from tests.e2e.conftest import QUICK, Ended, edgeline, run_dag

pytestmark = pytest.mark.e2e

SETTINGS = (
    *QUICK,
    "trainer.epochs=1",
    "gate.severity={label_shift: warn}",
    # Out of reach: what is held back leaves nothing in production that the next run would compare with.
    "evaluation.bounds=[{slice: overall, metric: accuracy, lower: 1.0}]",
    "edge.max_latency_ms=1000",
    "edge.variants=[fp32]",
)
SEARCHED = (
    *SETTINGS,
    "tune.max_trials=2",
    "tune.space.trainer.learning_rate={min: 1e-3, max: 1e-2, log: true}",
    "tune.space.model.hidden=[8, 16]",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("search") / "data"
    arguments = ["--workload", "sensor", "--weeks", "2", "--per-week", "3000"]
    assert edgeline(data, "data", "generate", "--data", str(data), *arguments).code == 0
    return data


@pytest.fixture(scope="module")
def searched(data: Path, workspace: Path) -> Ended:
    ended = run_dag(workspace, "--workload", "sensor", "--data", str(data), settings=SEARCHED)
    assert ended.code == 3, ended.stderr
    return ended


def artifact(workspace: Path, output: str) -> Path:
    (found,) = (workspace / "artifacts").glob(output)
    return found


def test_the_model_is_trained_with_the_settings_of_the_best_trial(searched: Ended, workspace: Path) -> None:
    search = SEARCH.read(artifact(workspace, "Tuner/tuner_results/*"))
    assert len(search.trials) == 2 and searched.json["tuned"] == search.found.values
    # Groups of train judged the trial, and eval judges the model that is trained on all of train.
    (epoch,) = (artifact(workspace, "Trainer/model_run/*") / "history.jsonl").read_text().splitlines()
    assert json.loads(epoch)["val_loss"] != pytest.approx(search.found.score, rel=1e-3)
    assert "trial 2 of 2: val_loss" in searched.stderr and "--profile" in searched.stderr
    facts = json.loads((Path(searched.json["report"]).parent / "facts.json").read_text())
    assert facts["run"]["tuned"] == search.found.values
    assert list((workspace / "checkpoints").iterdir()) == []


def test_the_same_again_searches_nothing(searched: Ended, data: Path, workspace: Path) -> None:
    again = run_dag(workspace, "--workload", "sensor", "--data", str(data), settings=SEARCHED)

    assert again.code == 3, again.stderr
    assert (again.states["Tuner"], again.states["Trainer"]) == ("cached", "cached")
    assert again.json["tuned"] == searched.json["tuned"]


def test_a_run_with_the_pinned_file_would_train_with_it_and_has_no_search(
    searched: Ended, data: Path, workspace: Path
) -> None:
    profile = str(artifact(workspace, "Tuner/tuner_results/*") / "tuned.yaml")
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    place = ["--workload", "sensor", "--data", str(data), "--workspace", str(workspace)]
    planned = edgeline(workspace, "plan", "--json", *place, "--profile", profile, *sets)

    assert planned.code == 0, planned.stderr
    steps = {step["name"]: step for step in planned.json["steps"]}
    assert "Tuner" not in steps and not steps["Trainer"]["cached"]
    pinned, found = load(find_workload("sensor").settings, profile, SETTINGS), searched.json["tuned"]
    assert pinned.trainer.learning_rate == found["trainer.learning_rate"]
    assert pinned.model.hidden == found["model.hidden"]
