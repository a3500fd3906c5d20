import errno
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from edgeline.errors import EdgelineError, HeldBack, UsageError
from edgeline.release import durable, layout, manifest, releases, store, upkeep
from edgeline.release.history import read_pointer
from edgeline.release.layout import PushFolder
from edgeline.release.manifest import identify_model
from tests.edgeline.release.candidates import find_problems, make_candidate, snapshot


@pytest.fixture
def reads(monkeypatch):
    """Counts how often each document of the store is read."""
    reads: Counter[str] = Counter()

    def count(path: Path, *arguments: object, **options: object) -> object:
        reads[Path(path).name] += 1
        return open(path, *arguments, **options)

    monkeypatch.setattr(layout, "open", count, raising=False)
    return reads


def test_the_log_is_read_once_and_so_is_each_pointer_that_a_decision_needs(copy, candidate, reads):
    for action, pointers in (
        (partial(store.verify, copy, "shelf"), 1),
        (partial(store.push, copy, "shelf", candidate), 2),  # that of before and the new one
        # A switch also reads it before it waits for the lock.
        (partial(store.rollback, copy, "shelf", "drill"), 3),
        (partial(store.promote, copy, "shelf", 4, "drill"), 3),
    ):
        reads.clear()
        action()
        assert (reads["current.json"], reads["history.jsonl"]) == (pointers, 1)


def test_a_push_that_fails_at_the_pointer_leaves_the_pins_of_production(copy, tmp_path, monkeypatch):
    pins = PushFolder(copy).pins
    before = pins.read_bytes()
    rename = os.rename

    def fail_at_pointer(source: Path, target: Path) -> None:
        if Path(target).name == "current.json":
            assert pins.read_bytes() != before
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    candidate = make_candidate(tmp_path / "four", "four")
    monkeypatch.setattr(os, "rename", fail_at_pointer)
    with pytest.raises(EdgelineError, match="Production was not changed"):
        store.push(copy, "shelf", candidate)
    assert pins.read_bytes() == before and store.current(copy, "shelf").manifest.version == 3


def test_a_push_puts_both_parts_and_the_pointer_where_readers_look(root, candidate):
    release = store.push(root, "shelf", candidate)
    assert release.version == 1 and release == store.current(root, "shelf")
    for name in ("saved_model.pb", "variables/variables.index"):
        assert (release.serving / name).read_bytes() == (candidate.saved_model / name).read_bytes()
    assert (release.edge / "labels.txt").read_text() == "ok\nmisplaced\ndamaged\n"
    assert json.loads((release.edge / "preprocessing.json").read_text()) == candidate.preprocessing
    assert release.default_file.read_bytes() == candidate.edge_files["model_fp16.tflite"].read_bytes()
    pointer = json.loads((root / "edge" / "shelf" / "current.json").read_text())
    assert (pointer["version"], pointer["manifest_sha256"]) == (1, release.manifest_sha256)
    assert store.verify(root, "shelf") == []
    assert sorted(os.listdir(root)) == [".lock", "edge", "serving"]


def test_the_manifest_names_every_other_file_of_the_release_and_its_metrics(root, candidate):
    release = store.push(root, "shelf", candidate)
    names = {entry.path for entry in release.manifest.files}
    present = {name for name in snapshot(root) if "/shelf/1/" in name}
    assert present - names == {"edge/shelf/1/manifest.json"} and names <= present
    assert release.manifest.metrics == {"overall": {"all": {"accuracy": 0.94}}}
    assert release.manifest.data.last_span == 42
    assert release.manifest.variants == candidate.variants
    # The copies do not follow later changes of the sources.
    (candidate.saved_model / "saved_model.pb").write_bytes(b"the next training run")
    assert store.verify(root, "shelf") == []
    assert os.stat(release.default_file).st_nlink == 1
    assert not os.stat(root / "edge/shelf/history.jsonl").st_mode & 0o111  # it is no program


def test_a_file_that_a_release_does_not_have_is_not_read_from_beside_it(root, candidate):
    release = store.push(root, "shelf", candidate)
    (release.edge / "notes.txt").write_text("added later")
    with pytest.raises(EdgelineError, match="no such file in the manifest"):
        release.read("notes.txt")


def test_versions_rise_also_after_the_newest_folders_were_deleted_and_above_any_other(copy, candidate):
    store.rollback(copy, "shelf", "three is worse", to=1)
    for part in ("serving", "edge"):
        for version in ("2", "3"):
            shutil.rmtree(copy / part / "shelf" / version)
    assert store.push(copy, "shelf", candidate).version == 4
    (copy / "serving" / "shelf" / "7").mkdir()
    assert store.push(copy, "shelf", candidate).version == 8


def test_a_first_push_that_ends_while_it_is_read_is_no_lost_pointer(copy, monkeypatch):
    answers = [None, read_pointer(PushFolder(copy), "shelf")]
    monkeypatch.setattr(releases, "read_pointer", lambda folder, model: answers.pop(0))
    assert store.current(copy, "shelf").version == 3


def test_a_serving_folder_that_somebody_removed_does_not_stop_the_next_push(copy, tmp_path):
    shutil.rmtree(copy / "serving")
    assert len(store.verify(copy, "shelf")) == 7  # the pins, and two files of each release
    assert store.push(copy, "shelf", make_candidate(tmp_path / "four", "four")).version == 4
    assert len(store.verify(copy, "shelf")) == 6 and find_problems(copy, "shelf", 4) == []


def test_old_releases_are_collected_but_those_of_phones_and_of_a_rollback(copy, tmp_path):
    store.push(copy, "shelf", make_candidate(tmp_path / "four", "four"))
    store.rollback(copy, "shelf", "four is worse", to=2)
    before = snapshot(copy)
    sizes = upkeep.collect_releases(copy, "shelf", 1, dry_run=True)
    assert snapshot(copy) == before and list(sizes) == [3]
    assert sizes[3] == sum(len(content) for name, content in before.items() if "/shelf/3/" in name)
    assert (
        upkeep.collect_releases(copy, "shelf", 1) == sizes and upkeep.collect_releases(copy, "shelf", 1) == {}
    )
    assert store.current(copy, "shelf").version == 2
    assert store.verify(copy, "shelf") == [] and store.list_known_versions(copy, "shelf") == (1, 2, 4)
    lines = (copy / "edge/shelf/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == [*["push"] * 4, "rollback", "collect"]
    assert store.rollback(copy, "shelf", "two is worse too").version == 1
    assert store.push(copy, "shelf", make_candidate(tmp_path / "five", "five")).version == 5


def test_a_change_to_a_collected_release_says_that_it_was_collected(copy):
    upkeep.collect_releases(copy, "shelf", 1)
    for change in (partial(store.promote, version=1), partial(store.rollback, to=1)):
        with pytest.raises(UsageError, match=r"shelf 1 was collected on 2.*, by .*@") as caught:
            change(copy, "shelf", reason="drill")
        assert "releases: 2." in caught.value.why
    with pytest.raises(UsageError, match=r"shelf 1 was collected on .*releases: 2, 3\."):
        store.verify(copy, "shelf", 1)
    assert store.rollback(copy, "shelf", "drill").version == 2
    with pytest.raises(UsageError, match=r"shelf 1 was collected.*releases: 3\..* with --to V"):
        store.rollback(copy, "shelf", "drill")
    shutil.rmtree(copy / "edge/shelf/3")  # lost, not collected
    assert store.verify(copy, "shelf")[0].startswith("edge/shelf/3/manifest.json: found no file")


def do_at_once(root: Path, *calls: Callable[[], object]) -> list[BaseException]:
    """Lets two writers wait for the lock before it is free; returns their errors."""
    lock = PushFolder(root).lock

    def count_waiting() -> int:
        return sum(os.path.realpath(f"/proc/self/fd/{fd}") == str(lock) for fd in os.listdir("/proc/self/fd"))

    with ThreadPoolExecutor(2) as pool:
        with durable.only_writer(lock, 1):
            both = [pool.submit(call) for call in calls]
            while count_waiting() < 3:
                time.sleep(0.01)
        return [error for each in both if (error := each.exception())]


def test_only_the_first_of_two_models_that_were_compared_with_one_version_is_pushed(root, tmp_path):
    store.push(root, "shelf", make_candidate(tmp_path / "first"))
    both = [make_candidate(tmp_path / name, name, compared_with=1) for name in "ab"]
    (error,) = do_at_once(root, *(partial(store.push, root, "shelf", each) for each in both))
    assert isinstance(error, HeldBack) and "Version 2 came into production since" in str(error)
    assert store.current(root, "shelf").version == 2 and store.verify(root, "shelf") == []


def test_the_second_of_two_rollbacks_at_once_does_not_go_one_release_further(copy):
    both = (partial(store.rollback, copy, "shelf", f"{name} saw it") for name in "ab")
    (error,) = do_at_once(copy, *both)
    assert "put shelf 2 in production meanwhile: rollback." in str(error)
    assert store.current(copy, "shelf").version == 2 and store.verify(copy, "shelf") == []


def test_a_candidate_that_is_withdrawn_while_its_promotion_waits_is_not_promoted(copy):
    store.rollout(copy, "shelf", 1, 10, "a try")
    withdraw = partial(store.rollback, copy, "shelf", "it is bad", 3)
    (error,) = do_at_once(copy, withdraw, partial(store.promote, copy, "shelf", 1, "it looks good"))
    assert "in production meanwhile: " in str(error) and "The canary is over. Nothing" in str(error)
    assert store.find_rollout(copy, "shelf") is None and store.verify(copy, "shelf") == []


def test_a_manifest_of_a_newer_version_of_this_code_is_not_called_damaged(copy, monkeypatch):
    monkeypatch.setattr(manifest, "SCHEMA_VERSION", 0)  # code that is older than any manifest
    with pytest.raises(manifest.NewerManifest, match="Update Edgeline"):
        store.verify(copy, "shelf")


def test_nothing_is_collected_if_the_log_has_gaps(copy):
    log = copy / "edge/shelf/history.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[1:]))
    before = snapshot(copy)
    for dry_run in (True, False):
        with pytest.raises(EdgelineError, match="it is unknown which releases were in production"):
            upkeep.collect_releases(copy, "shelf", 1, dry_run)
    assert snapshot(copy) == before


def test_equal_trainings_are_one_model_although_their_files_differ(root, tmp_path):
    one, two, other = (make_candidate(tmp_path / name, name) for name in ("one", "two", "other"))
    for candidate, identity in ((one, "a"), (two, "a"), (other, "b")):
        (candidate.saved_model / "assets.extra").mkdir()
        (candidate.saved_model / "assets.extra" / "model_identity").write_text(identity)
    store.push(root, "shelf", one)
    assert store.find_version(root, "shelf", identify_model(two.saved_model)) == 1
    assert store.find_version(root, "shelf", identify_model(other.saved_model)) is None
    assert store.verify(root, "shelf") == []


def test_a_model_that_was_rolled_back_does_not_come_back_when_it_was_collected(base, copy):
    store.rollback(copy, "shelf", "three is worse")
    for content in ("four", "five"):
        store.push(copy, "shelf", make_candidate(base.parent / content, content))
    assert list(upkeep.collect_releases(copy, "shelf", 1)) == [1, 2, 3]
    versions = {
        content: store.find_version(copy, "shelf", identify_model(base.parent / content / "saved_model"))
        for content in ("one", "two", "three", "four", "five")
    }
    assert versions == {"one": None, "two": None, "three": 3, "four": 4, "five": 5}


def test_nothing_is_released_in_a_folder_that_is_not_there(root):
    assert store.current(root, "shelf") is None
    assert store.releases(root, "shelf") == () and store.models(root) == ()
    assert not root.exists()
