import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgeline.errors import EdgelineError, WorkspaceLocked
from edgeline.release import durable, store, writing
from tests.disks import fill, limit_file_size, make_read_only
from tests.edgeline.release.candidates import find_problems, make_candidate, snapshot

pytestmark = pytest.mark.e2e

PROJECT = Path(__file__).parents[3]


@pytest.mark.drawn(3)
@pytest.mark.parametrize("action", ["push", "withdraw", "repair", "collect", "rotate", "trust"])
def test_readers_have_the_old_or_the_new_release_after_a_kill_at_any_file_operation(root, action, case_seed):
    words = [str(root.parent), action, "" if case_seed is None else str(case_seed)]
    process = subprocess.run(
        [sys.executable, "-m", "tests.edgeline.release.kill_at_every_step", *words],
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    assert process.returncode == 0, process.stderr
    kills, old = map(int, process.stdout.split())
    # Unless it is a repair, some kills come after the rename that counts, or the hook missed it.
    assert old > (10 if case_seed is None else 0) and kills > 10
    assert case_seed is not None or (kills > old) == (action != "repair")


def test_two_pushers_at_once_get_versions_of_their_own_and_readers_never_see_half(root, tmp_path):
    store.push(root, "shelf", make_candidate(tmp_path / "zero", "zero"))
    command = [sys.executable, "-m", "tests.edgeline.release.push_many", str(root), str(tmp_path)]
    writers = [subprocess.Popen([*command, name, "10"], cwd=PROJECT) for name in ("one", "two")]
    versions = []
    while any(writer.poll() is None for writer in writers):
        release = store.current(root, "shelf")
        assert find_problems(root, "shelf", release.version) == []
        versions.append(release.version)
    assert [writer.wait() for writer in writers] == [0, 0]
    assert versions == sorted(versions)
    assert [release.version for release in store.releases(root, "shelf")] == list(range(1, 22))
    assert store.current(root, "shelf").version == 21 and store.verify(root, "shelf") == []


def test_a_writer_that_waits_too_long_says_so(root, candidate, monkeypatch):
    store.push(root, "shelf", candidate)
    monkeypatch.setattr(writing, "LOCK_WAIT_S", 0.05)
    with durable.only_writer(root / ".lock", 0), pytest.raises(WorkspaceLocked, match="Another process"):
        store.push(root, "shelf", candidate)


# The files of the models have 2,000 bytes, the manifest more: 300 stop the copies, 2000 the manifest.
@pytest.mark.parametrize("limit", [300, 2000])
def test_a_write_that_finds_no_room_leaves_everything_as_it_was(root, tmp_path, limit):
    store.push(root, "shelf", make_candidate(tmp_path / "old", "old"))
    candidate = make_candidate(tmp_path / "new", "new")
    before = snapshot(root)
    with limit_file_size(limit), pytest.raises(EdgelineError, match="File too large") as caught:
        store.push(root, "shelf", candidate)
    assert "no room left" in caught.value.why and caught.value.do
    assert snapshot(root) == before and store.verify(root, "shelf") == []
    assert store.push(root, "shelf", candidate).version == 2


def test_an_audit_line_that_finds_no_room_undoes_nothing_and_is_written_later(root, tmp_path):
    for content in ("one", "two"):
        store.push(root, "shelf", make_candidate(tmp_path / content, content))
    log = root / "edge/shelf/history.jsonl"
    for _ in range(8):
        store.rollback(root, "shelf", "a long story " * 20)
        store.promote(root, "shelf", 2, "a long story " * 20)
    before = log.read_bytes()
    with limit_file_size(len(before) + 10):
        assert store.rollback(root, "shelf", "drill").version == 1
    assert store.current(root, "shelf").version == 1
    assert all("the next push, promote or rollback writes it" in p for p in store.verify(root, "shelf"))
    assert log.read_bytes()[: len(before)] == before and len(log.read_bytes()) <= len(before) + 10
    store.repair(root)
    assert [json.loads(line)["number"] for line in log.read_text().splitlines()] == list(range(1, 20))
    assert store.verify(root, "shelf") == []


def test_neither_push_nor_rollback_changes_anything_on_a_full_disk(small_disk, tmp_path):
    root = small_disk / "push"
    for content in ("one", "two"):
        store.push(root, "shelf", make_candidate(tmp_path / content, content))
    before = snapshot(root)
    fill(small_disk)
    for change in (
        lambda: store.push(root, "shelf", make_candidate(tmp_path / "new", "new")),
        lambda: store.rollback(root, "shelf", "two is worse"),
    ):
        with pytest.raises(EdgelineError, match="No space left on device"):
            change()
        assert snapshot(root) == before and store.verify(root, "shelf") == []
    (small_disk / "filler").unlink()
    assert store.rollback(root, "shelf", "two is worse").version == 1


def test_a_read_only_push_folder_is_named_and_can_still_be_read(small_disk, tmp_path):
    root = small_disk / "push"
    store.push(root, "shelf", make_candidate(tmp_path / "old", "old"))
    make_read_only(small_disk)
    with pytest.raises(EdgelineError, match="Read-only file system") as caught:
        store.push(root, "shelf", make_candidate(tmp_path / "new", "new"))
    assert "may not write" in caught.value.why and caught.value.do
    assert store.current(root, "shelf").version == 1 and store.verify(root, "shelf") == []
