"""Raw inputs that ingest keeps for golden vectors."""

from collections import Counter
from pathlib import Path

import pytest

from components.ingest import originals
from components.ingest.originals import Named, choose_originals, write_originals
from data.photos.labels_file import LabelRow, write_span
from data.settings import DataSettings
from data.spans.layout import Span, find_spans
from data.spans.source import Source, load_source
from data.texts.source import open_source
from edgeline.records.edge import ORIGINALS, ORIGINALS_FOLDER
from edgeline.records.workload import Workload
from tests.data.sample_photos import encode, jpeg, phone_exif, pixels

PHOTOS = Workload("shelf", "", "trainer_module.workloads.photos", "data.photos.source", labels=("ok", "bad"))
TEXTS = Workload("text", "", "trainer_module.workloads.texts", "data.texts.source", labels=("ok", "bad"))


def make_shards(
    *spans: str, of_each: int, labels: tuple[str, ...] = ("ok", "bad")
) -> list[list[tuple[str, str, str]]]:
    """Makes eight shards with `of_each` eval examples of each label and span."""
    named = [(label, span, f"{label}-{n}") for n in range(of_each) for span in spans for label in labels]
    return [named[shard::8] for shard in range(8)]


def test_twenty_inputs_of_each_label_are_kept_from_the_newest_spans_that_have_them():
    chosen = choose_originals(make_shards("span-00007", "span-00008", of_each=30), ("ok", "bad"))
    assert list(chosen) == ["span-00008"]
    assert Counter(label for label, _, _ in chosen["span-00008"]) == {"ok": 20, "bad": 20}
    assert [label for label, _, _ in chosen["span-00008"][:2]] in (["ok", "bad"], ["bad", "ok"])
    chosen = choose_originals(make_shards("span-00007", "span-00008", of_each=12), ("ok", "bad"))
    assert [len(chosen[span]) for span in ("span-00008", "span-00007")] == [24, 16]
    rare = [*make_shards("span-00008", of_each=30, labels=("ok",)), [("bad", "span-00003", "x")]]
    assert choose_originals(rare, ("ok", "bad"))["span-00003"] == [("bad", "span-00003", "x")]


@pytest.mark.parametrize(("labels", "kept"), [(100, 200), (500, 500)])
def test_two_hundred_inputs_of_many_labels_are_kept_or_one_each(labels: int, kept: int):
    names = tuple(map(str, range(labels)))
    chosen = choose_originals(make_shards("span-00001", of_each=12, labels=names), names)
    assert len(chosen["span-00001"]) == kept


def write(folder: Path, source: Source, *named: Named) -> dict[str, object]:
    """Writes the originals of a span; returns by id the content, or the bytes of the file."""
    spans = find_spans(folder / "data")
    write_originals(folder / "examples", choose_originals([list(named)], ("ok", "bad")), spans, source)
    kept = folder / "examples" / ORIGINALS_FOLDER
    originals = list(ORIGINALS.read(kept))
    return {each.example_id: each.content or (kept / each.file).read_bytes() for each in originals}


def test_photos_are_kept_as_they_came_without_metadata(tmp_path: Path):
    photos = {
        "large.jpg": jpeg(900, 700, exif=phone_exif(6)),
        "drawn.png": encode(pixels(), "PNG"),
        "web.webp": encode(pixels(seed=3), "WEBP"),
    }
    rows = [(LabelRow(name, "ok", "lane", "walk", ""), photo) for name, photo in photos.items()]
    write_span(tmp_path / "data", rows)
    source = load_source(PHOTOS.source).open_source(PHOTOS, DataSettings())
    named = [("ok", "span-00001", name) for name in (*photos, "gone.jpg")]
    kept = write(tmp_path, source, *named)
    assert set(kept) == {f"span-00001/{name}" for name in photos}
    large, png, other = (kept[f"span-00001/{name}"] for name in photos)
    assert b"PhoneMaker" not in large and 0 < len(photos["large.jpg"]) - len(large) < 600
    assert png.startswith(b"\x89PNG") and other.startswith((b"\x89PNG", b"\xff\xd8"))


def test_one_large_photo_of_each_device_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(originals, "_MOST_BYTES", 1)
    photos = [(LabelRow(f"{n}.jpg", "ok", "lane", "walk", ""), jpeg(seed=n)) for n in range(6)]
    write_span(tmp_path / "data", photos)
    source = load_source(PHOTOS.source).open_source(PHOTOS, DataSettings())
    by_device = [(f"d{n // 2}", "span-00001", f"{n}.jpg") for n in range(6)]
    write_originals(tmp_path / "kept", {"span-00001": by_device}, find_spans(tmp_path / "data"), source)
    kept = list(ORIGINALS.read(tmp_path / "kept" / ORIGINALS_FOLDER))
    assert [each.example_id for each in kept] == [f"span-00001/{n}.jpg" for n in (0, 2, 4)]


def test_texts_are_kept_in_the_list(tmp_path: Path):
    span = tmp_path / "data/span-00001"
    span.mkdir(parents=True)
    (span / "a.csv").write_text("text,label\ncafe\u0301,ok\nother,bad\n", encoding="utf-8")
    source = open_source(TEXTS, DataSettings())
    assert list(source.rows(Span(1, span)))
    kept = write(tmp_path, source, ("ok", "span-00001", "a.csv:2"))
    assert kept == {"span-00001/a.csv:2": "cafe\u0301"}
    assert sorted(path.name for path in (tmp_path / "examples/originals").iterdir()) == ["originals.jsonl"]
