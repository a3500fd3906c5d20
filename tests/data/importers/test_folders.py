import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pillow_heif
import pytest

from data.importers import importing
from data.importers.curated_schema import build_photo_schema
from data.importers.detection import find_source
from data.importers.importing import import_photos
from data.importers.source import RefusedPhoto
from data.spans.layout import find_spans
from edgeline.errors import DataRefused, UsageError
from edgeline.records.rejection import RowRejected
from tests.data.importers.test_importing import read_rows, write
from tests.data.sample_photos import encode, jpeg, phone_exif, pixels

pillow_heif.register_heif_opener()
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", ["da\nmaged", "gr\udcfcn"], ids=ascii)
def test_a_folder_whose_name_is_no_label_is_refused_by_name_and_nothing_is_written(tmp_path, data_dir, name):
    src = write(tmp_path / "src", {"ok/1.jpg": jpeg(), f"{name}/2.jpg": jpeg(seed=1)})
    message = f"The name of a folder in {src} is {name!a}: it contains the control character"
    with pytest.raises(UsageError, match=re.escape(message)):
        import_photos(src, data_dir)
    assert not data_dir.exists()


def test_blanks_around_a_folders_name_are_trimmed_and_a_blank_name_is_no_label(tmp_path):
    kept, refused = find_source(write(tmp_path / "src", {" ok /1.jpg": b"x", "\u3000/2.jpg": b"x"})).offers
    assert kept.label == "ok" and refused == RefusedPhoto("\u3000/2.jpg", "unlabelled")


def test_photos_have_names_of_any_bytes(tmp_path):
    src = write(tmp_path / "src", {f"ok/{name}.jpg": b"x" for name in ("gr\udcfcn", "a\nb", "e\u0301")})
    assert list_offers(src) == [("", "ok")] * 3


@pytest.mark.timeout(60)
def test_photos_that_are_no_files_or_too_large_are_refused_and_counted(tmp_path, data_dir):
    photos = {"1": jpeg(), "limit": jpeg(seed=1), "cut": jpeg()[:200], "large": b"", "empty": b""}
    src = write(tmp_path / "src", {f"ok/{name}.jpg": photo for name, photo in photos.items()})
    secret = write(tmp_path, {"secret/s.jpg": jpeg(seed=9)}) / "secret"
    os.truncate(src / "ok" / "large.jpg", 2**33)
    os.truncate(src / "ok" / "limit.jpg", 2**26)
    os.mkfifo(src / "ok" / "pipe.jpg")
    links = {"ok/zeros.jpg": "/dev/zero", "ok/link.jpg": secret / "s.jpg", "ok/folder": secret, "bad": secret}
    for name, target in links.items():
        (src / name).symlink_to(target)
    report = import_photos(src, data_dir)
    assert report.added == {"ok": 3}  # a damaged photo is left for ingest to reject
    assert report.refused == {
        "outside-source": ["bad/s.jpg", "ok/link.jpg", "ok/zeros.jpg"],
        "zero-byte": ["ok/empty.jpg"],
        "oversized": ["ok/large.jpg"],
        "unreadable": ["ok/pipe.jpg"],
        "linked-folder": ["ok/folder"],
    }
    with pytest.raises(DataRefused, match="cannot be read"):
        import_photos(src / "ok" / "pipe.jpg", data_dir)


def list_offers(src):
    """Returns the split and label of each photo of a source, sorted."""
    return sorted((item.split, item.label) for item in find_source(src).offers)


def write_empty_photos(tmp_path, *places):
    """Writes a source with photos that an import does not open."""
    return write(tmp_path / "src", {f"{place}.jpg": b"x" for place in places})


BOTH = [(split, label) for split in ("eval", "train") for label in "ab"]


@pytest.mark.parametrize(
    ("places", "found", "message"),
    [
        ("train/a train/b/deep Valid/a Valid/b", BOTH, "(2 classes): train/ is train, Valid/ is eval"),
        ("training_set/a training_set/b testset/a testset/b", BOTH, "testset/ is eval"),
        ("train-images/a train-images/b VALIDATION/a VALIDATION/b", BOTH, "VALIDATION/ is eval"),
        ("s_train/s_train/a s_train/s_train/b s_test/s_test/a s_test/s_test/b", BOTH, "s_test/ is eval"),
        ("train/a train/b val/a val/b test/a test/c", BOTH, "test/ (2 photos) is left out for trying the"),
        ("train/a train/b test", BOTH[2:], "test/ is left out, as its photos have no label"),
        ("s_train/a s_train/b s_test/a s_test/b s_pred", BOTH, "s_pred/ is left out, as its photos have no"),
        # If there is only one split, the import makes both.
        ("train/a train/b", BOTH[2:], "each with one folder per class (2 classes)"),
        # Classes may have similar names, also those of splits.
        ("toy_train toy_test", [("", "toy_test"), ("", "toy_train")], "one folder per class (2 classes)"),
        ("train test", [("", "test"), ("", "train")], "one folder per class (2 classes)"),
    ],
)
def test_folders_of_splits_are_taken_as_they_are_and_others_are_classes(tmp_path, places, found, message):
    src = write_empty_photos(tmp_path, *(f"{place}/1" for place in places.split()))
    assert message in find_source(src).layout
    if "is eval" not in find_source(src).layout:
        found = [("", label) for _, label in found]
    assert list_offers(src) == found


def test_a_photo_beside_class_folders_is_refused_by_name_and_its_split_stays(tmp_path):
    src = write_empty_photos(tmp_path, "train/a/1", "train/b/2", "val/a/3", "val/b/4", "train/x", "val/y")
    assert find_source(src).layout.endswith(": train/ is train, val/ is eval")
    offers = list(find_source(src).offers)
    assert offers[4:] == [RefusedPhoto(f"{place}.jpg", "unlabelled") for place in ("train/x", "val/y")]
    assert sorted((photo.split, photo.label) for photo in offers[:4]) == BOTH


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train/a", "val/a", "to predict"), "has train, val beside to predict"),
        (("Train/a", "train/a", "val/a"), "has Train, train, val"),
        (("span-00001/photos", "span-00002/photos"), "is a folder of spans"),
        (("pets/cat", "pets/dog"), "has pets, with folders of photos in them: cat, dog"),
    ],
)
def test_folders_that_are_no_classes_are_refused(tmp_path, data_dir, folders, message):
    with pytest.raises(DataRefused, match=message):
        import_photos(write_empty_photos(tmp_path, *(f"{folder}/1" for folder in folders)), data_dir)
    assert not data_dir.exists()


def test_a_week_may_add_one_class_in_folders_of_its_own_but_not_the_classes_in_one_folder(tmp_path, data_dir):
    first = {f"{label}/1.jpg": jpeg(seed=k) for k, label in enumerate(("cat", "dog"))}
    import_photos(write(tmp_path / "one", first), data_dir)
    dated = write(tmp_path / "two", {f"cat/{month}/1.jpg": jpeg(seed=40 + month) for month in (1, 2)})
    assert import_photos(dated, data_dir).added == {"cat": 2}
    wrapped = write(tmp_path / "three", {f"week2/{label}/1.jpg": b"x" for label in ("cat", "dog")})
    with pytest.raises(DataRefused, match="Pass a folder whose own folders"):
        import_photos(wrapped, data_dir)
    phones = {f"{phone}/{label}/1.jpg": b"x" for phone in ("phone-a", "phone-b") for label in ("cat", "dog")}
    with pytest.raises(DataRefused, match="has phone-a, phone-b, with folders of photos in them: cat, dog"):
        import_photos(write(tmp_path / "four", phones), data_dir)


@pytest.mark.parametrize(
    ("folders", "shared"),
    [
        (["shop 1/pear", "shop 1/fig", "shop 2/pear", "shop 2/fig", "shop 2/nut"], "folders fig, pear with"),
        (["pear/old", "pear/new", "fig/old", "fig/more"], ""),
    ],
)
def test_folders_that_all_classes_have_are_a_warning_as_they_may_be_the_classes(
    tmp_path, data_dir, folders, shared
):
    src = write(tmp_path / "src", {f"{name}/1.jpg": jpeg(seed=n) for n, name in enumerate(folders)})
    warnings = " ".join(import_photos(src, data_dir).warnings)
    assert shared in warnings and bool(shared) == ("were taken for the classes" in warnings)
    write(src, {f"{folders[0]}/2.jpg": jpeg(seed=9)})
    assert import_photos(src, data_dir).warnings == ()  # the classes are known


def test_a_photo_in_both_splits_is_imported_for_ingest_to_judge(tmp_path, data_dir):
    photos = {name: jpeg(seed=n) for n, name in enumerate(("train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg"))}
    src = write(tmp_path / "src", {**photos, "val/b/copy.jpg": photos["train/a/1.jpg"]})
    report = import_photos(src, data_dir)
    assert (sum(report.added.values()), report.conflicting) == (4, 1)


def test_files_that_may_be_photos_of_another_kind_are_counted_and_hidden_ones_are_not(tmp_path):
    photos = ["a/1.jpg", "a/2.ppm"]
    others = ["IMG.CR2", "X.dcm", "b.jpg!d", "c.JPG.1", "cat.jpg?w=640", "d.jpg_large", "e.png (1)", "noext"]
    others = [f"a/{name}" for name in others]
    hidden = ["a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "@eaDir/1.jpg", "__MACOSX/a/._1.jpg", "a/Thumbs.db"]
    hidden += [".ipynb_checkpoints/1-checkpoint.jpg", "System Volume Information/1.jpg", "#recycle/a/1.jpg"]
    names = (*photos, *others, *hidden, "a/notes.txt", "a/1.jpg.zip")
    offers = list(find_source(write(tmp_path / "src", dict.fromkeys(names, b"x"))).offers)
    assert [item.where for item in offers] == photos + others
    assert offers[2:] == [RefusedPhoto(name, "no-photo-suffix") for name in others]


@pytest.mark.parametrize(
    ("places", "name"),
    [
        (["images/1"], "annotations.json"),
        (["images/1"], "annotations/a.xml"),
        (["images/1"], "labels/train/1.txt"),
        (["images/1"], "images/1.txt"),
        (["train/1", "valid/1", "test/1"], "valid/_annotations.coco.json"),
    ],
)
def test_photos_with_boxes_beside_them_in_place_of_class_folders_are_refused(tmp_path, places, name):
    src = write(write_empty_photos(tmp_path, *places), {name: "0 0.5 0.5 0.1 0.1"})
    with pytest.raises(DataRefused, match=f"has no class folders, but {name}.*no boxes"):
        find_source(src)


def as_ordinary_user(code, *arguments):
    """Runs code without root's right to read everything."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may read anywhere")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert not process.returncode, process.stderr
    return process.stdout.splitlines()


IMPORT = """
import sys
from pathlib import Path
from data.importers.importing import import_photos
from edgeline.errors import EdgelineError
*sources, data = map(Path, sys.argv[1:])
for source in sources:
    try:
        print(*import_photos(source, data).sentences(), sep="\\n")
    except EdgelineError as error:
        print(type(error).__name__, error)
"""


def test_folders_and_photos_that_cannot_be_read_are_refused_counted_and_named(tmp_path, data_dir):
    places = ["a/1", "a/deep/2", "b/3", "a/4", "a/list/5"]
    src = write(tmp_path / "src", {f"{place}.jpg": jpeg(seed=n) for n, place in enumerate(places)})
    closed = [write(tmp_path / f"closed-{mode:o}", {"a/1.jpg": jpeg()}) for mode in (0, 0o444)]
    modes = {src / "a/deep": 0, src / "b": 0, src / "a/4.jpg": 0, src / "a/list": 0o444}
    modes |= dict(zip(closed, (0, 0o444), strict=True))
    for path, mode in modes.items():
        path.chmod(mode)
    try:
        lines = as_ordinary_user(IMPORT, *closed, src, data_dir)
    finally:
        for path in modes:
            path.chmod(0o755)
    for line in lines[:2]:
        assert line.startswith("DataRefused") and "cannot be read (Permission denied)" in line
    assert f"{data_dir}/span-00001 holds 1 new photo: 1 a." in lines
    assert "2 refused as unreadable-folder: a/deep; b." in lines
    assert "2 refused as unreadable: a/4.jpg; a/list/5.jpg." in lines


def test_a_photo_whose_metadata_is_too_much_for_its_process_is_imported_with_the_time_of_its_file(
    tmp_path, data_dir, monkeypatch
):
    def reject(photo):
        raise RowRejected("unsafe", "It took too much memory.")

    monkeypatch.setattr(importing, "DecoderProcess", lambda *arguments: reject)
    src = write(tmp_path / "src", {"a/1.jpg": jpeg(exif=phone_exif())})
    os.utime(src / "a" / "1.jpg", (0, 86_400))
    import_photos(src, data_dir)
    assert [row.captured_at for row in read_rows(data_dir)] == ["1970-01-02T00:00:00Z"]


def test_the_time_is_read_from_each_format_that_has_exif(tmp_path, data_dir):
    for n, form in enumerate(("JPEG", "PNG", "WEBP", "MPO", "HEIF", "AVIF")):
        write(tmp_path / "src", {f"a/{form}.jpg": encode(pixels(seed=n), form, exif=phone_exif())})
    import_photos(tmp_path / "src", data_dir)
    assert [row.captured_at for row in read_rows(data_dir)] == ["2026-10-05T09:12:33Z"] * 6


def test_a_file_of_a_year_that_no_date_has_is_imported(data_dir):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        src = write(Path(folder), {"a/1.jpg": jpeg(), "a/2.jpg": jpeg(seed=1)})
        for name, time in (("1", 1e15), ("2", -1e15)):
            os.utime(src / "a" / f"{name}.jpg", (time, time))
        import_photos(src, data_dir)
    later, earlier = read_rows(data_dir)
    assert later.captured_at == "9999-12-31T23:59:59Z" and earlier.captured_at == "1970-01-01T00:00:00Z"


def test_classes_that_the_schema_has_are_known_in_its_spelling_though_no_span_has_them(tmp_path, data_dir):
    write(data_dir, {"schema.pbtxt": build_photo_schema("abcd")})
    photos = {label: jpeg(seed=ord(label)) for label in "abCcd"}
    with pytest.raises(DataRefused, match="has the label 'C', and earlier spans have 'c'"):
        import_photos(write(tmp_path / "a", {f"{n}/1.jpg": photos[n] for n in "aC"}), data_dir)
    assert not find_spans(data_dir)
    for classes in ("ab", "cd"):
        src = write(tmp_path / classes, {f"{n}/1.jpg": photos[n] for n in classes})
        assert import_photos(src, data_dir).added == dict.fromkeys(classes, 1)


def test_classes_of_the_first_import_that_differ_in_spelling_alone_are_a_warning(tmp_path, data_dir):
    photos = {f"{name}/{name}.jpg": jpeg(seed=len(name)) for name in ("pear", "Pear ", "fig")}
    (warning,) = import_photos(write(tmp_path / "src", photos), data_dir).warnings
    assert "'Pear', 'pear' differ in their spelling" in warning
