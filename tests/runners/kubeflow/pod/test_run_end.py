"""An MLflow server in a process of its own, which the last step of a run on a cluster updates."""

import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from edgeline.records.verdict import PUSH, Push
from edgeline.release import store
from edgeline.report import archive
from runners.kubeflow.pod import entry as kubeflow_entry
from runners.kubeflow.pod import run_end
from tests.edgeline.release.candidates import make_candidate
from tests.edgeline.report.runs import a_run
from tests.runners.kubeflow.pod.test_entry import ADMISSION, PUSHED, SCHEMA, admit, make_args, make_parameters

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The URL of an MLflow that keeps its files itself."""
    folder = tmp_path_factory.mktemp("server")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
    ]
    command += ["--artifacts-destination", str(folder / "files"), "--port", "0", "--workers", "1"]
    log, environment = folder / "log", {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 400
        while not (match := re.search(r"running on (http://\S+)", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield match[1]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def dead_url():
    """The URL of a port that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{free.getsockname()[1]}"


def push_run(root, run, number):
    """Pushes a release, and writes the outputs of all steps before the last one."""
    release = store.push(root / "push", "shelf", make_candidate(root / run, run, run=run))
    facts = a_run(id=run, number=number, engine="kubeflow", version=release.version)
    archive.write(root / "push/runs/shelf" / run, facts, f"<!DOCTYPE html><title>{run}</title>")
    PUSH.write(root / "shelf" / run / "Pusher/pushed_model", Push("pushed", release.version, ("It is new.",)))


def end_run(root, run, uri, step="ReleaseGate"):
    """Runs the step that ends a run, with folders in place of URIs; returns its exit code."""
    executor, parameters, inputs = (
        (ADMISSION, make_parameters(root, run), PUSHED) if step == "ReleaseGate" else (SCHEMA, {}, {})
    )
    registry, at = ("--registry", uri), root / "shelf" / run
    return kubeflow_entry.main(make_args(root, step, executor, parameters, *registry, at=at, **inputs), root)


def test_the_last_step_mirrors_the_run_and_those_that_found_no_registry(
    tmp_path, server, dead_url, capfd, caplog
):
    from mlflow import MlflowClient

    push_run(tmp_path, "run-1", 1)
    assert end_run(tmp_path, "run-1", dead_url) == 0
    assert capfd.readouterr().err.splitlines()[-1].startswith("Pushed: ")
    assert f"MLflow at {dead_url} lacks runs or releases" in caplog.text
    assert "Traceback" not in caplog.text

    caplog.clear()
    push_run(tmp_path, "run-2", 2)
    assert end_run(tmp_path, "run-2", server) == 0 and "MLflow" not in caplog.text
    assert end_run(tmp_path, "run-3", server, "ImportSchemaGen") == 1

    client = MlflowClient(server)
    mirrors = client.search_runs([client.get_experiment_by_name("shelf").experiment_id])
    assert Counter(run.data.tags["outcome"] for run in mirrors) == {"pushed": 2, "failed": 1}
    runs = {run.info.run_name: run for run in mirrors}
    run = runs["run-2"]
    assert run.data.params == {"trainer.epochs": "16", "seed": "20"}
    assert run.data.metrics["accuracy"] == 370 / 400 and run.data.tags["window"] == "ab" * 32
    page = client.download_artifacts(run.info.run_id, "report.html", str(tmp_path))
    assert "<title>run-2</title>" in Path(page).read_text()
    aliases = client.get_registered_model("shelf").aliases
    known = {alias: client.get_model_version("shelf", number).run_id for alias, number in aliases.items()}
    assert known == {"production": runs["run-2"].info.run_id, "previous": runs["run-1"].info.run_id}
    assert "ImportSchemaGen failed" in runs["run-3"].data.tags["reasons"]


class Refusing(http.server.BaseHTTPRequestHandler):
    """A broken server, which notes the login of each request."""

    def do_GET(self):
        self.server.logins.append(self.headers["Authorization"])
        self.send_error(500)

    do_POST = do_GET

    def log_message(self, *_):
        pass


HELD = Push("held", reasons=("Accuracy is 0.71.",))


def test_a_broken_registry_changes_no_exit_code_and_gets_the_login_of_the_environment(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as broken:
        broken.logins = []
        threading.Thread(target=broken.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{broken.server_address[1]}"
        assert admit(tmp_path, HELD, "--registry", uri) == 3
        broken.shutdown()
    assert f"MLflow at {uri} lacks runs or releases" in caplog.text and "t0ken" not in caplog.text
    assert {*broken.logins} == {"Bearer t0ken"}


def test_a_registry_that_takes_too_long_is_given_up(tmp_path, dead_url, monkeypatch, caplog):
    monkeypatch.setattr(run_end, "_PATIENCE_S", 0.1)
    assert admit(tmp_path, HELD, "--registry", dead_url) == 3
    assert f"MLflow at {dead_url} lacks this run: no answer within 0.1 s." in caplog.text
