"""Places where no run can work, or only its mirror cannot."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeline.cli.main import main
from edgeline.workspace.runs import read_runs
from runners.local.run import run
from runners.shared.run_options import NamedSettings, RunOptions
from tests.runners.cli.process import add_week


@pytest.mark.parametrize("name", ["wo [1] rk", "a*b", "why?"])
def test_a_workspace_whose_path_is_a_pattern_is_refused(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--sample", "--workspace", name]) == 2
    assert "has the character" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.fixture
def options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    add_week(tmp_path / "photos")
    return RunOptions(NamedSettings("shelf", None, ()), tmp_path / "photos", tmp_path / "workspace")


def test_a_run_goes_on_without_a_mirror_where_that_cannot_write(options, capsys):
    options.workspace.mkdir()
    (options.workspace / "mlflow").write_text("in the way")
    began = []

    def start(arguments, *_):
        began.append(Path(arguments[0]).name)
        return subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, start_new_session=True)

    assert run(options, start) == 1
    assert began == [read_runs(options.workspace)[-1].id]
    assert "MLflow lacks this run: File exists: " in capsys.readouterr().out


def test_a_run_whose_worker_cannot_be_started_is_recorded_with_the_reason(options):
    def start(*_):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    assert run(options, start) == 1
    (record,) = read_runs(options.workspace)
    assert record.outcome == "failed" and record.reasons == ("Resource temporarily unavailable.",)
