"""`edgeline tensorboard` in a process of its own, over HTTP."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from edgeline.errors import EdgelineError
from edgeline.records.events import EventWriter, LogOpened
from edgeline.workspace.runs import RunFolder
from runners.cli.server import serve
from tests.outputs import record_output
from tests.runners.cli.process import ROOT
from trainer_module.training.tensorboard import Board

TRAINED, LIVE = "20261005-091233", "20261012-091233"


@pytest.fixture
def add_run(tmp_path, make_run):
    """Makes the record of a run."""

    def make(run_id, number, **values):
        folder = RunFolder(tmp_path / "workspace/runs" / run_id)
        folder.path.mkdir(parents=True)
        folder.write(make_run(id=run_id, number=number, **values))
        return folder

    return make


def write_log(folder, loss):
    board = Board(folder, ("no", "yes"))
    board.epoch(1, {"loss": loss, "val_loss": loss}, np.eye(2, dtype=int))
    board.close()


def end_training(workspace, run, loss=None):
    """Ends the Trainer of a run; without a loss, it came from the cache."""
    artifact = workspace / "artifacts/Trainer/model_run/9"
    if loss is not None:
        write_log(artifact / "tensorboard", loss)
    record_output(run, "Trainer", "model_run", artifact)


@pytest.fixture
def workspace(tmp_path, add_run):
    """A workspace with a run that has trained and one that still trains."""
    workspace = tmp_path / "workspace"
    end_training(workspace, add_run(TRAINED, 1, outcome="pushed", exit_code=0), loss=0.5)
    live = add_run(LIVE, 2, outcome="running")
    folder = workspace / "checkpoints/0123456789abcdef/tensorboard"
    write_log(folder, 0.25)
    EventWriter(live.events)(LogOpened(str(folder)))
    return workspace


class Server:
    """The command in a process of its own."""

    def __init__(self, workspace, *arguments):
        command = [sys.executable, "-m", "runners.cli", "tensorboard", "--workspace", str(workspace)]
        command += ["--port", "0", *arguments]
        self.temporary = workspace.parent / "temporary"
        self.temporary.mkdir()
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        self.log = workspace.parent / "tensorboard.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stderr=log, stdout=log, start_new_session=True
            )
        self.url = self.wait_for(lambda: re.search(r"at (http://localhost:\d+/)", self.log.read_text()))[1]

    def wait_for(self, get):
        deadline = time.monotonic() + 120
        while not (value := get()):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)
        return value

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def list_runs(self):
        return sorted(self.get("data/runs"))

    def read_losses(self, run):
        try:
            return [value for _, _, value in self.get(f"data/plugin/scalars/scalars?run={run}&tag=loss")]
        except urllib.error.HTTPError as error:
            if error.code == 404:  # It has seen that the log was moved, and not yet found it again.
                return []
            raise

    def end(self, number):
        """Ends the command alone, as a service manager does; returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def list_processes(group):
    result = subprocess.run(["ps", "-o", "pid=", "-g", str(group)], capture_output=True, text=True)
    return result.stdout.split()


@pytest.mark.e2e
def test_the_current_training_is_shown_also_after_its_log_was_moved(workspace):
    with Server(workspace) as server:
        three = [f"{LIVE}/{name}" for name in ("eval", "steps", "train")]
        server.wait_for(lambda: server.list_runs() == three)
        assert server.read_losses(f"{LIVE}/train") == [0.25]
        ((tag, about),) = server.get("data/plugin/images/tags")[f"{LIVE}/eval"].items()
        assert (tag, about["samples"]) == ("confusion", 1)
        assert "columns are predictions" in about["description"]

        end_training(workspace, RunFolder(workspace / "runs" / LIVE), loss=0.125)
        for file in sorted((workspace / "checkpoints").rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        server.wait_for(lambda: server.read_losses(f"{LIVE}/train") == [0.125])

        assert server.end(signal.SIGTERM) == 0
        until = time.monotonic() + 10  # Its data server ends when it sees that it is alone.
        while list_processes(server.process.pid) and time.monotonic() < until:
            time.sleep(0.2)
        assert list_processes(server.process.pid) == []
    assert [path.name for path in server.temporary.iterdir() if "edgeline" in path.name] == []


@pytest.mark.e2e
def test_all_runs_are_shown_side_by_side_and_ctrl_c_ends_it(workspace, add_run):
    end_training(workspace, add_run("20261019-091233", 3, outcome="unchanged", exit_code=0))
    with Server(workspace, "--all") as server:
        six = [f"{run}/{name}" for run in (TRAINED, LIVE) for name in ("eval", "steps", "train")]
        server.wait_for(lambda: server.list_runs() == six)
        assert not re.search("TensorFlow|cuda|Warning|^[IWE][0-9]{4} ", server.log.read_text(), re.MULTILINE)
        assert [server.read_losses(f"{run}/eval") for run in (TRAINED, LIVE)] == [[0.5], [0.25]]
        assert server.end(signal.SIGINT) == 0


def test_a_run_without_a_training_is_refused_in_three_parts(workspace, add_run, command):
    add_run("20261019-091233", 3, outcome="refused", exit_code=4)
    result = command("tensorboard", "20261019-091233")
    found, why, do = result.err.splitlines()
    assert result.code == 2
    assert found == "Run 20261019-091233 has no logs for TensorBoard."
    assert "edgeline show" in do and "20261019-091233" in do and why


def test_a_workspace_without_a_training_is_refused_in_three_parts(command):
    result = command("tensorboard")
    assert (result.code, len(result.err.splitlines())) == (2, 3)


def test_a_server_that_ends_by_itself_is_an_error_with_a_remedy():
    with pytest.raises(EdgelineError, match=r"TensorBoard ended with exit code 3\.") as caught:
        serve("TensorBoard", [sys.executable, "-c", "raise SystemExit(3)"])
    assert "--port 0" in caught.value.do
