"""What is lost when a run is killed, or its files go: nothing but the step that was running."""

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import SMALL, edgeline, run_arguments, run_dag
from tests.warm import WarmRun

pytestmark = pytest.mark.e2e

SETTINGS = (*SMALL, "trainer.epochs=6", "trainer.early_stopping_patience=0", "edge.variants=[fp16]")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("recovery") / "data"
    ended = edgeline(
        data, "data", "generate", "--data", str(data), "--weeks", "2", "--photos-per-week", "120"
    )
    assert ended.code == 0, ended.stderr
    return data


@pytest.fixture(scope="module", autouse=True)
def temporary() -> Iterator[Path]:
    """The temporary folder of all runs here; its path is short, because sockets lie in it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        yield Path(folder)


def kill_when(
    workspace: Path, data: Path, happened: Callable[[dict[str, Any]], bool], before_kill: Any = None
) -> str:
    """Starts a run, kills it with SIGKILL when an event happened, and returns its id."""
    known = set((workspace / "runs").glob("*"))
    arguments = run_arguments(workspace, "--data", str(data), settings=SETTINGS)
    process = WarmRun(arguments, workspace.parent)
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
def killed(data: Path, workspace: Path) -> str:
    def second_run_is_refused() -> None:
        second = run_dag(workspace, "--data", str(data), settings=SETTINGS)
        assert second.code == 5
        assert "holds" in second.stderr or "another run" in second.stderr.lower()

    return kill_when(
        workspace,
        data,
        lambda event: event.get("event") == "epoch" and event["epoch"] >= 2,
        second_run_is_refused,
    )


def test_a_run_killed_in_training_leaves_no_process_and_no_release(killed: str, workspace: Path) -> None:
    status = edgeline(workspace, "status", "--json", "--workspace", str(workspace)).json
    assert status["production"]["version"] is None
    assert status["last_run"]["id"] == killed


def test_a_run_killed_in_the_push_leaves_the_old_or_the_new_release(
    killed: str, data: Path, workspace: Path
) -> None:
    kill_when(
        workspace,
        data,
        lambda event: event["event"] == "step" and event["step"]["name"] == "Pusher",
    )
    version = edgeline(workspace, "status", "--json", "--workspace", str(workspace)).json["production"][
        "version"
    ]
    assert version in (None, 1)
    if version == 1:
        assert edgeline(workspace, "verify", "--workspace", str(workspace)).code == 0


def test_training_went_on_at_the_epoch_that_the_killed_run_had_reached(killed: str, workspace: Path) -> None:
    (summary,) = (workspace / "artifacts").glob("Trainer/model_run/*/training.json")
    assert json.loads(summary.read_text())["resumed_from_epoch"] >= 2


def test_the_next_run_says_that_it_resumes_makes_again_what_is_gone_and_pushes(
    killed: str, data: Path, workspace: Path, temporary: Path
) -> None:
    (file,) = (workspace / "artifacts").glob("EdgeConverter/edge_models/*/model_fp16.tflite")
    file.unlink()
    ended = run_dag(workspace, "--data", str(data), settings=SETTINGS)
    assert ended.code == 0, ended.stderr
    assert "resuming run" in ended.stderr
    assert ended.states["Trainer"] == "cached"
    assert "EdgeConverter runs again" in ended.stderr
    assert ended.states["EdgeConverter"] == "done"
    # Of this run, which ended well, and of those before, which were killed.
    assert list(temporary.iterdir()) == []
    assert edgeline(workspace, "verify", "--workspace", str(workspace)).code == 0
    assert (
        edgeline(workspace, "status", "--json", "--workspace", str(workspace)).json["production"]["version"]
        == 1
    )


def test_runs_leave_nothing_in_the_temporary_folder_however_they_end(
    killed: str, data: Path, workspace: Path, temporary: Path
) -> None:
    arguments = run_arguments(workspace, "--data", str(data), settings=(*SETTINGS, "seed=21"))
    run = WarmRun(arguments, workspace.parent)
    while not any(temporary.glob("edgeline-*/*")):
        assert run.poll() is None, "it ended without a temporary file"
        time.sleep(0.1)
    for worker in children(run.pid):
        os.kill(worker, signal.SIGKILL)
    assert run.wait() == 1
    assert list(temporary.iterdir()) == []

    failed = run_dag(workspace, "--data", str(data), "--set", "trainer.require_gpu=true", settings=SETTINGS)
    assert failed.code == 1, failed.stderr
    assert list(temporary.iterdir()) == []
