import os
import shutil
import time
from pathlib import Path

import pytest

from data.spans.exclusions import decide
from data.spans.layout import add_span, find_excluded_in_window, find_newest_spans, find_spans
from edgeline.errors import DataRefused, UsageError
from edgeline.records.ingest import describe_spans


def fill(folder):
    (folder / "rows.csv").write_text("1")


def exclude(data, span):
    decide(data, "exclude", span, "r", [span])


def test_spans_are_numbered_on_and_found_oldest_first(tmp_path):
    (tmp_path / "span-00007").mkdir()
    (tmp_path / "span-8").mkdir()
    (tmp_path / "span-00009.txt").write_text("not a folder of a span")
    span = add_span(tmp_path, fill)
    assert (span.name, span.number, os.listdir(span.path)) == ("span-00008", 8, ["rows.csv"])
    assert [span.number for span in find_spans(tmp_path)] == [7, 8]
    assert [span.number for span in find_newest_spans(tmp_path, 1)] == [8]


def test_a_window_ends_at_a_span_that_is_named_there_and_not_before_any_usable_one(tmp_path):
    for number in range(1, 5):
        (tmp_path / f"span-0000{number}").mkdir()
    exclude(tmp_path, "span-00002")
    exclude(tmp_path, "span-00004")

    window = find_newest_spans(tmp_path, 2, "span-00003")

    assert [span.number for span in window] == [1, 3]
    assert find_newest_spans(tmp_path, 2, "span-00004") == window
    (excluded,) = find_excluded_in_window(tmp_path, window, 2, "span-00003")
    assert excluded.span == "span-00002"
    assert [span.number for span in find_newest_spans(tmp_path, 1, "span-00001")] == [1]

    with pytest.raises(UsageError, match=r"no span of that name.*span-00001 to span-00004"):
        find_newest_spans(tmp_path, 2, "span-00005")
    exclude(tmp_path, "span-00001")
    with pytest.raises(DataRefused, match="up to span-00001 is excluded: span-00001"):
        find_newest_spans(tmp_path, 2, "span-00001")


def test_no_span_is_written_after_the_last_number_also_where_that_was_excluded(tmp_path):
    (tmp_path / "span-99998").mkdir()
    assert add_span(tmp_path, fill).number == 99_999
    exclude(tmp_path, "span-99999")
    shutil.rmtree(tmp_path / "span-99999")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(UsageError, match="span-99999 is the last one"):
        add_span(tmp_path, fill)
    assert sorted(os.listdir(tmp_path)) == before


def test_a_folder_without_spans_is_refused_with_what_to_do(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError, match="edgeline data import"):
            find_newest_spans(folder, 8)


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    add_span(tmp_path, fill)

    def fill_half(folder):
        fill(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="space"):
        add_span(tmp_path, fill_half)
    assert os.listdir(tmp_path) == ["span-00001"]


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")], ids=["file", "link"])
def test_something_else_with_the_name_of_the_next_span_is_named_and_stays(tmp_path, make):
    make(path := tmp_path / "span-00001")
    with pytest.raises(UsageError, match="span-00001 is a file, or a link that leads to no folder"):
        add_span(tmp_path, lambda folder: pytest.fail("it is known before"))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_two_writers_get_two_numbers(tmp_path):
    def fill_slowly(folder):
        fill(folder)
        add_span(tmp_path, fill)

    assert add_span(tmp_path, fill_slowly).number == 2
    assert len(find_spans(tmp_path)) == 2


def test_files_of_a_killed_writer_are_removed_after_a_day(tmp_path):
    new_folder, old_folder = tmp_path / ".writing-fresh", tmp_path / ".writing-old"
    for folder in (new_folder, old_folder):
        (folder / "photos").mkdir(parents=True)
    yesterday = time.time() - 25 * 3600
    os.utime(old_folder, (yesterday, yesterday))
    add_span(tmp_path, fill)
    assert new_folder.exists()
    assert not old_folder.exists()


def test_spans_in_a_row_are_named_by_the_first_and_the_last():
    spans = [f"span-{number:05d}" for number in (1, 2, 4, 5, 6, 99999)]
    assert describe_spans(spans) == "span-00001, span-00002, span-00004 to span-00006, span-99999"
    assert describe_spans([]) == ""
