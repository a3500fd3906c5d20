"""Weeks of sensor readings on the same DAG: a search, a push, and a refused week."""

import json
from pathlib import Path

import pytest

from edgeline.records.training import SEARCH
from pipeline.settings import load_settings
from pipeline.workloads import find_workload
from tests.e2e.conftest import QUICK, Ended, edgeline, plan, run_dag

pytestmark = pytest.mark.e2e

SETTINGS = (
    *QUICK,
    "trainer.epochs=2",
    "gate.severity={label_shift: warn}",
    "edge.max_latency_ms=1000",
    "edge.variants=[int8]",
    "evaluation.bounds=[{slice: overall, metric: auc, lower: 0.6}]",
)
SEARCHED = (
    *SETTINGS,
    "tune.max_trials=2",
    "tune.space.trainer.learning_rate={min: 1e-3, max: 1e-2, log: true}",
    "tune.space.model.hidden=[8, 16]",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sensors") / "data"


def add_week(data: Path, *faults: str, weeks: int = 1) -> None:
    arguments = ["--workload", "sensor", "--weeks", str(weeks), "--per-week", "6000"]
    for fault in faults:
        arguments += ["--fault", fault]
    result = edgeline(data, "data", "generate", "--data", str(data), *arguments)
    assert result.code == 0, result.stderr


@pytest.fixture(scope="module")
def first_run(data: Path, workspace: Path) -> Ended:
    add_week(data, weeks=3)
    return run_dag(workspace, "--workload", "sensor", "--data", str(data), settings=SEARCHED)


def find_artifact(workspace: Path, output: str) -> Path:
    (path,) = (workspace / "artifacts").glob(output)
    return path


def test_the_model_is_trained_with_the_settings_of_the_best_trial(first_run: Ended, workspace: Path) -> None:
    search = SEARCH.read(find_artifact(workspace, "Tuner/tuner_results/*"))
    assert len(search.trials) == 2 and first_run.json["tuned"] == search.found.values
    # Groups of train evaluated the trial; eval evaluates the model that is trained on all of train.
    history = (find_artifact(workspace, "Trainer/model_run/*") / "history.jsonl").read_text().splitlines()
    assert all(
        json.loads(epoch)["val_loss"] != pytest.approx(search.found.score, rel=1e-3) for epoch in history
    )
    assert "trial 2 of 2: val_loss" in first_run.stderr and "--profile" in first_run.stderr
    assert list((workspace / "checkpoints").iterdir()) == []


def test_the_same_run_again_needs_no_search_and_a_pinned_profile_has_none(
    first_run: Ended, data: Path, workspace: Path
) -> None:
    options = "--workload", "sensor", "--data", str(data)
    same = plan(workspace, *options, settings=SEARCHED)
    assert (same["Tuner"], same["Trainer"]) == ("cached", "cached")
    profile = str(find_artifact(workspace, "Tuner/tuner_results/*") / "tuned.yaml")
    pinned = plan(workspace, *options, "--profile", profile, settings=SETTINGS)
    assert "Tuner" not in pinned and pinned["Trainer"] == "done"
    loaded, best = load_settings(find_workload("sensor").settings, profile, SETTINGS), first_run.json["tuned"]
    assert loaded.trainer.learning_rate == best["trainer.learning_rate"]
    assert loaded.model.hidden == best["model.hidden"]


def test_a_week_of_readings_is_pushed_for_a_microcontroller(first_run: Ended, workspace: Path) -> None:
    assert first_run.code == 0, first_run.stderr
    bundle = workspace / "push" / "edge" / "sensor" / "1"
    assert (bundle / "model_int8.tflite").stat().st_size < 100_000
    assert "alignas(16)" in (bundle / "model_data.cc").read_text()
    contract = json.loads((bundle / "preprocessing.json").read_text())
    assert (contract["kind"], contract["readings"], len(contract["numbers"])) == ("row", 16, 8)
    assert "machine" in Path(first_run.json["report"]).read_text()


def test_the_readings_of_a_machine_are_answered_from_the_sixteenth_on(
    first_run: Ended, data: Path, workspace: Path
) -> None:
    header, *rows = next((data / "span-00003").glob("*.csv")).read_text().splitlines()
    machine = header.split(",").index("machine_id")
    name = rows[0].split(",")[machine]
    readings = [row for row in rows if row.split(",")[machine] == name][:20]
    (workspace.parent / "one.csv").write_text("\n".join((header, *readings)) + "\n")
    result = edgeline(workspace, "predict", "--json", "--workspace", str(workspace), "one.csv")
    assert result.code == 0, result.stderr
    assert [answer["input"] for answer in result.json["answers"]] == [f"one.csv:{n}" for n in range(17, 22)]
    assert {answer["label"] for answer in result.json["answers"]} <= set(
        result.json["answers"][0]["probabilities"]
    )


@pytest.mark.exhaustive
def test_a_week_in_another_unit_is_refused_before_anything_is_trained(
    first_run: Ended, data: Path, workspace: Path
) -> None:
    add_week(data, "fahrenheit=1")
    result = run_dag(workspace, "--workload", "sensor", "--data", str(data), settings=SEARCHED)

    assert result.code == 4
    assert any("temperature" in reason for reason in result.json["reasons"])
    assert not {"Tuner", "Trainer"} & {step for step, state in result.states.items() if state != "queued"}
