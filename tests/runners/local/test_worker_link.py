"""Leftovers of the worker's process, which ends before TFX here; tests/e2e has the whole DAG."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from edgeline.errors import UsageError, WorkspaceLocked
from edgeline.workspace.runs import RunFolder
from runners.local.lock import hold
from runners.local.worker import _prepare
from runners.local.worker_link import run_worker
from runners.shared.inputs import ROOT
from tests.outputs import write_run

# Python runs this first in each process: the worker leaves a file, and ends as the test sets it.
WORKER = """\
import os, sys, tempfile
if "runners.local.worker" in sys.orig_argv:
    place = os.path.join(tempfile.gettempdir(), "__autograph_generated_file.py")
    open(place, "w").close()
    os.mkdir(tempfile.mkdtemp() + "/deeper")
    print("left", place, flush=True)
    {end}
"""
ENDS = {
    "fails": "pass",
    "is killed": "os.kill(os.getpid(), 9)",
    "exits": "os._exit(7)",
    "waits for its parent": "os._exit(os.read(0, 1) and 1)",
}
PARENT = """\
import sys
from pathlib import Path
from runners.local.lock import hold
from edgeline.workspace.runs import RunFolder
from runners.local.worker_link import run_worker
folder = RunFolder(Path(sys.argv[1]))
with hold(folder.path.parent.parent) as lock:
    run_worker(folder, lock.descriptor, print)
"""


@pytest.fixture
def start(tmp_path, make_run, monkeypatch):
    """A function that prepares a run whose worker ends in one of those ways, and the temporary folder."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def prepare(name, end):
        (tmp_path / "sitecustomize.py").write_text(WORKER.format(end=ENDS[end]))
        # Longer than the path of a socket may be.
        return write_run(tmp_path / ("a" * 100), make_run(id=name, workload_source="no-such-workload"))

    return prepare, temporary


def link(folder):
    with hold(folder.path.parent.parent) as lock:
        return run_worker(folder, lock.descriptor, lambda event: None)


@pytest.mark.parametrize(
    ("end", "message"), [("fails", "no-such-workload"), ("exits", "exit code 7"), ("is killed", "SIGKILL")]
)
def test_a_run_leaves_nothing_in_the_temporary_folder_however_its_worker_ends(start, end, message):
    prepare, temporary = start
    folder = prepare("20261005-091233", end)

    assert message in link(folder).found
    place = Path(next(line for line in folder.log.read_text().splitlines() if line.startswith("left"))[5:])
    assert temporary in place.parents
    # The path of a socket in it is short enough.
    assert len(str(place.parent.relative_to(temporary))) < 48
    assert list(temporary.iterdir()) == []


def test_folders_of_pythonpath_are_relative_to_the_folder_in_which_the_run_was_started(
    start, tmp_path, monkeypatch
):
    prepare, _ = start
    folder = prepare("20261005-091233", "exits")
    (tmp_path / "mine").mkdir()
    (tmp_path / "sitecustomize.py").rename(tmp_path / "mine" / "sitecustomize.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"mine{os.pathsep}/nowhere")

    assert "exit code 7" in link(folder).found


def test_another_thread_than_the_main_one_runs_a_worker_too(start):
    prepare, _ = start
    with ThreadPoolExecutor() as threads:
        assert "exit code 7" in threads.submit(link, prepare("20261005-091233", "exits")).result().found


def test_leftovers_of_a_killed_parent_are_removed_by_the_next_run_of_its_workspace_alone(start):
    prepare, temporary = start
    folder = prepare("20261005-091233", "waits for its parent")
    (temporary / "edgeline-1-2-of-another").mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder.path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ['PYTHONPATH']}"},
    )
    deadline = time.monotonic() + 60
    while "left" not in (folder.log.read_text() if folder.log.exists() else ""):
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert len(list(temporary.iterdir())) == 2

    next_run = prepare("20261005-091234", "fails")
    problem = None
    while problem is None:
        assert time.monotonic() < deadline
        with suppress(WorkspaceLocked):  # Until the worker has seen that its parent is gone.
            problem = link(next_run)
    assert problem.exit_code == 2
    assert [path.name for path in temporary.iterdir()] == ["edgeline-1-2-of-another"]


def test_a_worker_without_the_record_of_its_run_says_so(tmp_path):
    with pytest.raises(UsageError, match="is missing, or not the record of a run"):
        _prepare(RunFolder(tmp_path), None, None)
