from edgeline.release import store
from edgeline.release.history import read_history
from edgeline.release.layout import PushFolder
from tests.edgeline.release.candidates import make_candidate


def log_of(root):
    return root / "edge" / "shelf" / "history.jsonl"


def test_a_line_that_a_crash_kept_from_the_log_is_known_and_written_by_the_next_writer(root, candidate):
    store.push(root, "shelf", candidate)
    store.push(root, "shelf", candidate)
    lines = log_of(root).read_bytes().splitlines(keepends=True)
    log_of(root).write_bytes(lines[0])
    assert [change.to_version for change in read_history(PushFolder(root), "shelf").changes] == [1, 2]
    store.repair(root)
    assert log_of(root).read_bytes() == b"".join(lines)


def test_a_torn_last_line_is_replaced_by_a_whole_one(root, candidate):
    store.push(root, "shelf", candidate)
    whole = log_of(root).read_bytes()
    log_of(root).write_bytes(whole[: len(whole) // 2])
    store.repair(root)
    assert log_of(root).read_bytes() == whole
    assert store.verify(root, "shelf") == []


def test_a_lost_log_costs_neither_production_nor_the_numbers(root, tmp_path, candidate):
    store.push(root, "shelf", candidate)
    store.push(root, "shelf", make_candidate(tmp_path / "two", "two"))
    log_of(root).unlink()
    assert store.current(root, "shelf").version == 2
    release = store.push(root, "shelf", candidate)
    assert release.version == 3
    assert [r.version for r in store.releases(root, "shelf")] == [1, 2, 3]
    assert read_history(PushFolder(root), "shelf").last.number == 3


def test_a_line_that_cannot_be_read_hides_no_other(root, candidate):
    store.push(root, "shelf", candidate)
    store.push(root, "shelf", candidate)
    first, second = log_of(root).read_text().splitlines()
    log_of(root).write_text(f"{first[:20]}\n{second}\n")
    history = read_history(PushFolder(root), "shelf")
    assert history.problems == ("edge/shelf/history.jsonl: line 1 cannot be read.",)
    assert [change.to_version for change in history.changes] == [2]
    assert store.push(root, "shelf", candidate).version == 3
