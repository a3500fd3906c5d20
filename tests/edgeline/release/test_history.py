import pytest

from edgeline.release import store
from edgeline.release.history import read_history
from edgeline.release.layout import PushFolder


def locate_log(root):
    return root / "edge" / "shelf" / "history.jsonl"


@pytest.mark.parametrize("torn", [b"", b'{"number": 3'])
def test_a_line_that_a_crash_kept_from_the_log_is_known_and_written_by_the_next_writer(copy, torn):
    *others, last = locate_log(copy).read_bytes().splitlines(keepends=True)
    locate_log(copy).write_bytes(b"".join([*others, torn]))
    assert [change.to_version for change in read_history(PushFolder(copy), "shelf").changes] == [1, 2, 3]
    store.repair(copy)
    assert locate_log(copy).read_bytes() == b"".join([*others, last])
    assert store.verify(copy, "shelf") == []


def test_a_lost_log_costs_neither_production_nor_the_numbers(copy, candidate):
    locate_log(copy).unlink()
    assert store.current(copy, "shelf").version == 3
    assert store.push(copy, "shelf", candidate).version == 4
    assert [release.version for release in store.releases(copy, "shelf")] == [1, 2, 3, 4]
    assert read_history(PushFolder(copy), "shelf").last.number == 4


def test_a_line_that_cannot_be_read_hides_no_other(copy, candidate):
    first, *others = locate_log(copy).read_text().splitlines(keepends=True)
    locate_log(copy).write_text("".join([f"{first[:20]}\n", *others]))
    history = read_history(PushFolder(copy), "shelf")
    assert history.problems == ("edge/shelf/history.jsonl: line 1 cannot be read.",)
    assert [change.to_version for change in history.changes] == [2, 3]
    assert store.push(copy, "shelf", candidate).version == 4
