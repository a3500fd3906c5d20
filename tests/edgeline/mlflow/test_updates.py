"""The processes that update MLflow for a run, a rollback or `edgeline ui`."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import pytest

from edgeline.errors import EdgelineError
from edgeline.mlflow import updates
from edgeline.release import store
from edgeline.report import archive
from edgeline.workspace.known_runs import resolve_place
from edgeline.workspace.place import Place
from edgeline.workspace.runs import RunFolder, find_registry
from pipeline.settings import load_settings
from tests.edgeline.release.candidates import make_candidate
from tests.edgeline.report.runs import a_run
from tests.edgeline.test_wheel import AS_ON_WINDOWS
from tests.runners.cli.process import ROOT, edgeline


@pytest.fixture
def workspace(tmp_path, make_run, tables):
    """Makes a workspace with two runs that pushed, which MLflow does not have."""
    workspace = tmp_path / "workspace"
    push = str(workspace / "push")
    for number, name in enumerate(("20261005-030000", "20261012-030000"), start=1):
        folder = RunFolder(workspace / "runs" / name)
        folder.path.mkdir(parents=True)
        uri = f"sqlite:///{workspace / 'mlflow.db'}"
        folder.write(make_run(id=name, number=number, outcome="pushed", push=push, registry=uri))
        archive.write(folder.path, a_run(id=name, number=number), "<!DOCTYPE html>")
        store.push(push, "shelf", make_candidate(tmp_path / name, name, run=name))
    shutil.copy(tables, workspace / "mlflow.db")
    return workspace


def test_a_workspace_that_was_copied_has_a_registry_of_its_own(workspace, tmp_path):
    settings, names = load_settings({}), ["20261005-030000", "20261012-030000"]
    for name in names:
        folder = RunFolder(workspace / "runs" / name)
        log = str(folder.path.absolute() / "run.log")
        registry = settings.registry.of(workspace)
        folder.write(replace(folder.read(), log=log, settings=settings.recorded(), registry=registry))
    copy = tmp_path / "copy"
    shutil.copytree(workspace, copy)
    last, root, model = resolve_place(Place(copy, None))
    assert find_registry(last, copy) == f"sqlite:///{copy / 'mlflow.db'}"
    assert [facts.run.id for _, facts in updates._read_ended_runs(copy, model, root)] == names
    assert find_registry(replace(last, registry="http://mlflow"), copy) == "http://mlflow"
    assert find_registry(replace(last, registry=None), copy) is None


def find_closed_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def query(workspace, sql):
    with sqlite3.connect(workspace / "mlflow.db") as database:
        return dict(database.execute(sql).fetchall())


def wait_for(look):
    until = time.monotonic() + 200
    while not (result := look()) and time.monotonic() < until:
        time.sleep(0.2)
    return result


@pytest.mark.e2e
def test_a_rollback_imports_no_mlflow_and_mlflow_follows(workspace):
    script = (
        "import sys\nfrom runners.cli.main import main\ncode = main(sys.argv[1:])\n"
        "sys.exit(99 if {'mlflow', 'sqlalchemy', 'pydantic', 'pandas'} & set(sys.modules) else code)"
    )
    command = [sys.executable, "-c", script, "rollback", "--reason", "r", "--workspace", str(workspace)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0 and "MLflow is updated" in process.stdout
    search = ["pgrep", "-f", f"edgeline.mlflow.updates .*{workspace}"]
    assert wait_for(lambda: subprocess.run(search, capture_output=True).returncode)
    assert updates.locate_log(workspace).read_text() == ""
    assert query(workspace, "SELECT alias, version FROM registered_model_aliases") == {"production": 1}
    names = ("20261005-030000", "20261012-030000")
    assert query(workspace, "SELECT name, status FROM runs") == dict.fromkeys(names, "FINISHED")


@pytest.mark.e2e
def test_a_run_ends_with_a_warning_where_mlflow_cannot_be_reached_and_the_next_mirrors_it(
    workspace, make_run
):
    run = make_run(push=str(workspace / "push"), registry=find_closed_address())
    problem = updates.finish(updates.start(run, workspace, wait=True), workspace)
    assert "lacks runs or releases" in problem and "Traceback" not in problem
    assert "The next run, promote, rollback or `edgeline ui` adds what is missing." in problem
    run = make_run(push=run.push, registry=f"sqlite:///{workspace / 'mlflow.db'}")
    assert updates.finish(updates.start(run, workspace, wait=True), workspace) == ""
    assert len(query(workspace, "SELECT name, status FROM runs")) == 2


def test_a_rollback_starts_no_mlflow_if_the_last_run_had_none(tmp_path, workspace, make_run):
    folder = RunFolder(workspace / "runs" / "20261019-030000")
    folder.path.mkdir()
    folder.write(make_run(id=folder.path.name, number=3, push=str(workspace / "push"), outcome="held"))
    assert "MLflow" not in edgeline("rollback", "--reason", "r", cwd=tmp_path).stdout
    assert not (workspace / "mlflow").exists()


def test_a_database_that_nobody_serves_is_reported_in_three_parts(workspace):
    uri = f"postgresql+psycopg://me@{find_closed_address()[7:]}/mlflow"
    with pytest.raises(EdgelineError, match=r"me@127.*lacks runs or releases: .*refused") as caught:
        updates.mirror_workspace(uri, workspace, "shelf", str(workspace / "push"))
    assert caught.value.why and "edgeline ui" in caught.value.do


def test_a_server_of_another_version_that_refuses_an_update_is_named_with_both_versions(workspace):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            is_known = self.path == "/version"
            self.send_response(200 if is_known else 400)
            self.end_headers()
            self.wfile.write(answers[0].encode() if is_known else b"no such endpoint")

        def log_message(self, *_):
            pass

    own = version("mlflow")
    answers = ["1.2.3", own, "<p>"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        while answers:
            with pytest.raises(EdgelineError, match="lacks runs or releases") as caught:
                updates.mirror_workspace(uri, workspace, "shelf", str(workspace / "push"))
            named = f"The server is MLflow 1.2.3, and the installed one is {own}. "
            why = named if answers.pop(0) == "1.2.3" else ""
            assert caught.value.why == f"{why}MLflow only mirrors them: no run, push or rollback is affected."
        server.shutdown()


def test_an_update_needs_nothing_that_windows_lacks(workspace):
    run = "from edgeline.mlflow.updates import _run\n_run(*sys.argv[1:])"
    script = f"import sys\nlocks = []{AS_ON_WINDOWS}{run}"
    arguments = find_closed_address(), str(workspace), "shelf", str(workspace / "push")
    process = subprocess.run(
        (sys.executable, "-c", script, *arguments), cwd=ROOT, capture_output=True, text=True
    )
    assert "lacks runs or releases" in process.stderr and "refused" in process.stderr


def get_production(url):
    about = f"{url}/api/2.0/mlflow/registered-models/alias?name=shelf&alias=production"
    with urllib.request.urlopen(about, timeout=60) as answer:
        return json.load(answer)["model_version"]["version"]


def read_columns(browser, page):
    """Returns the names of the columns of MLflow's table of runs, from left to right."""
    tab = browser.new_page(viewport={"width": 1800, "height": 900})
    tab.goto(page)
    tab.wait_for_selector(".ag-header-cell >> text=outcome", timeout=200_000)
    cells = tab.locator(".ag-header-cell").all()
    names = [(cell.bounding_box()["x"], cell.inner_text().strip()) for cell in cells]
    tab.close()
    return [name for _, name in sorted(names) if name]


@pytest.mark.e2e
def test_the_pages_are_of_what_is_on_disk_and_ctrl_c_ends_them(workspace, browser):
    command = [sys.executable, "-m", "runners.cli", "ui", "--workspace", str(workspace), "--port", "0"]
    log = workspace.parent / "ui.log"
    with log.open("wb") as file:
        server = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)
    try:
        url = wait_for(lambda: re.search(r"running on (http://\S+)", log.read_text()))[1]
        assert get_production(url) == "2"
        page = re.search(r"Their page: .*(/#/experiments/\S+)", log.read_text())[1]
        names = read_columns(browser, url + page)
        assert names[:4] == ["Run Name", "Created", "outcome", "accuracy"]
        store.rollback(workspace / "push", "shelf", "two is worse")
        updates.mirror_workspace(url, workspace, "shelf", str(workspace / "push"))
        assert get_production(url) == "1"
        os.killpg(server.pid, signal.SIGINT)
        assert server.wait(60) == 0
        children = ["pgrep", "-f", f"mlflow.*{workspace}"]
        assert subprocess.run(children, capture_output=True).returncode == 1
        _, heading, last = log.read_text().partition("Shutting down")
        assert heading and "Traceback" not in last
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
