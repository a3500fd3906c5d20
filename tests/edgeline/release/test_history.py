import pytest

from edgeline.release import store
from edgeline.release.history import read_history
from edgeline.release.layout import PushFolder


def log_of(root):
    return root / "edge" / "shelf" / "history.jsonl"


@pytest.mark.parametrize("torn", [b"", b'{"number": 3'])
def test_a_line_that_a_crash_kept_from_the_log_is_known_and_written_by_the_next_writer(pushed, torn):
    *others, last = log_of(pushed).read_bytes().splitlines(keepends=True)
    log_of(pushed).write_bytes(b"".join([*others, torn]))
    assert [change.to_version for change in read_history(PushFolder(pushed), "shelf").changes] == [1, 2, 3]
    store.repair(pushed)
    assert log_of(pushed).read_bytes() == b"".join([*others, last])
    assert store.verify(pushed, "shelf") == []


def test_a_lost_log_costs_neither_production_nor_the_numbers(pushed, candidate):
    log_of(pushed).unlink()
    assert store.current(pushed, "shelf").version == 3
    assert store.push(pushed, "shelf", candidate).version == 4
    assert [release.version for release in store.releases(pushed, "shelf")] == [1, 2, 3, 4]
    assert read_history(PushFolder(pushed), "shelf").last.number == 4


def test_a_line_that_cannot_be_read_hides_no_other(pushed, candidate):
    first, *others = log_of(pushed).read_text().splitlines(keepends=True)
    log_of(pushed).write_text("".join([f"{first[:20]}\n", *others]))
    history = read_history(PushFolder(pushed), "shelf")
    assert history.problems == ("edge/shelf/history.jsonl: line 1 cannot be read.",)
    assert [change.to_version for change in history.changes] == [2, 3]
    assert store.push(pushed, "shelf", candidate).version == 4
