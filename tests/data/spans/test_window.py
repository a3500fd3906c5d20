import json
import os
import shutil
import time
from pathlib import Path

import pytest

from data.photos.labels_file import LabelRow, PhotoSpan, write_span
from data.spans.layout import find_spans
from tests.data.spans.windows import window_digest


@pytest.fixture
def spans(tmp_path):
    for week in range(3):
        rows = [(LabelRow(f"{n}.jpg", "ok", "", "", ""), b"photo %d of %d" % (n, week)) for n in range(4)]
        age_files(write_span(tmp_path / "data", rows).path)
    return [PhotoSpan.of(span) for span in find_spans(tmp_path / "data")]


def age_files(root):
    """Makes files old enough that their times can be relied on."""
    for path in root.rglob("*"):
        os.utime(path, (time.time() - 60, time.time() - 60))


def test_the_digest_is_of_the_content_alone_and_the_cache_changes_nothing_but_time(spans, tmp_path):
    copy, cache = tmp_path / "copy", tmp_path / "deep" / "cache.json"
    shutil.copytree(spans[0].path.parent, copy)
    plain = window_digest(spans)
    assert window_digest(find_spans(copy)) == window_digest(spans, cache) == plain
    assert len(json.loads(cache.read_text())) == 3
    assert window_digest(spans, cache) == plain
    assert len({plain, window_digest(spans[1:]), window_digest(spans[:-1])}) == 3


def turn_around(photo):
    """Changes neither size nor time, as rsync does."""
    times = photo.stat()
    photo.write_bytes(photo.read_bytes()[::-1])
    os.utime(photo, ns=(times.st_atime_ns, times.st_mtime_ns))


CHANGES = {
    "edit": lambda photo: photo.write_bytes(b"another photo"),
    "same size": turn_around,
    "add": lambda photo: photo.with_name("new.jpg").write_bytes(b"new"),
    "remove": Path.unlink,
    "rename": lambda photo: photo.rename(photo.with_name("z.jpg")),
    "label": lambda photo: photo.parents[1].joinpath("labels.csv").write_text("other labels"),
    "link": lambda photo: photo.with_name("link.jpg").symlink_to("1.jpg"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_seen(spans, tmp_path, change):
    cache = tmp_path / "cache.json"
    before = window_digest(spans, cache)
    change(spans[1].photos / "1.jpg")
    assert window_digest(spans, cache) != before
    assert window_digest(spans, cache) == window_digest(spans)


@pytest.mark.parametrize("damage", [b"{", b'{"a": 1}', b"\xff\xfe"])
def test_a_damaged_cache_is_made_again(spans, tmp_path, damage):
    cache = tmp_path / "cache.json"
    cache.write_bytes(damage)
    assert window_digest(spans, cache) == window_digest(spans)
    assert len(json.loads(cache.read_text())) == 3


def test_a_cache_that_cannot_be_written_costs_only_time(spans, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert window_digest(spans, tmp_path / "file" / "cache.json") == window_digest(spans)
    assert window_digest(spans, tmp_path) == window_digest(spans)
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}-*"))


def test_a_file_of_this_very_moment_is_not_remembered(spans, tmp_path):
    cache = tmp_path / "cache.json"
    (spans[2].photos / "new.jpg").write_bytes(b"may change again within one tick of the clock")
    window_digest(spans, cache)
    assert [os.path.basename(path) for path in json.loads(cache.read_text())] == ["span-00001", "span-00002"]
