import os
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from data.importers.curated_schema import build_photo_schema, read_label_domain
from data.importers.detection import find_source
from data.importers.importing import import_photos
from data.importers.workload_files import add_files
from data.photos.labels_file import LabelRow, read_labels, write_span
from data.settings import DataSettings
from data.spans.corrections import Correction, add_corrections
from data.spans.layout import find_spans
from edgeline.errors import DataRefused, EdgelineError, UsageError
from edgeline.records.events import Counted, listen
from tests.data.sample_photos import encode, jpeg, phone_exif

PHOTOS = {"fruit/a.jpg": jpeg(seed=1), "fruit/deep/b.JPG": jpeg(seed=2), "Gemüse, grün/c.png": jpeg(seed=3)}


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def read_rows(data_dir, number=-1):
    return read_labels(find_spans(data_dir)[number])


def read_domain(data_dir):
    return read_label_domain((data_dir / "schema.pbtxt").read_text(encoding="utf-8"))


@pytest.fixture
def src(tmp_path):
    return write(tmp_path / "src", PHOTOS)


def test_a_folder_a_class_becomes_a_span_and_adds_nothing_the_second_time(src, data_dir):
    report = import_photos(src, data_dir)
    assert report.added == {"Gemüse, grün": 1, "fruit": 2}
    span = report.span
    assert span.name == "span-00001"
    by_content = {span.resolve(row.photo).read_bytes(): row for row in read_labels(span)}
    assert by_content.keys() == {*PHOTOS.values()}
    assert all(by_content[photo].label == name.split("/")[0] for name, photo in PHOTOS.items())
    assert {row.lane_id for row in by_content.values()} == {"unknown"}
    assert all(row.photo.startswith(row.session_id) for row in by_content.values())
    assert {len(row.session_id) for row in by_content.values()} == {16}
    assert by_content[PHOTOS["Gemüse, grün/c.png"]].photo.endswith(".png")
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}
    again = import_photos(src, data_dir)
    assert (again.span, again.known) == (None, 3)
    assert "Nothing is new, and nothing was added." in again.sentences()
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == before


def test_only_what_is_new_is_added_also_against_spans_of_other_origin(src, data_dir):
    import_photos(src, data_dir)
    write_span(data_dir, [(LabelRow("walk/IMG_1.jpg", "fruit", "lane-01", "w", ""), jpeg(seed=4))])
    write(src, {"fruit/again.jpg": jpeg(seed=4), "fruit/new.jpg": jpeg(seed=5), "nuts/n.jpg": jpeg(seed=6)})
    report = import_photos(src, data_dir)
    assert (report.added, report.known) == ({"fruit": 1, "nuts": 1}, 4)
    assert report.span.number == 3


def test_new_labels_go_to_the_end_of_the_schema_and_files_that_are_there_stay(src, data_dir):
    write(data_dir, {"workload.yaml": "name: mine\n"})
    import_photos(src, data_dir)
    assert read_domain(data_dir) == ("Gemüse, grün", "fruit")
    write(src, {"apples/n.jpg": jpeg(seed=6)})
    report = import_photos(src, data_dir)
    assert report.new_labels == ("apples",)
    assert read_domain(data_dir) == ("Gemüse, grün", "fruit", "apples")
    assert (data_dir / "workload.yaml").read_text() == "name: mine\n"


@pytest.mark.parametrize(
    ("folder", "name"),
    [("no", "no"), ("2026", "2026"), ("日本", "photos"), ("My Photos, 2026", "my-photos-2026")],
)
def test_the_workload_names_a_schema_and_a_slug_whatever_the_folder_is_called(tmp_path, folder, name):
    (tmp_path / folder).mkdir()
    add_files(tmp_path / folder, build_photo_schema("ab"), "ab", "photo")
    workload = yaml.safe_load((tmp_path / folder / "workload.yaml").read_text(encoding="utf-8"))
    assert (workload["name"], workload["schema"], workload["kind"]) == (name, "schema.pbtxt", "photos")
    assert read_domain(tmp_path / folder) == ("a", "b")


def test_number_labels_of_any_length_are_sorted_as_numbers_and_yaml_like_ones_stay_text(tmp_path, data_dir):
    names = ["10", "9", "0", "no", "yes", "1" * 200]
    photos = {f"{n}.jpg": jpeg(seed=n) for n in range(len(names))}
    lines = "\n".join(["photo,label", *map(",".join, zip(photos, names, strict=True))])
    import_photos(write(tmp_path / "src", {**photos, "m.csv": lines}), data_dir)
    assert read_domain(data_dir) == ("0", "9", "10", "1" * 200, "no", "yes")


def test_the_time_is_the_phones_and_else_the_files(tmp_path, data_dir):
    src = write(tmp_path / "src", {"a/1.jpg": jpeg(exif=phone_exif()), "a/2.jpg": jpeg(seed=1)})
    offset = phone_exif()
    offset.get_ifd(0x8769)[0x9011] = "+02:00"
    write(src, {"a/3.jpg": jpeg(exif=offset), "a/4.jpg": jpeg(exif=phone_exif(taken="0000:00:00 00:00:00"))})
    for name in ("2", "4"):
        os.utime(src / "a" / f"{name}.jpg", (0, 86_400))
    import_photos(src, data_dir)
    times = [row.captured_at for row in read_rows(data_dir)]
    assert [times[0], times[2]] == ["2026-10-05T09:12:33Z", "2026-10-05T07:12:33Z"]
    assert times[1] == times[3] == "1970-01-02T00:00:00Z"


def test_a_photo_that_is_there_under_another_label_is_left_alone_and_reported(src, data_dir):
    import_photos(src, data_dir)
    (src / "nuts").mkdir()
    shutil.move(src / "fruit" / "a.jpg", src / "nuts" / "a.jpg")
    report = import_photos(src, data_dir)
    assert (report.span, len(report.relabelled)) == (None, 1)
    (span,) = find_spans(data_dir)
    moved = (src / "nuts" / "a.jpg").read_bytes()
    (name,) = (path.name for path in (span.path / "photos").iterdir() if path.read_bytes() == moved)
    text = "\n".join(report.sentences())
    assert f"nuts/a.jpg (span-00001/{name}) is 'fruit' there, 'nuts' here" in text and "data relabel" in text
    assert read_domain(data_dir) == ("Gemüse, grün", "fruit")
    add_corrections(span, [Correction(name, "fruit", "nuts", "", "", "")])
    assert import_photos(src, data_dir).relabelled == []


def test_the_label_of_a_photo_that_a_span_has_without_one_is_imported(src, data_dir):
    import_photos(src, data_dir)
    table = find_spans(data_dir)[0].path / "labels.csv"
    table.write_text(table.read_text().replace(",fruit,", ",,", 1))
    with pytest.raises(DataRefused, match="too few photos: 1 of 'Gemüse, grün', 2 of 'fruit'"):
        import_photos(src, data_dir, least=1)
    for added in ({"fruit": 1}, {}):
        report = import_photos(src, data_dir)
        assert (report.added, report.relabelled) == (added, [])
    assert [row.label for row in read_rows(data_dir)] == ["fruit"]


def test_a_new_photo_with_two_labels_keeps_both_rows_for_ingest_to_judge(tmp_path, data_dir):
    photo, other = jpeg(), jpeg(seed=1)
    files = {"a/1.jpg": photo, "a/copy.jpg": photo, "b/1.jpg": photo, "b/2.jpg": other}
    report = import_photos(write(tmp_path / "src", files), data_dir)
    assert (report.conflicting, report.known) == (1, 1)
    assert any("1 photo: a/1.jpg is 'a', b/1.jpg is 'b'." in line for line in report.sentences())
    assert sorted(row.label for row in read_rows(data_dir)) == ["a", "b", "b"]
    assert len(list(report.span.photos.iterdir())) == 2


def test_a_folder_may_grow_by_two_classes(tmp_path, data_dir):
    src = write(tmp_path / "src", {"a/1.jpg": jpeg(seed=1), "b/2.jpg": jpeg(seed=2)})
    import_photos(src, data_dir)
    write(src, {"c/3.jpg": jpeg(seed=3), "d/4.jpg": jpeg(seed=4)})
    assert import_photos(src, data_dir).added == {"c": 1, "d": 1}
    other = write(tmp_path / "other", {"e/5.jpg": jpeg(seed=5), "f/6.jpg": jpeg(seed=6)})
    with pytest.raises(DataRefused, match="has the labels e, f, and earlier spans a, b, c, d"):
        import_photos(other, data_dir)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "contains no photo"),
        ({"1.jpg": b"x"}, "without labels"),
        ({"a/1.jpg": b"x", "2.jpg": b"x"}, "mixes loose photos"),
        ({"a/1.jpg": b"x", "t.tfrecord": b"x"}, "mixes TFRecord files and folders with photos"),
        ({"a.csv": "x", "b.jsonl": "x"}, "2 manifests: a.csv, b.jsonl"),
        ({"train/a/1.jpg": b"x", "val/a/2.jpg": b"x", "val/b/n.txt": "x"}, "folders without a photo: val/b"),
        ({"a/1.jpg": b""}, "1 zero-byte"),
        ({"m.csv": "photo,label\n"}, "no column for the photo .* It has no rows"),
        ({"m.csv": "photo,tag\na.jpg,x\n"}, r"no column for the label \(label, class, category\)"),
        ({"m.csv": 'photo,label\n"a.jpg,x\n'}, "is not CSV"),
        ({"m.csv": "photo,label\na.jpg,x,y\n"}, "line 2: It has 3 cells, but the header has 2"),
        ({"pos/1.txt": b"x", "neg/2.txt": b"x"}, "folders of texts: neg, pos.* --text text .*load_files"),
        ({"a/1.dcm": b"x", "b/2.dcm": b"x"}, r"no photo that is read, but 2 files such as .*src/a/1\.dcm"),
        ({"pos/1": b"I like it", "neg/2": b"I do not"}, "folders of texts: neg, pos"),
        ({"pos/1": b"\0\1\2", "neg/2": b"\0\1\3"}, r"no photo that is read, but 2 files such as .*src/neg/2"),
    ],
)
def test_a_source_that_cannot_be_imported_is_refused_and_not_written(tmp_path, data_dir, files, message):
    src = write(tmp_path / "src", files)
    src.mkdir(exist_ok=True)
    with pytest.raises(DataRefused, match=message):
        import_photos(src, data_dir)
    assert not list(data_dir.glob("*"))


def test_an_error_names_the_folders_that_were_searched_for_missing_photos(tmp_path, data_dir):
    src = write(tmp_path / "src", {"m.csv": "photo,label\na.jpg,ok\nb.jpg,ok\n", "images/a.jpg": jpeg()})
    searched = f"looked for in {src} and its folder photos"
    with pytest.raises(DataRefused) as caught:
        import_photos(src, data_dir)
    assert "2 missing" in caught.value.found and searched in caught.value.why
    with pytest.raises(DataRefused, match="not named like a manifest or a TFRecord file"):
        import_photos(write(tmp_path, {"a.txt": "x"}) / "a.txt", data_dir)
    write(src, {"m.csv": "photo,label\nimages/a.jpg,ok\nb.jpg,ok\n"})
    assert searched in import_photos(src, data_dir).warnings[0]


def test_a_folder_that_cannot_be_read_or_written_is_an_error(src, tmp_path, data_dir):
    with pytest.raises(UsageError, match="does not exist"):
        import_photos(tmp_path / "missing", data_dir)
    with pytest.raises(UsageError, match="lies in"):
        import_photos(src, src / "data")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EdgelineError, match="photos cannot be written to"):
        import_photos(src, tmp_path / "file" / "data")


@pytest.mark.parametrize("mark", [",", ";"])
def test_a_csv_manifest_with_bom_crlf_and_quotes(tmp_path, mark):
    header = ["Class", " Image ", "lane_id", "session_id", "captured_at", "note"]
    line = ['"ok, really"', '"x/a, 1;\t.jpg"', "lane-07", "walk 3", "2026-01-02T03:04:05Z", "none"]
    text = f"\ufeff{mark.join(header)}\r\n{mark.join(line)}\r\n"
    src = write(tmp_path / "src", {"x/a, 1;\t.jpg": jpeg(), "m.csv": text})
    for place in (src, src / "m.csv"):
        [photo] = find_source(place).offers
        assert (photo.label, photo.lane_id, photo.session_id) == ("ok, really", "lane-07", "walk 3")
        assert photo.captured_at == "2026-01-02T03:04:05Z"


def test_a_manifest_reaches_nothing_outside_its_folder(tmp_path):
    secret = write(tmp_path, {"secret.jpg": b"x"}) / "secret.jpg"
    src = write(tmp_path / "src", {"a.jpg": b"x", "zero.jpg": b""})
    (src / "link.jpg").symlink_to(secret)
    paths = ["a.jpg", "../secret.jpg", str(secret), "link.jpg", "..\\secret.jpg", "gone.jpg", "", "zero.jpg"]
    lines = "\n".join(["photo,label", *(f"{path},ok" for path in paths), "a.jpg,"])
    kept, *refused = find_source(write(src, {"m.csv": lines})).offers
    assert kept.label == "ok" and refused[0].where == "m.csv line 3: ../secret.jpg"
    reasons = [*["outside-source"] * 4, "missing", "missing", "zero-byte", "unlabelled"]
    assert [photo.reason for photo in refused] == reasons


def test_a_photo_whose_file_is_gone_is_put_back_into_its_span(src, data_dir):
    span = import_photos(src, data_dir).span
    gone = {row.photo: span.resolve(row.photo).read_bytes() for row in read_labels(span)}
    shutil.rmtree(span.photos)
    report = import_photos(src, data_dir)
    assert (report.span, report.known, report.restored) == (None, 3, 3)
    assert any("3 photos" in line and "restored" in line for line in report.sentences())
    assert {path.name: path.read_bytes() for path in span.photos.iterdir()} == gone
    # A row whose file cannot be put back does not stop an import.
    text = span.labels.read_text(encoding="utf-8").replace(".jpg", "." + "x" * 300)
    span.labels.write_text(text, encoding="utf-8")
    report = import_photos(src, data_dir)
    assert (report.added, report.restored) == ({"fruit": 2}, 0)


@pytest.mark.parametrize("content", [b"\xff", b"feature {"], ids=ascii)
def test_a_schema_that_takes_no_labels_is_an_error_before_anything_is_written(src, data_dir, content):
    write(data_dir, {"schema.pbtxt": content})
    with pytest.raises(UsageError):
        import_photos(src, data_dir)
    assert os.listdir(data_dir) == ["schema.pbtxt"]


def test_labels_of_a_span_that_cannot_be_labels_do_not_get_into_a_new_schema(src, data_dir):
    row = LabelRow("1.jpg", "fru\u2028it", "", "", "")
    write_span(data_dir, [(row, jpeg(seed=9))])
    import_photos(src, data_dir)
    assert read_domain(data_dir) == ("Gemüse, grün", "fruit")


def test_progress_is_reported_from_the_first_photo_on(src, data_dir):
    events = []
    with listen(events.append):
        import_photos(src, data_dir)
    counts = [(event.done, event.total) for event in events if isinstance(event, Counted)]
    assert counts[0][0] == 1 and counts[-1][0] == counts[-1][1] == len(counts)


def write_thermal(root, low, high, seed=0):
    """Writes 16-bit photos of two classes with levels in this range."""
    rng = np.random.default_rng(seed)
    for label, name in [(label, f"{n}.png") for label in "ab" for n in range(3)]:
        levels = rng.integers(low, high, (40, 60), endpoint=True).astype(np.uint16)
        write(root, {f"{label}/{name}": encode(Image.fromarray(levels), "PNG")})
    return root


def test_the_range_of_16_bit_photos_is_written_to_the_workload(tmp_path, data_dir):
    report = import_photos(write_thermal(tmp_path / "src", 27_000, 27_500), data_dir)
    levels = yaml.safe_load((data_dir / "workload.yaml").read_text())["settings"]["data"]["levels"]
    assert levels == [pytest.approx(26_950, abs=5), pytest.approx(27_550, abs=5)]
    assert any("data.levels in workload.yaml reads these alone" in warning for warning in report.warnings)

    # A later week is read with the same levels; others are named.
    limits = DataSettings(levels=levels)
    again = import_photos(write_thermal(tmp_path / "two", 27_000, 27_500, 1), data_dir, limits=limits)
    hotter = import_photos(write_thermal(tmp_path / "three", 28_000, 28_500, 2), data_dir, limits=limits)
    assert [len([w for w in r.warnings if "levels" in w]) for r in (again, hotter)] == [0, 1]
    assert "most is clipped" in " ".join(hotter.warnings)


def test_16_bit_photos_need_a_range_only_where_they_do_not_use_all_levels(tmp_path, data_dir):
    report = import_photos(write_thermal(tmp_path / "src", 0, 65_535), data_dir)
    assert not any("levels" in warning for warning in report.warnings)
    assert "levels" not in (data_dir / "workload.yaml").read_text()
    report = import_photos(write_thermal(tmp_path / "two", 27_000, 27_500), data_dir)
    assert any("write levels: [269" in warning for warning in report.warnings)
