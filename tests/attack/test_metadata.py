"""Attacks on ML Metadata's database: damaged or lost, it costs a run its cache and nothing else."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from edgeline.errors import EdgelineError
from runners.local import gc
from runners.local.metadata_rows import METADATA, check_database, skip_used_ids
from runners.local.run import run
from runners.shared.run_options import NamedSettings, RunOptions
from tests.runners.cli.process import add_week
from tests.runners.local.past_runs import PastRuns

NODES = """
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Schema

@component
def Write(schema: OutputArtifact[Schema], text: Parameter[str]):
    with open(schema.uri + "/schema.pbtxt", "x") as file:
        file.write(text)
"""


def zero(path, at, count):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\0" * count)


def drop_table(path):
    with closing(sqlite3.connect(path)) as rows, rows:
        rows.execute("DROP TABLE Event")


DAMAGES = {
    "text": lambda path: path.write_bytes(b"no database " * 100),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "header": lambda path: zero(path, 0, 100),
    "schema": lambda path: zero(path, 100, 3_000),
    "pages": lambda path: zero(path, path.stat().st_size // 2, 20_000),
    "table": drop_table,
}


@pytest.fixture
def past(tmp_path):
    """Makes a workspace with two runs, their outputs and their metadata."""
    past = PastRuns(tmp_path / "work space")
    for number in (1, 2):
        past.add(number, {"Schema": "s", "Trainer": f"t{number}"})
    return past


@pytest.mark.drawn(2)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_database_is_named_put_aside_by_the_command_of_the_message_and_the_run_goes_on(
    past, tmp_path, capsys, damage
):
    add_week(tmp_path / "photos")
    named = NamedSettings("shelf", None, ("registry.enabled=false",))
    options = RunOptions(named, tmp_path / "photos", past.workspace)
    started = []

    def start(arguments, *_):
        started.append(arguments)
        return subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, start_new_session=True)

    database = past.workspace / METADATA
    damage(database)
    for _ in range(2):  # it does not go away by itself
        with pytest.raises(EdgelineError, match="is damaged") as caught:
            run(options, (), start)
        assert caught.value.found.startswith(f"{database} is damaged: ") and not started
    with pytest.raises(EdgelineError, match="is damaged"):
        gc.collect_garbage(past.workspace, past.push, 1)
    command = caught.value.do.split("`")[1]
    subprocess.run(command, shell=True, check=True)
    run(options, (), start)
    assert started and not database.exists()


def test_a_database_that_is_busy_is_not_called_damaged(past, monkeypatch):
    monkeypatch.setattr("runners.local.metadata_rows._PATIENCE_S", 0.01)
    with closing(sqlite3.connect(past.workspace / METADATA, isolation_level=None)) as rows:
        rows.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EdgelineError, match="cannot be used: database is locked") as caught:
            check_database(past.workspace / METADATA)
    assert "mv" not in caught.value.do


def list_folders(past):
    return {path: path.stat().st_mtime_ns for path in (past.workspace / "artifacts").glob("*/*/*")}


@pytest.mark.parametrize("loss", ["lost", "empty", "an old copy"])
def test_a_lost_database_gives_no_id_of_a_folder_that_exists(past, tmp_path, loss):
    database, before = past.workspace / METADATA, list_folders(past)
    used = {int(path.name) for path in before}
    if loss == "lost":
        database.unlink()
    elif loss == "empty":
        database.write_bytes(b"")
    else:
        old = PastRuns(tmp_path / "old")
        old.add(1, {"Schema": "s"})
        shutil.copy(tmp_path / "old" / METADATA, database)
    for _ in range(2):
        skip_used_ids(database, past.workspace / "artifacts")
    check_database(database)

    later = PastRuns(past.workspace)
    later.add(3, {"Schema": "new", "Trainer": "new"})
    ids = {int(path.name) for path in list_folders(later)} - used
    assert len(ids) == 2 and min(ids) > max(used)


def test_nothing_is_made_where_there_are_no_outputs_and_other_names_are_no_ids(tmp_path):
    skip_used_ids(tmp_path / METADATA, tmp_path / "artifacts")
    (tmp_path / "artifacts" / "Trainer" / "model" / "no number").mkdir(parents=True)
    (tmp_path / "artifacts" / "Trainer" / ".system" / "driver_execution" / "1700000000").mkdir(parents=True)
    skip_used_ids(tmp_path / METADATA, tmp_path / "artifacts")
    assert not (tmp_path / METADATA).exists()


@pytest.mark.e2e
def test_steps_of_tfx_never_meet_the_folders_of_a_lost_database(tmp_path, monkeypatch):
    from tfx.orchestration.metadata import sqlite_metadata_connection_config
    from tfx.orchestration.pipeline import Pipeline

    from runners.local.step_runner import StepRunner

    (tmp_path / "written.py").write_text(NODES)
    monkeypatch.syspath_prepend(tmp_path)
    from written import Write

    for name in ("one", "two"):
        (tmp_path / METADATA).unlink(missing_ok=True)
        skip_used_ids(tmp_path / METADATA, tmp_path / "artifacts")
        connection = sqlite_metadata_connection_config(str(tmp_path / METADATA))
        nodes = [Write(text=name)]
        StepRunner(name, lambda _: None, tmp_path / "checkpoints").run(
            Pipeline("drill", str(tmp_path / "artifacts"), connection, components=nodes)
        )
    files = sorted((tmp_path / "artifacts").glob("Write/schema/*/schema.pbtxt"))
    assert [file.read_text() for file in files] == ["one", "two"]
