import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from data.importers.importing import import_photos
from data.photos.labels_file import LabelRow, read_labels, write_span
from data.spans.corrections import Correction, add_corrections
from data.spans.exclusions import decide
from data.spans.layout import find_spans
from edgeline.errors import UsageError
from runners.cli.data import data as command
from tests.data.importers.test_importing import write
from tests.data.sample_photos import decode, encode, exposures, jpeg, phone_exif


def number_photos(label, seeds, count):
    """Makes photos of scenes, by paths with a camera's running numbers."""
    photos = [photo for seed in seeds for photo in exposures(count, seed)]
    return {f"{label}/IMG_{number:04d}.jpg": photo for number, photo in enumerate(photos, 1)}


def read_sessions(data_dir):
    """Returns the contents of the photos of each session."""
    contents = defaultdict(set)
    for span in find_spans(data_dir):
        for row in read_labels(span):
            contents[row.session_id].add(Path(str(span.path), "photos", row.photo).read_bytes())
    return contents


def test_exposures_of_one_object_share_a_session_and_each_class_has_objects_in_eval(tmp_path, data_dir):
    photos = {**number_photos("ok", range(10), 4), **number_photos("crack", range(20, 25), 4)}
    report = import_photos(write(tmp_path / "src", photos), data_dir)
    contents = list(photos.values())
    groups = [set(contents[at : at + 4]) for at in range(0, len(contents), 4)]
    assert sorted(map(sorted, read_sessions(data_dir).values())) == sorted(map(sorted, groups))
    assert report.eval == {"crack": 4, "ok": 8}
    assert {len(group) for group in report.groups} == {4} and len(report.groups) == 15
    text = " ".join(report.sentences())
    assert "60 photos show the same object as another one; each of these groups (15)" in text
    assert "crack/IMG_0001.jpg, crack/IMG_0002.jpg, crack/IMG_0003.jpg, ..." in text
    assert "assigns to eval: 4 of 20 crack, 8 of 40 ok." in text


def test_running_numbers_and_times_alone_join_nothing(tmp_path, data_dir):
    photos = {f"ok/IMG_{n:04d}.jpg": jpeg(seed=n, exif=phone_exif()) for n in range(30)}
    report = import_photos(write(tmp_path / "src", photos), data_dir)
    assert len(read_sessions(data_dir)) == 30 and report.groups == ()


@pytest.mark.parametrize(
    ("names", "exif", "joined"),
    [
        (("IMG_0001.jpg", "IMG_0002.jpg"), {}, True),
        (("IMG_0001.jpg", "IMG_0007.jpg"), {}, False),
        (("a.jpg", "b.jpg"), {"exif": phone_exif()}, True),
    ],
    ids=["next number", "far number", "same second"],
)
def test_neighbours_in_a_burst_may_be_less_alike(tmp_path, data_dir, names, exif, joined):
    scene, other = decode(exposures(1, 1)[0]).resize((64, 48)), decode(exposures(1, 2)[0]).resize((64, 48))
    moved = Image.blend(scene, other, 0.5)
    photos = {f"ok/{name}": encode(image, **exif) for name, image in zip(names, (scene, moved), strict=True)}
    import_photos(write(tmp_path / "src", photos), data_dir)
    assert (len(read_sessions(data_dir)) == 1) == joined


def test_photos_of_two_labels_are_not_joined(tmp_path, data_dir):
    first, second = exposures(2)
    import_photos(write(tmp_path / "src", {"ok/1.jpg": first, "crack/2.jpg": second}), data_dir)
    assert len(read_sessions(data_dir)) == 2


@pytest.mark.parametrize("kept", ["there", "damaged"])
def test_a_later_photo_joins_the_session_of_its_near_twin_and_its_split(tmp_path, data_dir, kept):
    first = number_photos("ok", range(10), 2)
    later = {f"ok/later-{seed}.jpg": exposures(3, seed)[2] for seed in range(10)}
    import_photos(write(tmp_path / "first", first), data_dir)
    (file,) = (data_dir / ".looks").iterdir()
    if kept == "damaged":
        file.write_bytes(b"\x81")
    report = import_photos(write(tmp_path / "later", later), data_dir)
    assert report.span.number == 2 and len(report.joined) == 10
    assert "that shows the same object: 10 photos (" in " ".join(report.sentences())
    assert {len(photos) for photos in read_sessions(data_dir).values()} == {3}
    split_of = [{row.session_id: row.split for row in read_labels(span)} for span in find_spans(data_dir)]
    assert split_of[0] == split_of[1] and set(split_of[0].values()) == {"train", "eval"}


def test_a_later_photo_joins_the_session_of_a_near_twin_whose_label_was_corrected(tmp_path, data_dir):
    first, later = exposures(2)
    import_photos(write(tmp_path / "first", {"ok/1.jpg": first, "crack/2.jpg": jpeg(seed=9)}), data_dir)
    (span,) = find_spans(data_dir)
    (photo,) = (row.photo for row in read_labels(span) if row.label == "ok")
    add_corrections(span, [Correction(photo, "ok", "crack", "", "", "")])
    report = import_photos(write(tmp_path / "later", {"crack/3.jpg": later}), data_dir)
    assert report.joined == ("crack/3.jpg",)


def test_a_session_keeps_its_split_also_while_its_span_is_excluded(tmp_path, data_dir):
    source = write(tmp_path / "src", number_photos("ok", range(10), 1))
    import_photos(source, data_dir)
    before = {row.session_id: row.split for row in read_labels(find_spans(data_dir)[0])}
    decide(data_dir, "exclude", "span-00001", "again", ["span-00001"])
    write(source, number_photos("crack", range(30, 40), 1))
    import_photos(source, data_dir)
    again = {row.session_id: row.split for row in read_labels(find_spans(data_dir)[1])}
    assert {session: again[session] for session in before} == before


def test_sessions_of_spans_without_a_split_stay_without(tmp_path, data_dir):
    early, late = exposures(2)
    write_span(data_dir, [(LabelRow("a.jpg", "ok", "", "walk-1", ""), early)])
    labels = data_dir / "span-00001" / "labels.csv"
    labels.write_text("photo,label,lane_id,session_id,captured_at\na.jpg,ok,,walk-1,\n")
    import_photos(write(tmp_path / "src", {"ok/b.jpg": late}), data_dir)
    assert [(row.session_id, row.split) for row in read_labels(find_spans(data_dir)[1])] == [("walk-1", "")]


def test_sessions_and_splits_of_a_manifest_are_taken_as_they_are(tmp_path, data_dir):
    photos = dict(zip(["a.jpg", "b.jpg", "c.jpg", "d.jpg"], exposures(4), strict=True))
    lines = "photo,label,session,split\na.jpg,ok,s1,train\nb.jpg,ok,s2,eval\nc.jpg,ok,,eval\nd.jpg,ok,,"
    for wrong, error in {"test": "m.csv line 4: the split is 'test'", "train": "'s2' is in eval and"}.items():
        text = lines.replace("c.jpg,ok,,eval", f"c.jpg,ok,s2,{wrong}")
        with pytest.raises(UsageError, match=error):
            import_photos(write(tmp_path / "src", {**photos, "m.csv": text}), data_dir)
        assert not find_spans(data_dir)
    import_photos(write(tmp_path / "src", {**photos, "m.csv": lines}), data_dir)
    rows = read_labels(find_spans(data_dir)[0])
    assert [row.session_id for row in rows[:2]] == ["s1", "s2"]
    assert [row.split for row in rows] == ["train", "eval", "eval", "train"]
    assert len({row.session_id for row in rows}) == 4


@pytest.mark.parametrize("split, warned", [("train", True), ("eval", False), ("", False)])
def test_a_source_without_photos_in_eval_is_a_warning(tmp_path, data_dir, split, warned):
    files = {f"{n}.jpg": jpeg(seed=n) for n in range(3)}
    lines = f"photo,label,split\n0.jpg,ok,train\n1.jpg,bad,train\n2.jpg,bad,{split}\n"
    report = import_photos(write(tmp_path / "src", {"m.csv": lines.encode(), **files}), data_dir)
    assert any("a run will refuse them" in warning for warning in report.warnings) == warned


def test_the_command_reports_as_json_and_uses_the_eval_share_of_the_workload(tmp_path, data_dir):
    workload = "name: mine\nschema: schema.pbtxt\nsettings: {data: {eval_fraction: 0.5}}"
    write(data_dir, {"workload.yaml": workload})
    photos = number_photos("ok", range(10), 2) | number_photos("bad", range(10, 12), 1)
    source = write(tmp_path / "src", photos)
    result = CliRunner().invoke(command, ["import", str(source), "--data", str(data_dir), "--json"])
    report = json.loads(result.stdout)
    assert report["groups"][0] == ["ok/IMG_0001.jpg", "ok/IMG_0002.jpg"] and len(report["groups"]) == 10
    assert report["span"] == str(data_dir / "span-00001") and report["eval"] == {"bad": 1, "ok": 10}


def test_a_photo_that_cannot_be_opened_is_a_session_of_its_own(tmp_path, data_dir):
    noise = np.random.default_rng(0).bytes(400)
    import_photos(write(tmp_path / "src", {"ok/1.jpg": noise, "ok/2.jpg": noise + b"1"}), data_dir)
    assert len(read_sessions(data_dir)) == 2
