"""Commands on a full or read-only disk: they work, or say why not, and leave no half-written file."""

import json
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

from edgeline.release import store
from edgeline.workspace.runs import RunFolder
from runners.cli.main import main
from tests.conftest import make_workspace
from tests.disks import fill, make_read_only
from tests.edgeline.release.candidates import make_candidate, snapshot
from tests.outputs import record_output
from tests.runners.cli.process import ROOT, add_week

READS = [
    "status",
    "runs",
    "show latest",
    "report latest",
    "verify",
    "data list --data D/data",
    "diff latest latest",  # without its page
]
WRITES = [
    "rollback --reason r",
    "promote 1 --reason r",
    "report --index",
    "keys new --out D/keys",
    "data exclude span-00001 --data D/data --reason dark",
    "data import D/table.csv --label label --data D/other",
    "run --data D/data",
    "run --data D/data --workspace D/other",
    "kubeflow compile -o D/new/shelf.yaml --set kubeflow.image=i:1 --set kubeflow.pipeline_root=s3://b/r"
    " --set kubeflow.data=pvc://d/d --set kubeflow.push=pvc://d/p --set kubeflow.checkpoints=pvc://d",
]


@pytest.fixture
def disk(small_disk, tmp_path, make_run, monkeypatch):
    make_workspace(small_disk / "workspace", make_run)
    for name in ("one", "two"):
        store.push(small_disk / "workspace/push", "shelf", make_candidate(tmp_path / name, name, 100))
    add_week(small_disk / "data")
    rows = (f"{number % 7},{'pqr'[number % 3]},{'xy'[number % 5 > 1]}\n" for number in range(200))
    (small_disk / "table.csv").write_text("a,b,label\n" + "".join(rows))
    monkeypatch.chdir(small_disk)
    yield small_disk
    monkeypatch.undo()


@pytest.mark.parametrize("make", [fill, make_read_only])
def test_a_command_on_a_full_or_read_only_disk_works_or_says_why_not_and_changes_nothing(disk, make, capsys):
    make(disk)
    before = snapshot(disk)
    for command in (*READS, *WRITES):
        code = main(command.replace("D/", f"{disk}/").split())
        error = capsys.readouterr().err.strip()
        if command in READS:
            assert code == 0, (command, error)
            continue
        lines = [line for line in error.splitlines() if not line.startswith("importing ")]
        assert code == 1 and len(lines) == 3, (command, error)
        assert "No space left" in error or "Read-only" in error, (command, error)
        assert str(disk) in error or "workspace" in error, (command, error)
        after = {name: content for name, content in snapshot(disk).items() if content or name in before}
        assert {**after, "workspace/lock": b""} == {**before, "workspace/lock": b""}, command


def test_tensorboard_that_finds_no_room_for_its_links_says_where_to_make_some(disk, monkeypatch, capsys):
    (folder,) = map(RunFolder, (disk / "workspace/runs").iterdir())
    log = disk / "workspace/artifacts/Trainer/model_run/9"
    (log / "tensorboard").mkdir(parents=True)
    record_output(folder, "Trainer", "model_run", str(log))
    fill(disk)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(disk)])
    assert main(["tensorboard"]) == 1
    output = capsys.readouterr()
    assert str(log) in output.out
    found, _, do = output.err.splitlines()
    assert "No usable temporary directory" in found and str(disk) in found and "set TMPDIR" in do


def test_a_rollback_with_a_read_only_workspace_is_done_and_leaves_mlflow_for_later(
    disk, make_run, tmp_path, capsys
):
    shutil.rmtree(disk / "workspace/runs")
    push = tmp_path / "push"
    shutil.move(disk / "workspace/push", push)
    make_workspace(disk / "workspace", make_run, push=str(push), registry="sqlite:///mlflow.db")
    make_read_only(disk)
    assert main(["rollback", "--reason", "r"]) == 0
    output = capsys.readouterr()
    assert output.out == "Version 1 of shelf is in production again.\n"
    assert re.search(r"next run or `\S*edgeline ui.*` updates MLflow: Read-only file system", output.err)
    assert store.current(push, "shelf").version == 1


def test_gc_frees_a_full_disk_that_has_the_temporary_files_too(disk, make_run):
    make_workspace(disk / "workspace", make_run, id="20261004-091233", number=-1)
    fill(disk)
    code = (
        "import sys, tempfile; tempfile._candidate_tempdir_list = lambda: [sys.argv[1]]\n"
        "from runners.cli.main import main; sys.exit(main(['gc', '--keep', '1', '--json']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(disk)],
        cwd=disk,
        env={"PYTHONPATH": str(ROOT), "TMPDIR": str(disk), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["freed_bytes"] > 0
    assert not (disk / "workspace/runs/20261004-091233").exists()


def test_an_import_that_finds_no_room_for_its_last_file_adds_no_span_and_can_be_repeated(disk, capsys):
    fill(disk)
    with (disk / "filler").open("r+b") as filler:
        filler.truncate((disk / "filler").stat().st_size - 8192)
    command = ["data", "import", f"{disk}/table.csv", "--label", "label", "--data", f"{disk}/other"]
    assert main(command) == 1 and "No space left on device" in capsys.readouterr().err
    assert not list((disk / "other").glob("span-*"))
    (disk / "filler").unlink()
    assert main(command) == 0
    assert [path.name for path in (disk / "other").glob("span-*")] == ["span-00001"]
