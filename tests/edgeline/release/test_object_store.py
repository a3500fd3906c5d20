import json
import threading

import pytest

from edgeline.errors import EdgelineError, WorkspaceLocked
from edgeline.release import lease, store, writing
from edgeline.store import objects
from edgeline.store.locations import get_filesystem, list_files_below, locate, read_bytes
from tests.edgeline.release.candidates import find_problems, make_candidate

pytestmark = pytest.mark.e2e

SMALL = 100


@pytest.fixture
def url(bucket):
    return f"{bucket}/deep/push"


@pytest.fixture
def candidate(tmp_path):
    return make_candidate(tmp_path / "first", size=SMALL)


def read_all(url):
    """Returns the bytes of every object below a URL."""
    place = locate(url)
    return {name: read_bytes(place / name) for name in list_files_below(place)}


WRITES = {"pipe_file": "put", "put_file": "put", "rm_file": "remove"}


class Watched:
    """A file system that calls `report` before each write, with `put` or `remove` and the path."""

    def __init__(self, store, report):
        self._store, self._report = store, report

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def write(*arguments, **keywords):
            self._report(WRITES[name], arguments[1 if name == "put_file" else 0])
            return method(*arguments, **keywords)

        return write if name in WRITES else method


@pytest.fixture
def on_write(monkeypatch):
    """Calls `do(number, method, path)` before each write, until the function that it returns is called."""

    def install(do):
        count = 0

        def report(method, path):
            nonlocal count
            count += 1
            do(count, method, path)

        monkeypatch.setattr(objects, "get_filesystem", lambda path: Watched(get_filesystem(path), report))
        return lambda: monkeypatch.setattr(objects, "get_filesystem", get_filesystem)

    return install


@pytest.fixture
def fail_from(on_write):
    """Fails each write from a number on, until the function that it returns is called."""

    def install(first):
        def fail(number, *_):
            if number >= first:
                raise OSError(5, "We encountered an internal error.")

        return on_write(fail)

    return install


def test_a_store_holds_what_a_disk_would_hold(url, root, candidate):
    store.push(url, "shelf", candidate)
    store.push(root, "shelf", candidate)
    there = read_all(url)
    here = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert set(there) == here - {".lock"}
    assert there["edge/shelf/1/model_int8.tflite"] == (root / "edge/shelf/1/model_int8.tflite").read_bytes()
    pointer = json.loads(there["edge/shelf/current.json"])
    assert (pointer["version"], pointer["change"]["action"]) == (1, "push")
    assert there["serving/models.config"] == (root / "serving/models.config").read_bytes()


def test_the_mark_comes_first_the_manifest_after_its_files_and_the_pointer_after_all_of_them(
    url, candidate, on_write
):
    store.push(url, "shelf", candidate)
    writes = []
    on_write(lambda _, method, path: writes.append((method, path.partition("deep/push/")[2])))
    store.push(url, "shelf", candidate)
    names = [name for method, name in writes if name != ".lock"]
    files, rest = names[1:-4], names[-4:]
    assert names[0] == ".scratch/push@shelf@2/unfinished"
    assert all("/shelf/2/" in name for name in files) and files[-1] == "edge/shelf/2/manifest.json"
    pointer, history = "edge/shelf/current.json", "edge/shelf/history.jsonl"
    assert rest == ["serving/models.config", pointer, history, names[0]]
    assert writes[0][1] == ".lock" and writes[-1] == ("remove", ".lock")
    # The lock is asserted right before production is switched.
    assert writes[writes.index(("put", pointer)) - 1] == ("put", ".lock")


# A writer that fails from a write on leaves the same as one that is killed there. Writes 1 and 2 are the
# lock, 3 is the mark, 4 to 12 are the files, then come pins, lock, pointer, history, and mark and lock again.
@pytest.mark.drawn(2)
@pytest.mark.parametrize("failing", [1, 2, 3, 4, 5, 12, 13, 14, 15])
def test_a_writer_that_ends_before_the_pointer_leaves_the_old_release_and_the_next_push_tidies_up(
    url, tmp_path, candidate, fail_from, monkeypatch, failing
):
    store.push(url, "shelf", candidate)
    before = read_all(url)
    fix = fail_from(failing)
    with pytest.raises(EdgelineError, match="answered with an error"):
        store.push(url, "shelf", make_candidate(tmp_path / "new", "new", SMALL))
    fix()
    assert store.current(url, "shelf").version == 1 and find_problems(url, "shelf", 1) == []
    assert [each.version for each in store.releases(url, "shelf")] == [1]
    assert all("writes it" in problem for problem in store.verify(url, "shelf"))
    monkeypatch.setattr(lease, "LEASE_S", 0.1)
    store.repair(url)
    assert before.items() <= read_all(url).items() and store.verify(url, "shelf") == []
    # The first writer may only be slow: its number is not used, and its files go once it cannot go on.
    version = store.push(url, "shelf", candidate).version
    assert version == (3 if failing > 4 else 2) and store.verify(url, "shelf") == []
    versions = {name.split("/")[2] for name in read_all(url) if "/shelf/" in name and name.count("/") > 2}
    assert versions == {"1", str(version)} and not any(name.startswith(".scratch") for name in read_all(url))


# Before the first file, between two files, before the pointer, and after it.
@pytest.mark.drawn(1)
@pytest.mark.parametrize(
    "at", ["unfinished", "serving/shelf/2/saved_model.pb", "current.json", "history.jsonl"]
)
def test_a_paused_writer_whose_lock_was_taken_over_changes_nothing_when_it_wakes_up(
    url, tmp_path, candidate, on_write, monkeypatch, at
):
    """The pause may come at any request, also just after a look at the lease."""
    releases = []
    store.push(url, "shelf", candidate)
    monkeypatch.setattr(lease, "LEASE_S", 0.2)
    monkeypatch.setattr(lease.Lease, "keep", lambda self, stop: None)  # it sleeps

    def pause(number, method, path):
        if path.endswith(at) and not releases:
            releases.append(None)
            releases[0] = store.push(url, "shelf", make_candidate(tmp_path / "other", "other", SMALL))

    on_write(pause)
    if at == "history.jsonl":  # it was in production, until the other came
        assert store.push(url, "shelf", make_candidate(tmp_path / "paused", "paused", SMALL)).version == 2
    else:
        with pytest.raises(EdgelineError, match=r"Another writer changed|was taken over"):
            store.push(url, "shelf", make_candidate(tmp_path / "paused", "paused", SMALL))
    assert store.current(url, "shelf") == releases[0]
    assert all("writes it" in problem for problem in store.verify(url, "shelf"))
    last = store.push(url, "shelf", candidate)
    assert store.current(url, "shelf") == last and store.verify(url, "shelf") == []


@pytest.mark.drawn(2)
@pytest.mark.parametrize("failing", [16, 17, 18])
def test_a_writer_that_ends_after_the_pointer_leaves_the_new_release(
    url, candidate, fail_from, monkeypatch, caplog, failing
):
    store.push(url, "shelf", candidate)
    fix = fail_from(failing)
    release = store.push(url, "shelf", candidate)
    fix()
    assert release.version == 2 and store.current(url, "shelf") == release
    assert ("is left to the next writer" in caplog.text) == (failing < 18)
    assert "the next writer has to wait" in caplog.text
    problems = [problem.partition(";")[0] for problem in store.verify(url, "shelf")]
    assert problems == (["edge/shelf/history.jsonl: change 2 is missing"] if failing == 16 else [])
    monkeypatch.setattr(lease, "LEASE_S", 0.1)
    store.repair(url)
    assert store.verify(url, "shelf") == []
    assert store.push(url, "shelf", candidate).version == 3 and store.verify(url, "shelf") == []
    assert len(read_all(url)["edge/shelf/history.jsonl"].splitlines()) == 3
    assert not any(name.startswith((".scratch", ".lock")) for name in read_all(url))


def test_writers_at_once_get_versions_of_their_own(url, candidate):
    versions = []

    def push():
        versions.append(store.push(url, "shelf", candidate).version)

    writers = [threading.Thread(target=push) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(versions) == [1, 2, 3]
    assert store.current(url, "shelf").version == 3 and store.verify(url, "shelf") == []
    lines = read_all(url)["edge/shelf/history.jsonl"].splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2, 3]


def test_a_writer_that_waits_too_long_for_a_living_one_names_it(url, candidate, monkeypatch):
    monkeypatch.setattr(writing, "LOCK_WAIT_S", 0.05)
    with (
        lease.only_writer(locate(url) / ".lock", 0),
        pytest.raises(WorkspaceLocked, match=r"@.* has been writing"),
    ):
        store.push(url, "shelf", candidate)
    assert read_all(url) == {}


def test_the_lock_of_a_dead_writer_is_taken_over_with_a_warning(url, candidate, monkeypatch, caplog):
    lease.Lease(locate(url) / ".lock").acquire(0)
    monkeypatch.setattr(lease, "LEASE_S", 0.2)
    assert store.push(url, "shelf", candidate).version == 1
    assert "is taken for dead" in caplog.text and ".lock" in caplog.text
    assert ".lock" not in read_all(url)


def test_a_living_writer_renews_its_lock_and_is_not_taken_for_dead(url, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_S", 0.4)
    lock = locate(url) / ".lock"
    with lease.only_writer(lock, 0), pytest.raises(WorkspaceLocked):
        lease.Lease(lock).acquire(1.5)


def test_a_writer_that_lost_its_lock_does_not_switch_production(url, tmp_path, candidate, on_write):
    store.push(url, "shelf", candidate)
    lock = locate(url) / ".lock"

    def take_over(number, method, path):
        if path.endswith("models.config"):
            get_filesystem(lock).pipe_file(lock.path, b'{"owner": "somebody@else", "token": "theirs"}')

    on_write(take_over)
    with pytest.raises(EdgelineError, match="taken over by somebody@else"):
        store.push(url, "shelf", make_candidate(tmp_path / "new", "new", SMALL))
    assert store.current(url, "shelf").version == 1
    assert read_bytes(lock).startswith(b'{"owner": "somebody@else"')


def test_a_pointer_that_somebody_changed_meanwhile_is_not_overwritten(url, candidate, on_write):
    store.push(url, "shelf", candidate)
    pointer = locate(url) / "edge" / "shelf" / "current.json"
    theirs = read_bytes(pointer).replace(b"run 2026-10-05-1", b"by hand")

    def change(number, method, path):
        if path.endswith("models.config"):
            get_filesystem(pointer).pipe_file(pointer.path, theirs)

    on_write(change)
    with pytest.raises(EdgelineError, match=r"Another writer changed .*current\.json"):
        store.push(url, "shelf", candidate)
    assert read_bytes(pointer) == theirs


def test_a_store_without_conditional_writes_is_noticed_and_still_written(url, candidate, monkeypatch, caplog):
    def put_always(path, raw, **condition):
        objects.put(path, raw)
        return True

    monkeypatch.setattr(objects, "_put_if", put_always)
    monkeypatch.setattr(lease, "_SETTLE_S", 0.01)
    assert store.push(url, "shelf", candidate).version == 1
    assert "has no conditional writes" in caplog.text
    assert store.verify(url, "shelf") == []


def test_a_request_that_was_repeated_because_its_answer_was_lost_has_succeeded(url):
    path = locate(url) / "object"
    assert objects.create(path, b"mine") and objects.create(path, b"mine")
    assert not objects.create(path, b"theirs")
    version = objects.version_of(path)
    assert objects.replace(path, b"new", version) and objects.replace(path, b"new", version)
    assert not objects.replace(path, b"newer", version)
    assert not objects.replace(locate(url) / "nothing", b"new", version)


@pytest.mark.moto
def test_objects_that_stand_for_folders_and_other_objects_of_a_bucket_are_left_alone(url, candidate):
    place = locate(url)
    odd = (
        *("", "edge/", "serving/", "serving/shelf/", "edge/shelf/"),
        *("runs/shelf/1/report.html", "edge/../../up"),
    )
    for name in odd:
        get_filesystem(place).pipe_file(f"{place.path}/{name}", b"")
    assert store.push(url, "shelf", candidate).version == 1
    assert store.models(url) == ("shelf",) and store.verify(url, "shelf") == []
    assert [each.version for each in store.releases(url, "shelf")] == [1]
    keys = set(get_filesystem(place).find(place.path))
    assert {f"{place.path}/{name}" for name in odd if not name.endswith("/")} <= keys
