"""Photos in archives are imported as those of a folder."""

import os
import shutil
import tarfile
import zipfile

import pytest

from data.importers.archives import holds_photos, unpack_photos
from data.importers.importing import import_photos
from edgeline.errors import DataRefused
from tests.data.importers.test_importing import jpeg, read_rows, write

FILES = {f"{label}/{n}.jpg": jpeg(seed=n + 9 * (label == "bad")) for label in ("ok", "bad") for n in range(2)}
WRITTEN = 1_600_000_000


@pytest.fixture(params=["zip", "tar", "gztar"])
def archive(tmp_path, request):
    """Makes an archive of a folder `photos`, whose files were written long ago."""
    photos = write(tmp_path / "src" / "photos", FILES)
    for path in photos.rglob("*.jpg"):
        os.utime(path, (WRITTEN, WRITTEN))
    return tmp_path / shutil.make_archive(tmp_path / "my photos", request.param, tmp_path / "src")


def test_photos_are_read_from_an_archive_as_from_its_folder(archive, tmp_path):
    assert holds_photos(archive)
    with unpack_photos(archive) as folder:
        assert folder.parent.name == archive.name
        assert {path.stat().st_mtime for path in folder.rglob("*.jpg")} == {WRITTEN}
        report = import_photos(folder, tmp_path / "data")
    assert report.added == {"bad": 2, "ok": 2} and len(read_rows(tmp_path / "data")) == 4
    assert not folder.exists()


def test_a_file_that_is_cut_off_is_refused_and_leaves_nothing(archive, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size * 2 // 3])
    with pytest.raises(DataRefused, match="cannot be unpacked"), unpack_photos(archive):
        pass
    assert not list(scratch.iterdir())


def test_an_archive_that_is_larger_than_the_disk_is_not_unpacked(archive, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(9, 0, 9))
    with pytest.raises(DataRefused, match="bytes or more, and 9 are free"), unpack_photos(archive):
        pass


def test_a_member_that_would_leave_the_folder_is_refused(tmp_path):
    photo = write(tmp_path, {"a.jpg": jpeg()}) / "a.jpg"
    with tarfile.open(tmp_path / "out.tar", "w") as archive:
        archive.add(photo, "../../out.jpg")
    with pytest.raises(DataRefused, match="outside"), unpack_photos(tmp_path / "out.tar"):
        pass


def test_archives_of_other_things_are_no_photos(tmp_path):
    rows = write(tmp_path / "rows", {"a.csv": "a,b\n1,2\n"})
    assert not holds_photos(tmp_path / shutil.make_archive(tmp_path / "rows", "zip", rows))
    assert not holds_photos(rows / "a.csv")


def test_a_workbook_with_pictures_is_no_archive_of_photos(tmp_path):
    with zipfile.ZipFile(tmp_path / "rows.ods", "w") as workbook:
        workbook.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        workbook.writestr("Thumbnails/thumbnail.png", jpeg())
    assert not holds_photos(tmp_path / "rows.ods")


def test_a_refusal_of_the_photos_names_the_archive(tmp_path):
    photo = write(tmp_path, {"a.jpg": jpeg()}) / "a.jpg"
    with tarfile.open(tmp_path / "flat.tar", "w") as archive:
        archive.add(photo, "a.jpg")
    with pytest.raises(DataRefused) as refusal, unpack_photos(tmp_path / "flat.tar") as folder:
        import_photos(folder, tmp_path / "data")
    assert str(refusal.value).startswith(f"{tmp_path / 'flat.tar'} contains photos (a.jpg")
