"""Weeks of one team: each test is the next event in one workspace; some runs are killed."""

import ast
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drill.harm import list_children
from edgeline.records.verdict import VERDICT
from tests.e2e.conftest import ROOT, SMALL, Ended, edgeline, plan, run_arguments, run_dag, run_warm
from tests.edgeline.alerts.servers import SECRET, Hook
from tests.warm import WarmRun

pytestmark = pytest.mark.e2e

UNREACHABLE = "evaluation.bounds=[{slice: overall, lower: 1.0}]"
# The settings of the run that is killed twice.
REPAIRED = (
    *SMALL,
    "trainer.epochs=6",
    "trainer.early_stopping_patience=0",
    "evaluation.bounds=[{slice: overall, max_drop: 0.5}]",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weekly") / "data"


def add_week(data: Path, *faults: str, photos: int = 120, weeks: int = 1) -> None:
    arguments = ["--weeks", str(weeks), "--photos-per-week", str(photos)]
    for fault in faults:
        arguments += ["--fault", fault]
    result = edgeline(data, "data", "generate", "--data", str(data), *arguments)
    assert result.code == 0, result.stderr


def get_production(workspace: Path) -> dict[str, object]:
    return edgeline(workspace, "status", "--json", "--workspace", str(workspace)).json["production"]


def read_report(result: Ended) -> str:
    """Reads the page of a run, which must be small."""
    page = Path(result.json["report"])
    assert page.stat().st_size < 3_000_000
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def first_run(data: Path, workspace: Path) -> Ended:
    add_week(data, weeks=2)
    return run_dag(workspace, "--data", str(data), "--set", "registry.enabled=true")


def test_the_first_run_pushes_and_notes_that_there_is_no_baseline(first_run: Ended, workspace: Path) -> None:
    assert first_run.code == 0, first_run.stderr
    assert first_run.json["outcome"] == "pushed"
    assert first_run.json["version"] == 1
    assert any("no baseline" in reason for reason in first_run.json["reasons"])
    assert set(first_run.states.values()) == {"done"}
    assert len(first_run.states) == 17


def test_the_first_run_prints_the_paths_that_the_readme_pictures(first_run: Ended, workspace: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    picture = readme.partition("    $ make run\n")[2].partition("\n\n")[0].replace("int8", "fp16")
    paths = re.findall(r"/home/you/edgeline/workspace(\S+)", picture)
    assert len(paths) == 2 and all(f"{workspace}{path}\n" in first_run.stderr for path in paths)


def test_each_run_leaves_a_page_with_its_verdict_first(first_run: Ended) -> None:
    page = read_report(first_run)
    assert "Version 1 of shelf went into production: accuracy" in page
    assert re.findall(r'<section id="([^"]+)">', page) == [
        *("gates", "data", "features", "schema", "training", "metrics", "confusion", "mistakes"),
        *("label_issues", "reliability", "edge", "steps", "lineage"),
    ]
    assert "could not be read" not in page
    assert '<a href="../index-shelf.html">All runs</a>' in page
    assert Path(first_run.json["report"]).parents[1].joinpath("index-shelf.html").exists()
    assert first_run.json["report"] in first_run.stderr


def test_the_pushed_release_is_complete_and_consistent(first_run: Ended, workspace: Path) -> None:
    push = workspace / "push"
    bundle = push / "edge" / "shelf" / "1"
    manifest = json.loads((bundle / "manifest.json").read_text())
    names = {entry["path"] for entry in manifest["files"]}
    assert {
        "serving/shelf/1/saved_model.pb",
        "edge/shelf/1/labels.txt",
        "edge/shelf/1/model_fp16.tflite",
        "edge/shelf/1/golden/golden.json",
    } <= names
    assert (bundle / "labels.txt").read_text().splitlines() == ["ok", "misplaced", "damaged"]
    assert manifest["data"]["last_span"] == 2
    assert manifest["metrics"]["overall"]["all"]["example_count"] > 0
    assert "version: 1" in " ".join((push / "serving" / "models.config").read_text().split()) or (
        "versions: 1" in " ".join((push / "serving" / "models.config").read_text().split())
    )
    result = edgeline(workspace, "verify", "--json", "--workspace", str(workspace))
    assert result.code == 0, result.stdout
    assert "golden vectors pass" in result.json["golden"]


def test_mlflow_has_the_finished_run_and_its_version_is_production(first_run: Ended, workspace: Path) -> None:
    with sqlite3.connect(workspace / "mlflow.db") as database:
        assert database.execute("SELECT name, status FROM runs").fetchall() == [
            (first_run.json["id"], "FINISHED")
        ]
        metrics = dict(database.execute("SELECT key, value FROM metrics").fetchall())
        aliases = database.execute("SELECT alias, version FROM registered_model_aliases").fetchall()
    assert aliases == [("production", 1)]
    manifest = json.loads((workspace / "push/edge/shelf/1/manifest.json").read_text())
    assert metrics["accuracy"] == pytest.approx(manifest["metrics"]["overall"]["all"]["accuracy"])
    assert {"class/damaged/recall", "worst/lane/accuracy", "edge/fp16/size_mb"} <= set(metrics)


def test_the_notebook_of_the_documentation_reads_the_run(
    first_run: Ended, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGELINE_WORKSPACE", str(workspace))
    runs, metrics, *_, report, scores = run_cells(ROOT / "docs" / "notebook.ipynb")
    assert f"<run {first_run.json['id']} of shelf: pushed>" in repr(runs)
    assert "overall" in repr(metrics) and "<iframe srcdoc=" in report._repr_html_()
    assert "'ok':" in repr(scores)


def run_cells(notebook: Path) -> list[Any]:
    """Runs the code of a notebook, which needs no Jupyter; returns the value that each cell shows."""
    names: dict[str, Any] = {}
    shown = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            *statements, last = ast.parse("".join(cell["source"])).body
            assert isinstance(last, ast.Expr)
            exec(compile(ast.Module(statements, []), notebook.name, "exec"), names)
            shown.append(eval(compile(ast.Expression(last.value), notebook.name, "eval"), names))
    return shown


def test_a_step_runs_again_with_other_settings_and_is_recorded_nowhere(
    first_run: Ended, workspace: Path, tmp_path: Path
) -> None:
    code = """
import sys
from edgeline import open

workspace, run, setting, out = sys.argv[1:]
step = open(workspace).run(run).step("ModelValidator")
for each in (step, step.again(setting, out=out)):
    print(each.artifacts["blessing"])
"""
    before = {path: path.stat().st_mtime_ns for path in workspace.rglob("*")}

    words = [code, str(workspace), first_run.json["id"], UNREACHABLE, str(tmp_path / "again")]
    result = run_warm(words, tmp_path, "python")

    assert result.code == 0, result.stderr
    once, again = map(Path, result.stdout.splitlines())
    assert (once / "BLESSED").exists() and (again / "NOT_BLESSED").exists()
    assert again.is_relative_to(tmp_path / "again")
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*")} == before


def test_the_prediction_for_a_photo_is_the_one_that_was_measured(
    first_run: Ended, data: Path, workspace: Path
) -> None:
    (file,) = (workspace / "artifacts/EdgeValidator").glob("*/*/predictions.jsonl")
    predictions = [json.loads(line) for line in file.read_text().splitlines()[:5]]
    photos = [str(data / prediction["example_id"].replace("/", "/photos/")) for prediction in predictions]
    result = edgeline(workspace, "predict", "--json", "--workspace", str(workspace), *photos)
    assert result.code == 0, result.stderr
    for answer, prediction in zip(result.json["answers"], predictions, strict=True):
        probabilities = [answer["probabilities"][label] for label in ("ok", "misplaced", "damaged")]
        # Pillow rounds a pixel here and there to the other of two levels.
        assert probabilities == pytest.approx(prediction["probabilities"], abs=0.02)


def test_if_changed_ends_at_once_without_tensorflow(first_run: Ended, data: Path, workspace: Path) -> None:
    arguments = ["run", "--if-changed", "--data", str(data), "--workspace", str(workspace)]
    for setting in SMALL:
        arguments += ["--set", setting]
    script = (
        "import sys\nfrom runners.cli.main import main\ncode = main(sys.argv[1:])\n"
        "sys.exit(99 if {'tensorflow', 'tfx'} & set(sys.modules) else code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Nothing changed since run" in result.stdout


def test_a_model_below_a_bound_is_held_back_and_production_stays(
    first_run: Ended, data: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = ("--set", "alerts.webhook=$HOOK", "--set", "alerts.min_free_gb=0")
    with Hook() as hook:
        monkeypatch.setenv("HOOK", hook.url)
        result = run_dag(workspace, "--data", str(data), "--set", UNREACHABLE, *alerts)
    assert result.code == 3, result.stderr
    assert result.json["outcome"] == "held"
    assert any("at least 1.000 required" in reason for reason in result.json["reasons"])
    assert (result.states["Trainer"], result.states["ModelValidator"]) == ("cached", "done")
    assert "evaluation.bounds[0].lower" in result.stderr and "One run without" in result.stderr
    (text,) = hook.messages
    assert "Held back" in text and "at least 1.000 required" in text
    assert "In production: version 1, " in text and result.json["report"] in text
    # The secret is in no file, including metadata and artifacts.
    files = [path for path in workspace.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
    page = read_report(result)
    assert "held back by its evaluation" in page and "; version 1 stayed in production." in page
    assert "at least 1.000 required" in page and "Since run" in page
    assert get_production(workspace)["version"] == 1


def test_a_bad_week_is_refused_before_training(first_run: Ended, data: Path, workspace: Path) -> None:
    add_week(data, "unknown-label=0.2", "corrupt=0.1", "label-shift=0.9")
    result = run_dag(workspace, "--data", str(data))
    assert result.code == 4, result.stderr
    assert result.json["outcome"] == "refused"
    assert any("unknown-label" in reason and "corrupt" in reason for reason in result.json["reasons"])
    assert "Trainer" not in {step for step, state in result.states.items() if state in ("done", "cached")}
    page = read_report(result)
    assert "The data was refused, so nothing was trained; version 1 stayed in production." in page
    # The page shows thumbnails of the quarantined photos.
    assert page.count("<b>unknown-label</b>") > 0 and "data:image/jpeg;base64," in page
    assert get_production(workspace)["version"] == 1


def test_the_data_validation_of_a_refused_run_can_be_repeated_alone(
    first_run: Ended, workspace: Path, tmp_path: Path
) -> None:
    words = ["step", "DataValidator", "--workspace", str(workspace), "--out", str(tmp_path / "again")]
    result = run_warm(words, tmp_path, "edgeline")
    assert result.code == 0, result.stderr
    (verdict,) = (VERDICT.read(path.parent) for path in tmp_path.rglob(VERDICT.name))
    last = edgeline(workspace, "status", "--json", "--workspace", str(workspace)).json["last_run"]
    assert verdict.result == "fail" and list(verdict.reasons) == last["reasons"]


def test_without_the_bad_week_the_next_run_is_unchanged_and_trains_nothing(
    first_run: Ended, data: Path, workspace: Path
) -> None:
    exclusion = edgeline(data, "data", "exclude", "span-00003", "--reason", "drill", "--data", str(data))
    assert exclusion.code == 0, exclusion.stderr
    # Artifacts of runs before the refused one stay too, since the next run needs them.
    collection = edgeline(workspace, "gc", "--keep", "1", "--json", "--workspace", str(workspace))
    assert collection.code == 0 and collection.json["leftovers"] and not collection.json["artifacts"]
    states = plan(workspace, "--data", str(data))
    result = run_dag(workspace, "--data", str(data), "--if-changed")
    assert result.code == 0, result.stderr
    assert result.json["outcome"] == "unchanged"
    assert states == result.states
    assert (result.states["Trainer"], result.states["EdgeConverter"]) == ("cached", "cached")
    assert result.json["spans"] == ["span-00001", "span-00002"]
    assert [decision["reason"] for decision in result.json["excluded_spans"]] == ["drill"]
    assert get_production(workspace)["version"] == 1


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """Sets the temporary folder of all following runs; its path is short, since it contains sockets."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        yield Path(folder)


def kill_when(
    workspace: Path, data: Path, condition: Callable[[dict[str, Any]], bool], before_kill: Any = None
) -> str:
    """Starts a run, kills it with SIGKILL at the first event that meets a condition, and returns its id."""
    old_folders = set((workspace / "runs").glob("*"))
    arguments = run_arguments(workspace, "--data", str(data), settings=REPAIRED)
    process = WarmRun(arguments, workspace.parent, stderr=workspace.parent / "killed.log")
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        for folder in set((workspace / "runs").glob("*")) - old_folders:
            events = folder / "events.jsonl"
            lines = events.read_text().splitlines(keepends=True) if events.exists() else []
            if any(condition(json.loads(line)) for line in lines if line.endswith("\n")):
                if before_kill:
                    before_kill()
                workers = list_children(process.pid)
                process.send_signal(signal.SIGKILL)
                process.wait()
                wait_until_gone(workers)
                return folder.name
        time.sleep(0.1)
    raise AssertionError("the event did not happen")


def wait_until_gone(pids: list[int], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def killed_run(first_run: Ended, data: Path, workspace: Path, temporary: Path) -> str:
    """Kills the run of the repaired week in its training, and returns its id."""
    shutil.rmtree(max(data.glob("span-*")))
    add_week(data)
    # The number of an excluded span is not used again.
    assert max(data.glob("span-*")).name == "span-00004"

    def second_run_is_refused() -> None:
        second = run_dag(workspace, "--data", str(data), settings=REPAIRED)
        assert second.code == 5
        assert "holds" in second.stderr or "another run" in second.stderr.lower()

    return kill_when(
        workspace,
        data,
        lambda event: event.get("event") == "epoch" and event["epoch"] >= 2,
        second_run_is_refused,
    )


def find_newest(workspace: Path, files: str) -> Path:
    """Returns the file of the newest artifact."""
    return max((workspace / "artifacts").glob(files), key=lambda file: int(file.parent.name))


def test_a_run_killed_in_training_leaves_no_process_and_the_release(killed_run: str, workspace: Path) -> None:
    assert "1 new span since run" in (workspace.parent / "killed.log").read_text()
    assert get_production(workspace)["version"] == 1
    status = edgeline(workspace, "status", "--json", "--workspace", str(workspace)).json
    assert status["last_run"]["id"] == killed_run


def test_a_run_killed_in_the_push_leaves_the_old_or_the_new_release(
    killed_run: str, data: Path, workspace: Path
) -> None:
    kill_when(
        workspace,
        data,
        lambda event: event["event"] == "step" and event["step"]["name"] == "Pusher",
    )
    assert get_production(workspace)["version"] in (1, 2)
    assert edgeline(workspace, "verify", "--workspace", str(workspace)).code == 0


def test_training_goes_on_from_the_epoch_of_the_killed_run(killed_run: str, workspace: Path) -> None:
    summary = find_newest(workspace, "Trainer/model_run/*/training.json")
    assert json.loads(summary.read_text())["resumed_from_epoch"] >= 2


def test_the_next_run_resumes_repeats_a_step_with_a_lost_file_and_its_model_replaces_the_old(
    killed_run: str, data: Path, workspace: Path, temporary: Path
) -> None:
    find_newest(workspace, "EdgeConverter/edge_models/*/model_fp16.tflite").unlink()
    result = run_dag(workspace, "--data", str(data), settings=REPAIRED)
    assert result.code == 0, result.stderr
    assert "resuming run" in result.stderr
    assert result.states["Trainer"] == "cached"
    assert "EdgeConverter runs again" in result.stderr
    assert result.states["EdgeConverter"] == "done"
    # Neither this run, which succeeded, nor the killed ones before left files.
    assert list(temporary.iterdir()) == []
    assert edgeline(workspace, "verify", "--workspace", str(workspace)).code == 0
    evaluation = find_newest(workspace, "ModelValidator/blessing/*/verdict.json")
    assert "model in production had" in evaluation.read_text()
    assert get_production(workspace)["version"] == 2
    rollback = edgeline(workspace, "rollback", "--reason", "drill", "--workspace", str(workspace))
    assert rollback.code == 0, rollback.stderr
    assert get_production(workspace)["version"] == 1


def test_failed_runs_leave_nothing_in_the_temporary_folder(
    killed_run: str, data: Path, workspace: Path, temporary: Path
) -> None:
    arguments = run_arguments(workspace, "--data", str(data), settings=(*REPAIRED, "seed=21"))
    run = WarmRun(arguments, workspace.parent)
    while not any(temporary.glob("edgeline-*/*")):
        assert run.poll() is None, "it ended without a temporary file"
        time.sleep(0.1)
    for worker in list_children(run.pid):
        os.kill(worker, signal.SIGKILL)
    assert run.wait() == 1
    assert list(temporary.iterdir()) == []

    result = run_dag(workspace, "--data", str(data), "--set", "trainer.require_gpu=true", settings=REPAIRED)
    assert result.code == 1, result.stderr
    assert list(temporary.iterdir()) == []
