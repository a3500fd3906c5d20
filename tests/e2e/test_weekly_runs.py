"""Weeks of one team: each test is the next thing that happens in one workspace, also that a run is killed."""

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

from edgeline.records.verdict import VERDICT
from tests.e2e.conftest import (
    ROOT,
    SMALL,
    Ended,
    edgeline,
    end_warm,
    plan,
    run_arguments,
    run_dag,
)
from tests.edgeline.alerts.servers import SECRET, Hook
from tests.warm import WarmRun

pytestmark = pytest.mark.e2e

UNREACHABLE = "evaluation.bounds=[{slice: overall, lower: 1.0}]"
# Settings of the run that is killed twice.
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
    ended = edgeline(data, "data", "generate", "--data", str(data), *arguments)
    assert ended.code == 0, ended.stderr


def production(workspace: Path) -> dict[str, object]:
    return edgeline(workspace, "status", "--json", "--workspace", str(workspace)).json["production"]


def report_of(ended: Ended) -> str:
    """The page of a run; a small one."""
    page = Path(ended.json["report"])
    assert page.stat().st_size < 3_000_000
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def first(data: Path, workspace: Path) -> Ended:
    add_week(data, weeks=2)
    return run_dag(workspace, "--data", str(data), "--set", "registry.enabled=true")


def test_the_first_run_pushes_and_says_that_there_is_no_baseline(first: Ended, workspace: Path) -> None:
    assert first.code == 0, first.stderr
    assert first.json["outcome"] == "pushed"
    assert first.json["version"] == 1
    assert any("no baseline" in reason for reason in first.json["reasons"])
    assert set(first.states.values()) == {"done"}
    assert len(first.states) == 16


def test_each_run_leaves_a_page_with_its_verdict_first(first: Ended) -> None:
    page = report_of(first)
    assert "Version 1 of shelf is in production: accuracy" in page
    assert re.findall(r'<section id="([^"]+)">', page) == [
        *("gates", "data", "features", "schema", "training", "metrics", "confusion", "mistakes"),
        *("label_issues", "reliability", "edge", "steps", "lineage"),
    ]
    assert "could not be read" not in page
    assert '<a href="../index-shelf.html">All runs</a>' in page
    assert Path(first.json["report"]).parents[1].joinpath("index-shelf.html").exists()
    assert first.json["report"] in first.stderr


def test_what_was_pushed_is_whole_and_belongs_together(first: Ended, workspace: Path) -> None:
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
    verified = edgeline(workspace, "verify", "--json", "--workspace", str(workspace))
    assert verified.code == 0, verified.stdout
    assert "golden vectors pass" in verified.json["golden"]


def test_mlflow_has_the_run_when_it_ends_and_its_version_is_production(first: Ended, workspace: Path) -> None:
    with sqlite3.connect(workspace / "mlflow.db") as database:
        assert database.execute("SELECT name, status FROM runs").fetchall() == [
            (first.json["id"], "FINISHED")
        ]
        metrics = dict(database.execute("SELECT key, value FROM metrics").fetchall())
        aliases = database.execute("SELECT alias, version FROM registered_model_aliases").fetchall()
    assert aliases == [("production", 1)]
    manifest = json.loads((workspace / "push/edge/shelf/1/manifest.json").read_text())
    assert metrics["accuracy"] == pytest.approx(manifest["metrics"]["overall"]["all"]["accuracy"])
    assert {"class/damaged/recall", "worst/lane/accuracy", "edge/fp16/size_mb"} <= set(metrics)


def test_the_notebook_of_the_documentation_reads_the_run(
    first: Ended, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient", reason="TFX 1.21 does not bring nbclient")
    import nbformat

    monkeypatch.setenv("EDGELINE_WORKSPACE", str(workspace))
    notebook = nbformat.read(ROOT / "docs" / "notebook.ipynb", 4)
    nbclient.NotebookClient(notebook, timeout=300).execute()
    runs, metrics, *_, report, scores = (
        cell.outputs[-1]["data"] for cell in notebook.cells if cell.cell_type == "code"
    )
    assert f"<run {first.json['id']} of shelf: pushed>" in runs["text/plain"]
    assert "overall" in metrics["text/plain"] and "<iframe srcdoc=" in report["text/html"]
    assert "'ok':" in scores["text/plain"]


def test_the_files_of_a_release_are_timed_and_the_times_kept_beside_it(first: Ended, workspace: Path) -> None:
    timed = edgeline(workspace, "edge", "bench", "--json", "--workspace", str(workspace))
    assert timed.code == 0, timed.stderr
    assert (timed.json["model"], timed.json["version"]) == ("shelf", 1)
    for speed in timed.json["files"].values():
        assert 0 < speed["latency"]["p50_ms"] <= speed["latency"]["p99_ms"] and speed["cold_start_ms"] > 0
        assert set(speed["preparation_ms"]) == {"decode", "resize"}
    (kept,) = (workspace / "push/edge/shelf/benchmarks").iterdir()
    assert json.loads(kept.read_text()) == timed.json
    assert edgeline(workspace, "verify", "--workspace", str(workspace)).code == 0


def test_a_step_runs_again_with_other_settings_and_is_recorded_nowhere(
    first: Ended, workspace: Path, tmp_path: Path
) -> None:
    code = """
import sys
from edgeline import open

workspace, run, setting, out = sys.argv[1:]
step = open(workspace).run(run).step("Evaluator")
for each in (step, step.again(setting, out=out)):
    print(each.artifacts["blessing"])
"""
    before = {path: path.stat().st_mtime_ns for path in workspace.rglob("*")}

    words = [code, str(workspace), first.json["id"], UNREACHABLE, str(tmp_path / "again")]
    ended = end_warm(words, tmp_path, "python")

    assert ended.code == 0, ended.stderr
    once, again = map(Path, ended.stdout.splitlines())
    assert (once / "BLESSED").exists() and (again / "NOT_BLESSED").exists()
    assert again.is_relative_to(tmp_path / "again")
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*")} == before


def test_what_is_said_of_a_photo_is_what_was_measured_of_it(
    first: Ended, data: Path, workspace: Path
) -> None:
    (file,) = (workspace / "artifacts/EdgeValidator").glob("*/*/predictions.jsonl")
    measured = [json.loads(line) for line in file.read_text().splitlines()[:5]]
    photos = [str(data / each["example_id"].replace("/", "/photos/")) for each in measured]
    said = edgeline(workspace, "predict", "--json", "--workspace", str(workspace), *photos)
    assert said.code == 0, said.stderr
    for answer, each in zip(said.json["answers"], measured, strict=True):
        found = [answer["probabilities"][label] for label in ("ok", "misplaced", "damaged")]
        # Pillow rounds a pixel here and there to the other of two levels.
        assert found == pytest.approx(each["probabilities"], abs=0.02)


def test_if_changed_ends_at_once_without_tensorflow(first: Ended, data: Path, workspace: Path) -> None:
    arguments = ["run", "--if-changed", "--data", str(data), "--workspace", str(workspace)]
    for setting in SMALL:
        arguments += ["--set", setting]
    script = (
        "import sys\nfrom edgeline.cli.main import main\ncode = main(sys.argv[1:])\n"
        "sys.exit(99 if {'tensorflow', 'tfx'} & set(sys.modules) else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Nothing changed since run" in done.stdout


def test_a_model_below_a_bound_is_held_back_and_production_stays(
    first: Ended, data: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = ("--set", "alerts.webhook=$HOOK", "--set", "alerts.min_free_gb=0")
    with Hook() as hook:
        monkeypatch.setenv("HOOK", hook.url)
        held = run_dag(workspace, "--data", str(data), "--set", UNREACHABLE, *tell)
    assert held.code == 3, held.stderr
    assert held.json["outcome"] == "held"
    assert any("at least 1.000 required" in reason for reason in held.json["reasons"])
    assert (held.states["Trainer"], held.states["Evaluator"]) == ("cached", "done")
    assert "edgeline show" in held.stderr
    (text,) = hook.messages
    assert "Held back" in text and "at least 1.000 required" in text
    assert "In production: version 1, " in text and held.json["report"] in text
    assert not any(
        SECRET.encode() in path.read_bytes() for path in workspace.rglob("*") if path.is_file()
    )  # Metadata and artifacts too.
    page = report_of(held)
    assert "held back by its evaluation" in page and "; version 1 stays in production." in page
    assert "at least 1.000 required" in page and "Since run" in page
    assert production(workspace)["version"] == 1


def test_a_bad_week_is_refused_before_training(first: Ended, data: Path, workspace: Path) -> None:
    add_week(data, "unknown-label=0.2", "corrupt=0.1", "label-shift=0.9")
    refused = run_dag(workspace, "--data", str(data))
    assert refused.code == 4, refused.stderr
    assert refused.json["outcome"] == "refused"
    assert any("unknown-label" in reason and "corrupt" in reason for reason in refused.json["reasons"])
    assert "Trainer" not in {step for step, state in refused.states.items() if state in ("done", "cached")}
    page = report_of(refused)
    assert "The data was refused, so nothing was trained; version 1 stays in production." in page
    # Thumbnails of what was quarantined.
    assert page.count("<b>unknown-label</b>") > 0 and "data:image/jpeg;base64," in page
    assert production(workspace)["version"] == 1


def test_the_data_of_a_refused_run_can_be_judged_again_alone(
    first: Ended, workspace: Path, tmp_path: Path
) -> None:
    words = ["step", "DataValidator", "--workspace", str(workspace), "--out", str(tmp_path / "again")]
    ended = end_warm(words, tmp_path, "edgeline")
    assert ended.code == 0, ended.stderr
    (verdict,) = (VERDICT.read(path.parent) for path in tmp_path.rglob(VERDICT.name))
    last = edgeline(workspace, "status", "--json", "--workspace", str(workspace)).json["last_run"]
    assert verdict.result == "fail" and list(verdict.reasons) == last["reasons"]


def test_without_the_bad_week_the_next_run_says_that_nothing_changed_and_trains_nothing(
    first: Ended, data: Path, workspace: Path
) -> None:
    excluded = edgeline(data, "data", "exclude", "span-00003", "--reason", "drill", "--data", str(data))
    assert excluded.code == 0, excluded.stderr
    # The newest run, which was refused, is not all that stays: the next one needs what those before it made.
    collected = edgeline(workspace, "gc", "--keep", "1", "--json", "--workspace", str(workspace))
    assert collected.code == 0 and collected.json["leftovers"] and not collected.json["artifacts"]
    planned = plan(workspace, "--data", str(data))
    good = run_dag(workspace, "--data", str(data), "--if-changed")
    assert good.code == 0, good.stderr
    assert good.json["outcome"] == "unchanged"
    assert planned == good.states
    assert (good.states["Trainer"], good.states["EdgeConverter"]) == ("cached", "cached")
    assert good.json["spans"] == ["span-00001", "span-00002"]
    assert [decision["reason"] for decision in good.json["excluded_spans"]] == ["drill"]
    assert production(workspace)["version"] == 1


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """The temporary folder of all runs from here on; its path is short, because sockets lie in it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        yield Path(folder)


def kill_when(
    workspace: Path, data: Path, happened: Callable[[dict[str, Any]], bool], before_kill: Any = None
) -> str:
    """Starts a run, kills it with SIGKILL when an event happened, and returns its id."""
    known = set((workspace / "runs").glob("*"))
    arguments = run_arguments(workspace, "--data", str(data), settings=REPAIRED)
    process = WarmRun(arguments, workspace.parent, stderr=workspace.parent / "killed.log")
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        for folder in set((workspace / "runs").glob("*")) - known:
            events = folder / "events.jsonl"
            lines = events.read_text().splitlines(keepends=True) if events.exists() else []
            if any(happened(json.loads(line)) for line in lines if line.endswith("\n")):
                if before_kill:
                    before_kill()
                workers = children(process.pid)
                process.send_signal(signal.SIGKILL)
                process.wait()
                wait_until_gone(workers)
                return folder.name
        time.sleep(0.1)
    raise AssertionError("the event did not happen")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_gone(pids: list[int], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def killed(first: Ended, data: Path, workspace: Path, temporary: Path) -> str:
    """The run of the repaired week, which is killed in its training."""
    shutil.rmtree(max(data.glob("span-*")))
    add_week(data)
    # An excluded number is not given again.
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


def newest(workspace: Path, files: str) -> Path:
    """The file of the artifact that was made last."""
    return max((workspace / "artifacts").glob(files), key=lambda file: int(file.parent.name))


def test_a_run_killed_in_training_leaves_no_process_and_the_release_before(
    killed: str, workspace: Path
) -> None:
    assert "1 new span since run" in (workspace.parent / "killed.log").read_text()
    assert production(workspace)["version"] == 1
    status = edgeline(workspace, "status", "--json", "--workspace", str(workspace)).json
    assert status["last_run"]["id"] == killed


def test_a_run_killed_in_the_push_leaves_the_old_or_the_new_release(
    killed: str, data: Path, workspace: Path
) -> None:
    kill_when(
        workspace,
        data,
        lambda event: event["event"] == "step" and event["step"]["name"] == "Pusher",
    )
    assert production(workspace)["version"] in (1, 2)
    assert edgeline(workspace, "verify", "--workspace", str(workspace)).code == 0


def test_training_went_on_at_the_epoch_that_the_killed_run_had_reached(killed: str, workspace: Path) -> None:
    summary = newest(workspace, "Trainer/model_run/*/training.json")
    assert json.loads(summary.read_text())["resumed_from_epoch"] >= 2


def test_the_next_run_says_that_it_resumes_makes_again_what_is_gone_and_its_model_takes_over(
    killed: str, data: Path, workspace: Path, temporary: Path
) -> None:
    newest(workspace, "EdgeConverter/edge_models/*/model_fp16.tflite").unlink()
    ended = run_dag(workspace, "--data", str(data), settings=REPAIRED)
    assert ended.code == 0, ended.stderr
    assert "resuming run" in ended.stderr
    assert ended.states["Trainer"] == "cached"
    assert "EdgeConverter runs again" in ended.stderr
    assert ended.states["EdgeConverter"] == "done"
    # Neither this run, which ended well, nor those before, which were killed, left anything.
    assert list(temporary.iterdir()) == []
    assert edgeline(workspace, "verify", "--workspace", str(workspace)).code == 0
    evaluation = newest(workspace, "Evaluator/blessing/*/verdict.json")
    assert "model in production has" in evaluation.read_text()
    assert production(workspace)["version"] == 2
    rolled = edgeline(workspace, "rollback", "--reason", "drill", "--workspace", str(workspace))
    assert rolled.code == 0, rolled.stderr
    assert production(workspace)["version"] == 1


def test_runs_leave_nothing_in_the_temporary_folder_however_they_end(
    killed: str, data: Path, workspace: Path, temporary: Path
) -> None:
    arguments = run_arguments(workspace, "--data", str(data), settings=(*REPAIRED, "seed=21"))
    run = WarmRun(arguments, workspace.parent)
    while not any(temporary.glob("edgeline-*/*")):
        assert run.poll() is None, "it ended without a temporary file"
        time.sleep(0.1)
    for worker in children(run.pid):
        os.kill(worker, signal.SIGKILL)
    assert run.wait() == 1
    assert list(temporary.iterdir()) == []

    failed = run_dag(workspace, "--data", str(data), "--set", "trainer.require_gpu=true", settings=REPAIRED)
    assert failed.code == 1, failed.stderr
    assert list(temporary.iterdir()) == []
