import io
import json
import os
import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from PIL import Image

from components import example_gen
from data.photos import source
from data.photos.labels_file import LabelRow, PhotoSpan, write_span
from data.sensors.generator import generate
from data.shelf.faults import spoil
from data.spans.corrections import Correction, add_corrections
from data.spans.layout import find_spans
from data.spans.source import SPLITS
from data.spans.split import Ends
from edgeline.errors import DataRefused
from edgeline.records.edge import ORIGINALS, ORIGINALS_FOLDER
from edgeline.records.evaluation import REVIEWED
from edgeline.records.ingest import BROKEN_RULES, INGEST, TWINS
from edgeline.records.served import ASKED, SERVED
from edgeline.records.workload import Rule
from edgeline.tables.decoder_process import DecoderProcess
from pipeline.workloads import find_workload, with_features
from tests.components.steps import IN_MEMORY, LABELS, SHELF, ingest
from tests.components.torn_source import REFUSAL
from tests.data.sample_photos import (
    decode,
    encode,
    exposures,
    jpeg,
    memory_bomb,
    phone_exif,
    pixels,
    with_scans,
)
from tests.data.spans.windows import window_digest

pytestmark = pytest.mark.e2e

TAKEN = "2026-10-05T09:12:33Z"


def row(photo, label="ok", session="walk-1"):
    return LabelRow(photo, label, "lane-07", session, TAKEN)


def walk(seeds, session):
    """Makes labelled photos of one walk."""
    return [
        (row(f"{session}-{seed}.jpg", LABELS[seed % 3], session), jpeg(seed=seed, exif=phone_exif()))
        for seed in seeds
    ]


def make_fault(name, photo, seed):
    """Makes a photo with a fault, as `edgeline data generate --fault` does."""
    return spoil(name, row(photo), jpeg(seed=seed, exif=phone_exif()), random.Random(1))


def make_16_bit_photo():
    return encode(Image.fromarray((np.arange(48 * 64).reshape(48, 64) * 21).astype(np.uint16)), "PNG")


REJECTED = {
    "missing.jpg": "missing",
    "corrupt.jpg": "corrupt",
    "truncated.jpg": "truncated",
    "empty.jpg": "zero-byte",
    "huge.jpg": "oversized",
    "1x1.jpg": "too-small",
    "text.jpg": "not-a-photo",
    "unlabelled.jpg": "unlabelled",
    "unknown.jpg": "unknown-label",
    "twice.jpg": "duplicate-row",
    "other-name.jpg": "duplicate",
    "walk-2-21.jpg": "conflicting-label",
    "labelled-otherwise.jpg": "conflicting-label",
    "../../span-00001/photos/walk-1-0.jpg": "outside-span",
    "/etc/hostname": "outside-span",
    "link.jpg": "outside-span",
}


@pytest.fixture(scope="session")
def spoiled(tmp_path_factory):
    """Writes two spans; the second has a photo with each fault."""
    data = tmp_path_factory.mktemp("spoiled")
    write_span(data, [*walk(range(10), "walk-1"), *walk(range(10, 20), "walk-2"), *walk([21], "walk-2")])
    bad = [
        (row("missing.jpg"), None),
        make_fault("corrupt", "corrupt.jpg", 30),
        make_fault("truncated", "truncated.jpg", 31),
        (row("empty.jpg"), b""),
        make_fault("huge", "huge.jpg", 32),
        (row("1x1.jpg"), encode(Image.new("RGB", (1, 1)))),
        (row("text.jpg"), b"<html>not found</html>"),
        make_fault("unlabelled", "unlabelled.jpg", 33),
        make_fault("unknown-label", "unknown.jpg", 34),
        (row("twice.jpg"), jpeg(seed=35)),
        (row("twice.jpg"), jpeg(seed=35)),
        (row("other-name.jpg", "misplaced"), jpeg(seed=1)),
        (row("labelled-otherwise.jpg", "damaged"), jpeg(seed=21)),
        (row("../../span-00001/photos/walk-1-0.jpg"), None),
        (row("/etc/hostname"), None),
        (row("link.jpg"), None),
        (row("png.jpg"), encode(pixels(seed=36), "PNG")),
        (row("cmyk.jpg"), encode(pixels(seed=37).convert("CMYK"))),
        (row("16-bit.png"), make_16_bit_photo()),
        (row("turned.jpg"), jpeg(seed=38, exif=phone_exif(orientation=6))),
    ]
    span = write_span(data, [*bad, *walk(range(40, 50), "walk-4")])
    outside = tmp_path_factory.mktemp("outside") / "private.jpg"
    outside.write_bytes(jpeg(seed=39))
    (span.photos / "link.jpg").symlink_to(outside)
    return data


@pytest.fixture(scope="session")
def ingested(spoiled, tmp_path_factory):
    digest = window_digest(find_spans(spoiled))
    return ingest(spoiled, tmp_path_factory.mktemp("ingested"), digest=digest)


def read_by_name(ingested):
    records = [record for split in ("train", "eval") for record in ingested.read_records(split)]
    return {record["photo_id"].decode(): record for record in records}


def test_each_bad_photo_is_quarantined_once_with_its_reason_and_nothing_else(ingested):
    quarantine, accepted = ingested.read_quarantine(), read_by_name(ingested)
    assert sorted((item["photo"], item["reason"]) for item in quarantine) == sorted(REJECTED.items())
    assert all(item["detail"].endswith(".") for item in quarantine)
    (copy,) = (item for item in quarantine if item["reason"] == "duplicate")
    assert copy["detail"] == "It is a copy of span-00001/walk-1-1.jpg."
    also_accepted = {photo for item in quarantine if f"{item['span']}/{(photo := item['photo'])}" in accepted}
    assert also_accepted == {"twice.jpg"}


def test_the_counts_add_up_to_the_rows(ingested, spoiled):
    summary, quarantine = ingested.summary, ingested.read_quarantine()
    for span in summary["spans"]:
        reasons = Counter(item["reason"] for item in quarantine if item["span"] == span["name"])
        assert span["rejected"] == reasons
        assert span["rows"] == span["accepted"] + sum(reasons.values())
    assert [span["rows"] for span in summary["spans"]] == [21, 30]
    assert [span["accepted"] for span in summary["spans"]] == [20, 15]
    for span in summary["spans"]:
        assert sum(span["classes"].values()) == span["accepted"]
    for label, count in summary["classes"].items():
        assert sum(span["classes"][label] for span in summary["spans"]) == count
    records = {split: ingested.read_records(split) for split in ("train", "eval")}
    assert summary["splits"] == {split: len(part) for split, part in records.items()}
    labels = Counter(record["label"].decode() for part in records.values() for record in part)
    assert summary["classes"] == labels
    assert summary["window"] == window_digest(find_spans(spoiled))


def test_the_artifacts_name_the_window_and_no_session_is_in_both_of_its_splits(ingested):
    examples = ingested.examples
    assert (examples.split_names, examples.span) == ('["train", "eval"]', 2)
    assert [examples.get_int_custom_property(f"{end}_span") for end in ("first", "last")] == [1, 2]
    assert examples.get_string_custom_property("window") == ingested.summary["window"]
    splits = read_splits(ingested).values()
    assert all(len(names) == 1 for names in splits) and set().union(*splits) == {"train", "eval"}


def test_a_record_has_the_features_that_statistics_and_transform_read(ingested):
    record = read_by_name(ingested)["span-00002/walk-4-40.jpg"]
    original = jpeg(seed=40, exif=phone_exif())
    text = {"label": "misplaced", "lane_id": "lane-07", "session_id": "walk-4", "captured_at": TAKEN}
    assert {name: record[name].decode() for name in text} == text
    numbers = {"span": 2, "newest_span": 1, "width": 64, "height": 48, "byte_size": len(original)}
    assert {name: record[name] for name in numbers} == numbers
    # The mean of the luma that the decoder gives, which rounds each pixel to a whole number.
    assert record["brightness"] == pytest.approx(np.asarray(decode(original).convert("L")).mean(), abs=1)
    assert record["sharpness"] > 0
    assert set(record) == {*text, *numbers, "photo_id", "photo", "brightness", "sharpness"}
    assert read_by_name(ingested)["span-00001/walk-1-0.jpg"]["newest_span"] == 0


def test_photos_in_quarantine_that_can_be_opened_have_thumbnails_without_metadata(ingested):
    folder = Path(ingested.quarantine.uri)
    thumbnails = json.loads((folder / "thumbnails.json").read_text())
    quarantine = {(item["span"], item["photo"], item["reason"]) for item in ingested.read_quarantine()}
    assert {(item["span"], item["id"], item["reason"]) for item in thumbnails} <= quarantine
    names = {"1x1.jpg", "unlabelled.jpg", "unknown.jpg", "twice.jpg"}
    names |= {"other-name.jpg", "labelled-otherwise.jpg"}
    assert names <= {item["id"] for item in thumbnails}
    assert not {"missing.jpg", "text.jpg", "link.jpg", "/etc/hostname"} & {item["id"] for item in thumbnails}
    for item in thumbnails:
        photo = (folder / item["file"]).read_bytes()
        assert max(decode(photo).size) <= 96 and b"PhoneMaker" not in photo
    assert len(list((folder / "thumbnails").iterdir())) == len(thumbnails)


def test_the_newest_of_many_photos_in_quarantine_are_shown_each_reason_in_turn(tmp_path):
    weeks = [[(row(f"{week}-{n}.jpg", "", f"s-{n}"), jpeg(seed=n)) for n in range(20)] for week in range(2)]
    for week, unlabelled in enumerate(weeks):
        span = write_span(tmp_path / "data", [*unlabelled, (row(f"{week}-odd.jpg", "odd"), jpeg(seed=99))])
    write_span(tmp_path / "data", [*walk(range(30, 35), "walk-1"), *walk(range(35, 40), "walk-2")])
    ingested = ingest(tmp_path / "data", tmp_path)
    thumbnails = json.loads(Path(ingested.quarantine.uri, "thumbnails.json").read_text())
    assert len(thumbnails) == 24 and {item["span"] for item in thumbnails[:21]} == {span.name}
    assert [item["reason"] for item in thumbnails[:3]] == ["unknown-label", "unlabelled", "unlabelled"]


def test_a_photo_that_is_too_much_for_its_decoder_costs_only_itself_and_is_not_opened_again(tmp_path):
    bad = [(row("memory.tif"), memory_bomb()), (row("scans.jpg"), with_scans(101)), (row("large.jpg"), b"")]
    span = write_span(tmp_path / "data", [*walk(range(5), "walk-1"), *bad, *walk(range(5, 10), "walk-2")])
    os.truncate(span.photos / "large.jpg", 2**32)
    ingested = ingest(tmp_path / "data", tmp_path, max_megapixels=1.0)
    assert len(read_by_name(ingested)) == 10
    assert {item["photo"]: (item["reason"], item["detail"]) for item in ingested.read_quarantine()} == {
        "memory.tif": ("unsafe", "Its decoding takes more than 1.032 GB of memory."),
        "scans.jpg": ("unsafe", "It has 101 scans, above 100."),
        "large.jpg": ("oversized", "The file has more than 67,108,864 bytes."),
    }
    assert json.loads(Path(ingested.quarantine.uri, "thumbnails.json").read_text()) == []


def test_the_place_and_the_camera_of_a_photo_are_not_stored(ingested, spoiled):
    original = PhotoSpan.of(find_spans(spoiled)[0]).read("walk-1-0.jpg")
    assert b"PhoneMaker" in original
    for record in read_by_name(ingested).values():
        stored = record["photo"]
        assert b"PhoneMaker" not in stored and b"Exif" not in stored
        assert not dict(Image.open(io.BytesIO(stored)).getexif())


def test_the_same_window_gives_the_same_records_in_the_same_order_on_another_engine(
    ingested, spoiled, tmp_path, monkeypatch
):
    monkeypatch.setattr(source, "DecoderProcess", DecoderProcess)  # its threads share no process
    flags = (*IN_MEMORY, "--direct_running_mode=multi_threading", "--direct_num_workers=2")
    again = ingest(spoiled, tmp_path, flags)
    for split in ("train", "eval"):
        assert again.read_files(split) == ingested.read_files(split)
    assert again.summary == ingested.summary
    assert again.read_quarantine() == ingested.read_quarantine()


def get_refusal(data, folder, **options):
    with pytest.raises(DataRefused) as caught:
        ingest(data, folder, **options)
    assert caught.value.found and caught.value.why and caught.value.do
    return caught.value


def test_a_span_that_cannot_be_read_to_its_end_is_refused_in_the_words_of_its_source(tmp_path):
    write_span(tmp_path / "data", [])
    torn = replace(SHELF, source="tests.components.torn_source")
    error = get_refusal(tmp_path / "data", tmp_path, workload=torn)
    assert (error.found, error.why, error.do, error.spans) == REFUSAL


def test_a_window_without_a_single_usable_row_is_refused_for_that_reason(tmp_path):
    rows = [(row(f"{n}.jpg", "", f"walk-{n}"), jpeg(seed=n)) for n in range(3)]
    write_span(tmp_path / "data", rows)
    assert "3 unlabelled" in get_refusal(tmp_path / "data", tmp_path).found
    write_span(tmp_path / "none", [])
    assert "No usable" in get_refusal(tmp_path / "none", tmp_path).found


def test_a_split_whose_photos_all_went_to_quarantine_is_refused_and_named(tmp_path):
    sessions = ["walk-1", "walk-2", "walk-3"]
    ends = Ends()
    for session in sessions:
        ends = ends.with_group(session)
    lost = [session for session in sessions if ends.in_eval(session, 0.2)]
    photos = [item for n, session in enumerate(sessions) for item in walk(range(n * 5, n * 5 + 5), session)]
    write_span(tmp_path / "data", [(row, b"" if row.session_id in lost else photo) for row, photo in photos])
    error = get_refusal(tmp_path / "data", tmp_path)
    assert "left for the eval split (5 quarantined: 5 zero-byte)" in error.found
    assert error.do == "Check the content of span-00001."


def test_photos_that_their_spans_all_assign_to_one_split_are_refused_for_that_reason(tmp_path):
    photos = [*walk(range(3), "walk-1"), *walk(range(3, 6), "walk-2")]
    write_span(tmp_path / "data", [(replace(row, split="train"), photo) for row, photo in photos])
    error = get_refusal(tmp_path / "data", tmp_path)
    assert error.found == "All photos of span-00001 are assigned to train, and none to the eval split."


def test_a_window_that_changed_since_the_runner_saw_it_is_refused(tmp_path):
    span = write_span(tmp_path / "data", [*walk(range(5), "walk-1"), *walk(range(5, 10), "walk-2")])
    digest = window_digest([span])
    (span.photos / "late.jpg").write_bytes(jpeg(seed=50))
    assert "changed while they were read" in get_refusal(tmp_path / "data", tmp_path, digest=digest).found


def read_splits(ingested):
    """Returns the splits of each session."""
    splits = {}
    for split in ("train", "eval"):
        for record in ingested.read_records(split):
            splits.setdefault(record["session_id"].decode(), set()).add(split)
    return splits


def test_the_split_of_the_labels_file_counts_and_else_the_hash_as_before(tmp_path):
    walks = [f"walk-{n}" for n in range(8)]
    photos = [item for n, name in enumerate(walks) for item in walk(range(3 * n, 3 * n + 3), name)]
    span = write_span(tmp_path / "data", photos)
    labels = span.labels.read_text().splitlines()
    span.labels.write_text("".join(line.rpartition(",")[0] + "\n" for line in labels))
    before = read_splits(ingest(tmp_path / "data", tmp_path / "1"))
    sides = {f"run-{n}": "eval" if n < 3 else "train" for n in range(5)}
    later = [
        (replace(item, split=sides[run]), photo)
        for n, run in enumerate(sides)
        for item, photo in walk(range(50 + 3 * n, 53 + 3 * n), run)
    ]
    write_span(tmp_path / "data", later)
    after = read_splits(ingest(tmp_path / "data", tmp_path / "2"))
    assert after == {**before, **{run: {side} for run, side in sides.items()}}
    newest = read_splits(ingest(tmp_path / "data", tmp_path / "3", window=1))
    assert newest == {run: {side} for run, side in sides.items()}


def test_one_session_in_two_splits_is_refused_by_name_and_an_unknown_split_quarantined(tmp_path):
    photos = [*walk(range(5), "walk-1"), *walk(range(5, 10), "walk-2"), *walk(range(10, 15), "walk-3")]
    side = {"walk-1": "eval", "walk-2": "train", "walk-3": "test"}
    assigned = [(replace(item, split=side[item.session_id]), photo) for item, photo in photos]
    write_span(tmp_path / "data", assigned)
    ingested = ingest(tmp_path / "data", tmp_path / "1")
    assert Counter(item["reason"] for item in ingested.read_quarantine()) == {"unknown-split": 5}
    again = [(replace(item, split="train"), photo) for item, photo in walk(range(20, 25), "walk-1")]
    write_span(tmp_path / "data", again)
    error = get_refusal(tmp_path / "data", tmp_path / "2")
    assert error.found.startswith("The group walk-1 is in train and eval") and error.why and error.do


def test_eval_photos_with_a_near_twin_of_their_label_in_train_are_on_record(tmp_path):
    photos = []
    for n in range(10):
        first, second = exposures(2, n)
        label = LABELS[n % 2]
        photos += [(replace(row(f"{n}-a.jpg", label, f"a-{n}"), split="train"), first)]
        # The last ones are labelled otherwise than their twins in train, or have none there.
        label, split = ("damaged" if n > 6 else label), ("train" if n < 3 else "eval")
        photos += [(replace(row(f"{n}-b.jpg", label, f"b-{n}"), split=split), second)]
    write_span(tmp_path / "data", photos)
    twins = TWINS.read(Path(ingest(tmp_path / "data", tmp_path).quarantine.uri))
    assert twins.compared == 7
    assert [(twin.example_id, twin.twin_id) for twin in twins.found] == [
        (f"span-00001/{n}-b.jpg", f"span-00001/{n}-a.jpg") for n in (3, 4, 5, 6)
    ]


def test_rows_that_the_engine_tries_again_are_quarantined_once(ingested, spoiled, tmp_path, monkeypatch):
    run = example_gen._run

    def run_twice(pipeline, *arguments):
        run(beam.Pipeline(options=pipeline.options), *arguments)
        run(pipeline, *arguments)

    monkeypatch.setattr(example_gen, "_run", run_twice)
    again = ingest(spoiled, tmp_path)
    assert again.read_quarantine() == ingested.read_quarantine() and again.summary == ingested.summary


def read_labels(ingested):
    records = [*ingested.read_records("train"), *ingested.read_records("eval")]
    return {record[SHELF.id].decode(): record["label"].decode() for record in records}


def test_a_corrected_label_is_the_one_that_is_learned_and_the_decision_is_noted(tmp_path):
    rows = [(row(f"{n}.jpg", session=f"s{n}"), jpeg(seed=n)) for n in range(8)]
    write_span(tmp_path / "data", rows)
    first = ingest(tmp_path / "data", tmp_path / "one", workspace=tmp_path / "w")
    assert set(read_labels(first).values()) == {"ok"}
    (span,) = find_spans(tmp_path / "data")
    # 2.jpg has another label than the corrected one, and the schema has no `no label`.
    decisions = {
        "0.jpg": ("ok", "damaged"),
        "1.jpg": ("ok", "ok"),
        "2.jpg": ("misplaced", "damaged"),
        "3.jpg": ("ok", "no label"),
    }
    corrections = [Correction(name, was, label, "", "", "") for name, (was, label) in decisions.items()]
    add_corrections(span, corrections)
    again = ingest(tmp_path / "data", tmp_path / "two", workspace=tmp_path / "w")
    assert {name for name, label in read_labels(again).items() if label != "ok"} == {"span-00001/0.jpg"}
    assert again.summary["classes"]["damaged"] == 1
    assert set(REVIEWED.read(Path(again.quarantine.uri))) == {f"span-00001/{name}" for name in decisions}


def test_a_label_that_a_person_decided_on_outweighs_those_of_copies(tmp_path):
    copies = [(row(f"{n}.jpg", session=f"s{n}"), jpeg(seed=1)) for n in range(3)]
    others = [(row(f"{n}.jpg", session=f"s{n}"), jpeg(seed=n)) for n in range(3, 9)]
    write_span(tmp_path / "data", [*copies, *others])
    (span,) = find_spans(tmp_path / "data")
    add_corrections(span, [Correction("1.jpg", "ok", "damaged", "", "", "")])
    header = "example,version,variant,said,score,captured_at,device,chosen"
    answer = "0.jpg,1,int8,damaged,0.9,2026-10-05T09:00:00Z,d1,random"
    (span.path / "served.csv").write_text(f"{header}\n{answer}\n")
    corrected = ingest(tmp_path / "data", tmp_path / "one")
    (version,) = SERVED.read(Path(corrected.quarantine.uri)).versions
    assert version.slices["class"]["damaged"].checked.share == 1
    labels = read_labels(corrected)
    assert labels["span-00001/1.jpg"] == "damaged" and "span-00001/0.jpg" not in labels
    assert {each["reason"] for each in corrected.read_quarantine()} == {"duplicate"}
    add_corrections(span, [Correction("2.jpg", "ok", "ok", "", "", "")])
    disputed = ingest(tmp_path / "data", tmp_path / "two")
    assert [each["reason"] for each in disputed.read_quarantine()] == ["conflicting-label"] * 3


def test_answers_of_phones_are_joined_with_the_labels_of_usable_examples(spoiled, tmp_path):
    rows = [
        *((f"walk-4-{seed}.jpg", "ok", "random") for seed in range(40, 50)),  # a third of these are ok
        ("other-name.jpg", "misplaced", "random"),  # a copy of a photo of the week before
        ("labelled-otherwise.jpg", "ok", "person"),  # in quarantine, as its label is in conflict
        ("unknown.jpg", "ok", "random"),
        ("", "ok", ""),
    ]
    data = tmp_path / "data"
    shutil.copytree(spoiled, data, symlinks=True)
    lines = [
        f"{name},2,int8,{label},0.5,2026-10-05T09:{n:02d}:00Z,d1,{chosen}"
        for n, (name, label, chosen) in enumerate(rows)
    ]
    header = "example,version,variant,said,score,captured_at,device,chosen"
    (data / "span-00002" / "served.csv").write_text("\n".join([header, *lines, "broken"]) + "\n")
    folder = Path(ingest(data, tmp_path).quarantine.uri)
    served = SERVED.read(folder)
    (version,) = served.versions
    total = version.total
    assert (total.answers, total.drawn, total.doubted) == (14, 12, 0)
    assert (total.checked.examples, total.checked.sessions) == (11, 2)
    assert total.checked.share == pytest.approx(4 / 11)  # 42, 45, 48, and the copy
    assert version.slices["lane"].keys() == {"lane-07"}
    assert version.slices["class"]["misplaced"].checked.examples == 5
    examples = {answer.example for answer in ASKED.read(folder)}
    originals = ORIGINALS.read(folder / ORIGINALS_FOLDER)
    assert {original.example_id for original in originals if original.file} == examples and len(examples) == 5
    assert [warning.split(":")[0] for warning in served.warnings] == [
        "Rows of served.csv that are not answers, left out",
        "Checked answers whose photos are not among the usable data",
    ]


def test_the_share_in_quarantine_is_that_of_the_rows_and_not_of_windows(tmp_path):
    data = tmp_path / "data"
    generate(data, weeks=1, per_week=400, seed=1, faults={"unlabelled": 0.02})
    shutil.copytree(data / "span-00001", data / "span-00002")
    sensor = with_features(find_workload("sensor"))
    ingested = ingest(data, tmp_path, workload=sensor, readings=4, stride=4, block_hours=168)
    first, copy = INGEST.read(Path(ingested.quarantine.uri)).spans

    assert (first.rows, first.rejected, first.quarantined_share) == (400, {"unlabelled": 8}, 0.02)
    assert 0 < first.accepted < 100 and copy.accepted == 0
    assert copy.quarantined_share == pytest.approx(1.0)


def test_rows_that_fill_no_window_are_refused_with_the_settings_of_windows(tmp_path):
    generate(tmp_path / "data", weeks=1, per_week=40, seed=1, faults={})  # two of each machine
    sensor = with_features(find_workload("sensor"))
    error = get_refusal(tmp_path / "data", tmp_path, workload=sensor, readings=4)
    assert error.found == "No 24 hours of a machine_id have 4 of the 40 rows."
    assert "data.block_hours" in error.do and "data.readings" in error.do


def test_rules_of_a_workload_leave_rows_out_and_are_on_record_also_of_spans_that_are_not_read_again(tmp_path):
    data = tmp_path / "data"
    generate(data, weeks=2, per_week=100, seed=1, faults={})
    rules = (
        Rule("temperature <= 42", "quarantine"),
        Rule("rows >= 101", "warn"),
        Rule("timestamp, machine_id unique across spans", "block"),
    )
    sensor = replace(with_features(find_workload("sensor")), rules=rules)
    first = ingest(data, tmp_path / "1", workload=sensor, workspace=tmp_path / "w", readings=1)
    (reason,) = {row["reason"] for row in first.read_quarantine()}
    assert reason == "against temperature <= 42"
    # A reading without a temperature breaks no rule about it.
    assert not any(record["temperature"] > 42 for split in SPLITS for record in first.read_records(split))

    broken = BROKEN_RULES.read(Path(first.quarantine.uri))
    assert [(item.span, item.rule, item.rows) for item in broken] == [
        ("span-00001", "rows >= 101", 100),
        ("span-00002", "rows >= 101", 100),
    ]

    shutil.copytree(data / "span-00001", data / "span-00003")
    again = ingest(data, tmp_path / "2", workload=sensor, workspace=tmp_path / "w", readings=1)
    *_, copied = BROKEN_RULES.read(Path(again.quarantine.uri))
    assert (copied.span, copied.rule) == ("span-00003", rules[2].rule)
    assert copied.broken == copied.rows and "(as span-00001/" in copied.examples[0]
