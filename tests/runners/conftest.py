import sys

import pytest

from pipeline.kubeflow_settings import KubeflowSettings
from runners.cli.main import main
from runners.kubeflow import runs as kubeflow_runs
from runners.kubeflow.access import connect
from runners.kubeflow.watch import Patience
from runners.timers.scheduled_run import ScheduledRun
from runners.timers.weekly_time import parse_weekly_time
from tests.runners.kubeflow.commands_run import Ended, Terminal
from tests.runners.kubeflow.server import serve

QUICK = Patience(poll_s=0.002, start_s=0.03, hopeless_s=0.1, quiet_s=60.0, settle_s=2.0, outage_s=0.3)
# Characters of paths and settings that systemd, cron or a shell would replace, split or drop.
ODD = "a \"b\" 'c' 100% $HOME ${HOME} \\ ü"
ODD_ARGUMENTS = (
    *(ODD, "x={a: [1, 2]}", ";", "%h", "$$", "", "a\\tb"),
    *("\\", " x ", "-x", "'", '"', "#no comment"),
)


@pytest.fixture
def command(tmp_path, capsys, monkeypatch):
    """Runs a command of `edgeline` in this process, in the folder of the test; returns how it ended."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: Ended(main([*map(str, arguments)]), *capsys.readouterr())


@pytest.fixture
def server():
    """A server that answers as Kubeflow Pipelines does."""
    with serve() as server:
        yield server


@pytest.fixture
def cluster(server):
    """A connection to that server."""
    return connect(KubeflowSettings(), server.url, {})


@pytest.fixture
def edgeline(server, tmp_path, capsys, monkeypatch):
    """A terminal for `edgeline kubeflow` that knows no server but this one."""
    monkeypatch.setattr(kubeflow_runs, "PATIENCE", QUICK)
    for name in ("KFP_ENDPOINT", "KFP_TOKEN", "KFP_COOKIES", "KF_PIPELINES_UI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return Terminal(server, tmp_path, capsys)


@pytest.fixture
def run(tmp_path):
    """A scheduled run with odd characters in its folder and arguments, of a program that notes its call."""
    folder, programs = tmp_path / ODD, tmp_path / "100% $HOME ü"
    folder.mkdir()
    programs.mkdir()
    (folder / "work space").mkdir()
    program = programs / "edgeline"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "json.dump([os.getcwd(), sys.argv[1:]], open('called.json', 'w'))\n"
        "print('printed by the run')\n"
        "sys.exit(int(os.environ.get('CODE', '0')))\n"
    )
    program.chmod(0o755)
    return ScheduledRun(
        name="edgeline-shelf-0123abcd",
        workload="shelf",
        command=(str(program), *ODD_ARGUMENTS),
        folder=folder,
        workspace=folder / "work space",
        at=parse_weekly_time("Mon 03:00"),
    )
