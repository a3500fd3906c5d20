"""ExampleGen reuses the examples that an earlier run made of a span, without a change of its output."""

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
from tests.components.test_example_gen import row, walk
from tests.data.sample_photos import jpeg
from tests.disks import fill, mount_disk

pytestmark = pytest.mark.e2e


def add_week(data, week):
    """Writes a span with two bad photos, and with copies of two photos of the week before."""
    first = 20 * week
    photos = [*walk(range(first, first + 4), f"a{week}"), *walk(range(first + 4, first + 8), f"b{week}")]
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
def opened_spans(monkeypatch):
    """Records the spans whose photos are opened from here on."""
    spans = set()
    example = PhotoSource.example

    def record(source, span, row):
        spans.add(span.name)
        return example(source, span, row)

    monkeypatch.setattr(PhotoSource, "example", record)
    return spans


def read_outputs(ingested):
    """Reads all files that ExampleGen wrote."""
    folders = [Path(artifact.uri) for artifact in (ingested.examples, ingested.quarantine)]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_only_new_and_changed_spans_of_the_next_window_are_opened_and_no_byte_changes(
    data, tmp_path, opened_spans
):
    workspace = tmp_path / "workspace"
    ingest(data, tmp_path / "1", workspace=workspace, window=3)
    assert opened_spans == {"span-00001", "span-00002", "span-00003"}
    span = add_week(data, 4)
    changed = PhotoSpan.of(find_spans(data)[1])
    (changed.photos / "a2-41.jpg").write_bytes(jpeg(seed=99))
    opened_spans.clear()
    kept = ingest(data, tmp_path / "2", workspace=workspace, window=3)
    assert opened_spans == {changed.name, span.name}
    assert read_outputs(kept) == read_outputs(ingest(data, tmp_path / "3", window=3))
    # A copy counts as new once the window lacks the older photo.
    assert {"truncated", "unlabelled", "duplicate", "conflicting-label"} == {
        item["reason"] for item in kept.read_quarantine()
    }
    assert {p.name[:10] for p in (workspace / "spans/shelf/examples").iterdir()} == set(read_names(kept))


def read_names(ingested):
    return [span["name"] for span in ingested.summary["spans"]]


def test_settings_that_choose_or_split_read_no_span_again_and_others_read_all(data, tmp_path, opened_spans):
    workspace, all_three = tmp_path / "workspace", {"span-00001", "span-00002", "span-00003"}

    def ingest_again(number, **options):
        opened_spans.clear()
        return ingest(data, tmp_path / str(number), workspace=workspace, **options)

    ingest_again(1)
    other = ingest_again(2, eval_fraction=0.6)
    assert opened_spans == set()
    assert read_outputs(other) == read_outputs(ingest(data, tmp_path / "0", eval_fraction=0.6))
    decide(data, "exclude", "span-00003", "dirty lens", sorted(all_three))
    without = ingest_again(3)
    assert read_names(without) == ["span-00001", "span-00002"] and opened_spans == set()
    assert [(item["span"], item["reason"]) for item in without.summary["excluded"]] == [
        ("span-00003", "dirty lens")
    ]
    decide(data, "include", "span-00003", "wiped", sorted(all_three))
    ingest_again(4)
    assert opened_spans == {"span-00003"}
    for number, options in enumerate(
        ({"code": "newer"}, {"max_side": 48}, {"workload": replace(SHELF, labels=("ok", "damaged"))})
    ):
        ingest_again(5 + number, **options)
        assert opened_spans == all_three, options


def test_a_bit_in_any_file_or_a_file_that_is_gone_is_damage(tmp_path):
    spans = KeptSpans(tmp_path / "spans", "about")
    for file in ("made", "read.json", "kept.json"):
        for change in (Path.unlink, flip):
            span = tmp_path / "span-00001"
            span.mkdir()
            for name in ("made", "read.json"):
                (span / name).write_text("content")
            spans.update({span.name: "digest"}, [span])
            shutil.rmtree(span)
            assert spans.take(span.name, "digest", tmp_path / f"{file} {change.__name__}")
            change(next((tmp_path / "spans").glob(f"*/{file}")))
            assert not spans.take(span.name, "digest", span)
            assert not span.exists() and not list((tmp_path / "spans").iterdir())


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def disk(tmp_path):
    yield from mount_disk(tmp_path / "disk", kib=2048)  # 8 kB of each photo are kept beside its example


def test_a_full_disk_costs_the_next_run_time_and_this_one_nothing(data, tmp_path, disk, opened_spans, caplog):
    fill(disk)
    before = read_outputs(ingest(data, tmp_path / "1", workspace=disk))
    assert "Spans could not be kept, so the next run reads them again: [Errno 28]" in caplog.text
    assert before == read_outputs(ingest(data, tmp_path / "2"))
    (disk / "filler").unlink()
    # The artifacts are on another disk, so nothing can be linked.
    for number in (3, 4):
        opened_spans.clear()
        assert read_outputs(ingest(data, tmp_path / str(number), workspace=disk)) == before
    assert not opened_spans


def test_another_run_may_remove_the_spans_that_this_one_uses(data, tmp_path, monkeypatch):
    workspace = tmp_path / "workspace"
    ingest(data, tmp_path / "1", workspace=workspace)
    add_week(data, 4)
    example = PhotoSource.example

    def remove_spans(source, span, row):
        shutil.rmtree(workspace / "spans")
        monkeypatch.setattr(PhotoSource, "example", example)
        return example(source, span, row)

    monkeypatch.setattr(PhotoSource, "example", remove_spans)
    kept = ingest(data, tmp_path / "2", workspace=workspace)
    assert not os.path.exists(kept.quarantine.uri + "/scratch")
    assert read_outputs(kept) == read_outputs(ingest(data, tmp_path / "3"))


def test_only_spans_that_could_not_be_kept_are_read_again(data, tmp_path, opened_spans, monkeypatch):
    """One has its labels behind a link, one a photo that could not be opened, one changed meanwhile."""
    add_week(data, 4)
    labels, elsewhere = find_spans(data)[0].path / "labels.csv", tmp_path / "labels.csv"
    shutil.move(labels, elsewhere)
    labels.symlink_to(elsewhere)
    late = PhotoSpan.of(find_spans(data)[2]).photos / "late.jpg"
    example = PhotoSource.example

    def disturb(source, span, row) -> Example:
        late.write_bytes(b"it came while others were read")
        if row.id == "b2-44.jpg":
            raise RowRejected("unreadable", "It cannot be opened (access denied).")
        return example(source, span, row)

    with monkeypatch.context() as patch:
        patch.setattr(PhotoSource, "example", disturb)
        ingest(data, tmp_path / "1", workspace=tmp_path / "workspace")
    opened_spans.clear()
    kept = ingest(data, tmp_path / "2", workspace=tmp_path / "workspace")
    assert opened_spans == {"span-00001", "span-00002", "span-00003"}
    assert read_outputs(kept) == read_outputs(ingest(data, tmp_path / "3"))


def test_rows_that_a_killed_run_has_made_are_not_read_again(data, tmp_path, monkeypatch):
    workspace, example, calls = tmp_path / "workspace", PhotoSource.example, []
    monkeypatch.setattr(example_shards, "_ROWS", 4)

    def end_early(source, span, row):
        calls.append((span.name, row.id))
        if len(calls) == 18:
            raise RuntimeError("killed")
        return example(source, span, row)

    monkeypatch.setattr(PhotoSource, "example", end_early)
    with pytest.raises(RuntimeError, match="killed"):
        ingest(data, tmp_path / "1", workspace=workspace)
    before, calls[:] = set(calls[:16]), ["of the first run"] * 18
    damaged = max((workspace / "spans/shelf/examples").glob(".span-*/*/made-*"), key=os.path.getsize)
    os.truncate(damaged, damaged.stat().st_size - 1)
    resumed = ingest(data, tmp_path / "2", workspace=workspace)
    now = set(calls[18:])
    assert len(before | now) == 3 * 11 and 1 <= len(before & now) <= 4 and len(calls) == 18 + len(now)
    assert read_outputs(resumed) == read_outputs(ingest(data, tmp_path / "3"))
    assert not list((workspace / "spans/shelf/examples").glob(".*"))
