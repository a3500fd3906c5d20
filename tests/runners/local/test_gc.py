import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from edgeline.release import store
from edgeline.store.locations import measure_size
from edgeline.workspace.runs import discard_damaged, read_runs
from runners.local import gc
from tests.edgeline.release.candidates import make_candidate, snapshot
from tests.runners.cli.process import python
from tests.runners.local.past_runs import PastRuns


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A temporary folder of the test's own, because `gc` cleans that folder too."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def past(tmp_path):
    """Four weeks of runs with one schema, which is made once."""
    past = PastRuns(tmp_path / "workspace")
    for number in (1, 2, 3, 4):
        past.add(number, {"Schema": "s", "Trainer": f"week {number}"})
    return past


def list_numbers(past):
    return [run.number for run in read_runs(past.workspace)]


def count_rows(past):
    metadata = past.store
    return tuple(map(len, (metadata.get_artifacts(), metadata.get_executions(), metadata.get_contexts())))


def test_the_newest_runs_stay_with_the_outputs_that_they_made_or_reused(past):
    before = measure_size(past.workspace)
    waste = gc.collect_garbage(past.workspace, past.push, 2)
    assert list_numbers(past) == [3, 4]
    assert past.find("Schema", "s") and past.find("Trainer", "week 3") and past.find("Trainer", "week 4")
    assert past.find("Trainer", "week 2") is None and past.find("Trainer", "week 1") is None
    # The schema and two models; the executions of both runs and that of the schema, each with its run.
    assert count_rows(past) == (3, 5, 3 + 3)
    assert len(waste.artifacts) == len(waste.runs) == 2 and waste.rows > 20
    # Later rows reuse the space of removed rows in the file.
    assert before - measure_size(past.workspace) == pytest.approx(waste.size, rel=0.05)
    assert gc.collect_garbage(past.workspace, past.push, 2).size == 0


def test_a_dry_run_reports_the_same_waste_and_removes_nothing(past):
    before, rows_before = snapshot(past.workspace), count_rows(past)
    waste = gc.collect_garbage(past.workspace, past.push, 1, dry_run=True)
    assert snapshot(past.workspace) == before and count_rows(past) == rows_before
    assert gc.collect_garbage(past.workspace, past.push, 1) == waste


def test_outputs_that_stay_are_checked_file_by_file_after_their_run_is_gone(past):
    gc.collect_garbage(past.workspace, past.push, 1)
    assert discard_damaged(past.workspace) == []
    os.truncate(Path(past.find("Schema", "s").uri) / "more", 0)
    assert discard_damaged(past.workspace) == ["Schema runs again: more of its made has a different size."]


@pytest.mark.parametrize("outcome", ["refused", "held"])
def test_runs_without_a_push_do_not_displace_the_last_push_and_reusable_outputs(past, outcome):
    for number in (5, 6, 7):
        trained = {"Trainer": f"week {number}"} if outcome == "held" else {}
        past.add(number, {"Schema": f"s{number}", **trained}, outcome)
    gc.collect_garbage(past.workspace, past.push, 1)
    assert list_numbers(past) == [4, 7]
    assert past.find("Trainer", "week 4") and past.find("Schema", "s") and past.find("Schema", "s7")


def test_the_runs_of_production_and_candidate_stay_after_a_rollback(past, tmp_path):
    for run in read_runs(past.workspace):
        store.push(past.push, "shelf", make_candidate(tmp_path / run.id, run.id, run=run.id))
    store.rollback(past.push, "shelf", "the newest two are bad", 2)
    store.rollout(past.push, "shelf", 3, 10, "a canary")
    gc.collect_garbage(past.workspace, past.push, 1, in_store=3)
    assert list_numbers(past) == [2, 3, 4]


def test_each_model_keeps_its_own(past):
    past.add(5, {"Schema": "s", "Trainer": "other"}, model="sensor")
    gc.collect_garbage(past.workspace, past.push, 1, model="sensor")
    assert list_numbers(past) == [1, 2, 3, 4, 5]
    gc.collect_garbage(past.workspace, past.push, 1)
    assert list_numbers(past) == [4, 5]


def test_leftovers_of_killed_runs_go_and_checkpoints_for_the_next_run_stay(past, temporary):
    killed = past.workspace / "artifacts" / "Trainer" / "made" / "99"
    notes = past.workspace / "artifacts" / "Trainer" / ".system" / "executor_execution" / "7"
    torn = past.workspace / f".window.json.{'0' * 32}"
    old, new = (past.workspace / "checkpoints" / name for name in ("old", "new"))
    push, living = (temporary / f"edgeline-push-{name}" for name in ("dead", "living"))
    models = temporary / "edgeline-models-dead"  # from `edgeline predict`
    for folder in (killed, notes, old, new, push, living, models):
        folder.mkdir(parents=True)
        (folder / "x").write_bytes(b"x" * 500)
    torn.touch()
    for path in (old, old / "x", push, models):
        os.utime(path, (1e9, 1e9))
    past.add(5, {"Schema": "s"}, "killed")
    waste = gc.collect_garbage(past.workspace, past.push, 3)
    assert waste.leftovers.keys() == {notes, torn, old, push, models}
    assert new.exists() and living.exists()
    assert not any(path.exists() for path in (killed, notes, torn, old, push, models))
    past.add(6, {"Schema": "s", "Trainer": "done at last"})
    gc.collect_garbage(past.workspace, past.push, 1)
    assert not new.exists()


def test_a_run_keeps_itself_within_the_limit_by_the_oldest_runs_and_releases_first(past, tmp_path):
    for number in (1, 2, 3, 4):
        store.push(past.workspace / "push", "shelf", make_candidate(tmp_path / str(number), str(number)))
    push, size = str(past.workspace / "push"), measure_size(past.workspace)
    assert gc.keep_within(past.workspace, (size + 1) / 1e9, push) == [] and list_numbers(past) == [1, 2, 3, 4]
    # With a little less, the oldest run and the oldest release go.
    assert gc.keep_within(past.workspace, (size - 5000) / 1e9, push) == [] and list_numbers(past) == [2, 3, 4]
    assert [release.version for release in store.releases(push, "shelf")] == [2, 3, 4]
    (tmp_path / "link").symlink_to(past.workspace)
    (warning,) = gc.keep_within(tmp_path / "link", 1e-6, push)
    assert "workspace.max_gb is 1e-06" in warning and list_numbers(past) == [4]
    assert [release.version for release in store.releases(push, "shelf")] == [3, 4]
    assert store.verify(push, "shelf") == []


def test_cached_spans_stay_with_their_model_and_go_last_where_room_is_short(past):
    ours, gone = (past.workspace / "spans" / model / "span-00001-0" for model in ("shelf", "gone"))
    for folder in (ours, gone):
        folder.mkdir(parents=True)
        (folder / "made-0").write_bytes(b"x" * 5000)
    assert gc.collect_garbage(past.workspace, past.push, 4).leftovers.keys() == {gone.parent}
    assert ours.exists() and not gone.exists()
    gc.keep_within(past.workspace, (measure_size(past.workspace) - 1) / 1e9, past.push)
    assert ours.exists() and len(list_numbers(past)) < 4
    gc.keep_within(past.workspace, 1e-6, past.push)
    assert not ours.exists() and list_numbers(past) == [4]


def test_another_version_of_ml_metadata_is_left_alone(past):
    with sqlite3.connect(past.workspace / "metadata.sqlite") as database:
        database.execute("UPDATE MLMDEnv SET schema_version = 11")
    with pytest.raises(Exception, match="has schema 11 of ML Metadata"):
        gc.collect_garbage(past.workspace, past.push, 1, dry_run=True)


@pytest.mark.e2e
def test_a_gc_after_one_that_was_killed_at_any_file_operation_ends_like_an_undisturbed_one(
    tmp_path, case_seed
):
    past = PastRuns(tmp_path / "workspace")
    for number in (1, 2):
        past.add(number, {"Schema": "s", "Trainer": f"week {number}"})
    shutil.copytree(past.workspace, tmp_path / "base")
    which = () if case_seed is None else (str(1 + case_seed % 8), "8")
    result = python("-m", "tests.runners.local.kill_gc_at_every_step", past.workspace, *which)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 20
