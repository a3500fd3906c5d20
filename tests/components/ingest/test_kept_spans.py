"""ExampleGen takes over what an earlier run made of a span, and nothing that it puts out tells."""

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from components.ingest import example_shards
from components.ingest.kept_spans import KeptSpans
from data.photos.labels_file import PhotoSpan, write_span
from data.photos.source import PhotoSource
from data.shelf.faults import spoil
from data.spans.exclusions import decide
from data.spans.layout import find_spans
from data.spans.source import Example
from edgeline.records.rejection import RowRejected
from tests.components.steps import SHELF, ingest
from tests.components.test_example_gen import good, row
from tests.data.sample_photos import jpeg
from tests.disks import fill, mount_disk

pytestmark = pytest.mark.e2e


def add_week(data, week):
    """A span with two bad photos, and copies of two of the week before, of its label or of another."""
    first = 20 * week
    photos = [*good(range(first, first + 4), f"a{week}"), *good(range(first + 4, first + 8), f"b{week}")]
    photos.append(spoil("truncated", row("truncated.jpg"), jpeg(seed=first + 9), random.Random(1)))
    photos.append((row("copy.jpg", "misplaced", f"c{week}"), jpeg(seed=first - 19)))
    photos.append((row("other.jpg", "damaged", f"c{week}"), jpeg(seed=first - 14)))
    photos.append((row("no-label.jpg", "", f"c{week}"), jpeg(seed=first + 10)))
    return PhotoSpan.of(write_span(data, photos))


@pytest.fixture
def data(tmp_path):
    for week in range(1, 4):
        add_week(tmp_path / "data", week)
    return tmp_path / "data"


@pytest.fixture
def opened(monkeypatch):
    """The spans whose photos are opened from here on."""
    found = set()
    example = PhotoSource.example

    def noted(source, span, row):
        found.add(span.name)
        return example(source, span, row)

    monkeypatch.setattr(PhotoSource, "example", noted)
    return found


def files(ingested):
    """All that ExampleGen put out, byte by byte."""
    folders = [Path(made.uri) for made in (ingested.examples, ingested.quarantine)]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_of_the_next_window_only_new_and_changed_spans_are_opened_and_each_byte_is_as_without(
    data, tmp_path, opened
):
    workspace = tmp_path / "workspace"
    ingest(data, tmp_path / "1", workspace=workspace, window=3)
    assert opened == {"span-00001", "span-00002", "span-00003"}
    span = add_week(data, 4)
    changed = PhotoSpan.of(find_spans(data)[1])
    (changed.photos / "a2-41.jpg").write_bytes(jpeg(seed=99))
    opened.clear()
    kept = ingest(data, tmp_path / "2", workspace=workspace, window=3)
    assert opened == {changed.name, span.name}
    assert files(kept) == files(ingest(data, tmp_path / "3", window=3))
    # In the window without its elder, what was a copy is none.
    assert {"truncated", "unlabelled", "duplicate", "conflicting-label"} == {
        item["reason"] for item in kept.quarantined()
    }
    assert {p.name[:10] for p in (workspace / "spans/shelf/examples").iterdir()} == set(read_names(kept))


def read_names(ingested):
    return [span["name"] for span in ingested.summary["spans"]]


def test_what_only_chooses_and_splits_reads_nothing_again_and_all_else_everything(data, tmp_path, opened):
    workspace, all_three = tmp_path / "workspace", {"span-00001", "span-00002", "span-00003"}

    def of(number, **options):
        opened.clear()
        return ingest(data, tmp_path / str(number), workspace=workspace, **options)

    of(1)
    other = of(2, eval_fraction=0.6)
    assert opened == set()
    assert files(other) == files(ingest(data, tmp_path / "0", eval_fraction=0.6))
    decide(data, "exclude", "span-00003", "dirty lens", sorted(all_three))
    assert read_names(of(3)) == ["span-00001", "span-00002"] and opened == set()
    decide(data, "include", "span-00003", "wiped", sorted(all_three))
    of(4)
    assert opened == {"span-00003"}
    for number, options in enumerate(
        ({"code": "newer"}, {"max_side": 48}, {"workload": replace(SHELF, labels=("ok", "damaged"))})
    ):
        of(5 + number, **options)
        assert opened == all_three, options


def test_a_bit_in_any_file_or_a_file_that_is_gone_is_damage(tmp_path):
    spans = KeptSpans(tmp_path / "spans", "about")
    for file in ("made", "read.json", "kept.json"):
        for change in (Path.unlink, flip):
            made = tmp_path / "span-00001"
            made.mkdir()
            for name in ("made", "read.json"):
                (made / name).write_text("content")
            spans.update({made.name: "digest"}, [made])
            shutil.rmtree(made)
            assert spans.take(made.name, "digest", tmp_path / f"{file} {change.__name__}")
            change(next((tmp_path / "spans").glob(f"*/{file}")))
            assert not spans.take(made.name, "digest", made)
            assert not made.exists() and not list((tmp_path / "spans").iterdir())


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def disk(tmp_path):
    yield from mount_disk(tmp_path / "disk", kib=2048)  # of a photo, 8 kB are kept beside its example


def test_a_full_disk_costs_the_next_run_time_and_this_one_nothing(data, tmp_path, disk, opened, caplog):
    fill(disk)
    before = files(ingest(data, tmp_path / "1", workspace=disk))
    assert "Spans could not be kept, so the next run reads them again: [Errno 28]" in caplog.text
    assert before == files(ingest(data, tmp_path / "2"))
    (disk / "filler").unlink()
    # On another disk than the artifacts, where nothing can be linked.
    for number in (3, 4):
        opened.clear()
        assert files(ingest(data, tmp_path / str(number), workspace=disk)) == before
    assert not opened


def test_another_run_may_remove_what_this_one_has_begun_with(data, tmp_path, monkeypatch):
    workspace = tmp_path / "workspace"
    ingest(data, tmp_path / "1", workspace=workspace)
    add_week(data, 4)
    example = PhotoSource.example

    def meanwhile(source, span, row):
        shutil.rmtree(workspace / "spans")
        monkeypatch.setattr(PhotoSource, "example", example)
        return example(source, span, row)

    monkeypatch.setattr(PhotoSource, "example", meanwhile)
    kept = ingest(data, tmp_path / "2", workspace=workspace)
    assert not os.path.exists(kept.quarantine.uri + "/scratch")
    assert files(kept) == files(ingest(data, tmp_path / "3"))


def test_spans_of_which_not_all_could_be_read_or_vouched_for_are_read_again_and_alone(
    data, tmp_path, opened, monkeypatch
):
    """Their content lies behind a link, a photo could not be opened, or they changed meanwhile."""
    add_week(data, 4)
    labels, elsewhere = find_spans(data)[0].path / "labels.csv", tmp_path / "labels.csv"
    shutil.move(labels, elsewhere)
    labels.symlink_to(elsewhere)
    late = PhotoSpan.of(find_spans(data)[2]).photos / "late.jpg"
    example = PhotoSource.example

    def hindered(source, span, row) -> Example:
        late.write_bytes(b"it came while others were read")
        if row.id == "b2-44.jpg":
            raise RowRejected("unreadable", "It cannot be opened (access denied).")
        return example(source, span, row)

    with monkeypatch.context() as patch:
        patch.setattr(PhotoSource, "example", hindered)
        ingest(data, tmp_path / "1", workspace=tmp_path / "workspace")
    opened.clear()
    kept = ingest(data, tmp_path / "2", workspace=tmp_path / "workspace")
    assert opened == {"span-00001", "span-00002", "span-00003"}
    assert files(kept) == files(ingest(data, tmp_path / "3"))


def test_what_a_run_that_was_killed_has_made_is_not_read_again(data, tmp_path, monkeypatch):
    workspace, example, opened = tmp_path / "workspace", PhotoSource.example, []
    monkeypatch.setattr(example_shards, "_ROWS", 4)

    def killed(source, span, row):
        opened.append((span.name, row.id))
        if len(opened) == 18:
            raise RuntimeError("killed")
        return example(source, span, row)

    monkeypatch.setattr(PhotoSource, "example", killed)
    with pytest.raises(RuntimeError, match="killed"):
        ingest(data, tmp_path / "1", workspace=workspace)
    before, opened[:] = set(opened[:16]), ["of the first run"] * 18
    damaged = max((workspace / "spans/shelf/examples").glob(".span-*/*/made-*"), key=os.path.getsize)
    os.truncate(damaged, damaged.stat().st_size - 1)
    resumed = ingest(data, tmp_path / "2", workspace=workspace)
    now = set(opened[18:])
    assert len(before | now) == 3 * 11 and 1 <= len(before & now) <= 4 and len(opened) == 18 + len(now)
    assert files(resumed) == files(ingest(data, tmp_path / "3"))
    assert not list((workspace / "spans/shelf/examples").glob(".*"))
