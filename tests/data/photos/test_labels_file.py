import os
import shutil

import pytest

from data.photos.labels_file import LabelRow, PhotoSpan, read_labels, restore_photo, write_span
from edgeline.errors import DataRefused
from edgeline.records.rejection import RowRejected

ROW = LabelRow("a.jpg", "ok", "lane-01", "walk-1", "2026-10-05T09:12:33Z")
HEADER = "photo,label,lane_id,session_id,captured_at"


@pytest.fixture
def span(tmp_path):
    return write_span(tmp_path / "data", [(ROW, b"photo a")])


def write_and_read(span, content):
    span.labels.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labels(span)


def test_written_labels_and_photos_are_read_again(tmp_path):
    rows = [ROW, LabelRow("b/ü, b.jpg", 'a "quoted", label', "", "", "")]
    span = write_span(tmp_path / "new" / "data", [(rows[0], b"1"), (rows[1], b"2")])
    assert span.name == "span-00001"
    assert read_labels(span) == rows
    assert [span.resolve(row.photo).read_bytes() for row in rows] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        *((photo, "outside-span") for photo in ("/etc/hostname", "b/../../../x.jpg", "a\0.jpg")),
        *((photo, "missing") for photo in ("", ".", "a.jpg/b.jpg", "x" * 300)),
    ],
)
def test_a_photo_outside_of_the_span_or_missing_is_rejected_with_that_reason(span, photo, reason):
    with pytest.raises(RowRejected, match=f"^{reason}: "):
        span.resolve(photo)


def test_a_photo_is_restored_where_its_file_is_gone_and_nothing_is_in_its_place(span, tmp_path):
    file = span.photos / "a.jpg"
    file.unlink()
    assert restore_photo(span, "a.jpg", b"photo a")
    assert file.read_bytes() == b"photo a" and file.stat().st_mode & 0o777 == 0o644
    shutil.rmtree(span.photos)
    assert restore_photo(span, "a.jpg", b"photo a") and file.read_bytes() == b"photo a"
    file.write_bytes(b"cut short")
    assert not restore_photo(span, "a.jpg", b"photo a") and file.read_bytes() == b"cut short"
    file.unlink()
    file.symlink_to(tmp_path / "nowhere.jpg")
    assert not restore_photo(span, "a.jpg", b"photo a") and not (tmp_path / "nowhere.jpg").exists()
    file.unlink()
    file.mkdir()
    assert not restore_photo(span, "a.jpg", b"photo a")
    shutil.rmtree(span.photos)
    (tmp_path / "elsewhere").mkdir()
    span.photos.symlink_to(tmp_path / "elsewhere")
    assert not restore_photo(span, "a.jpg", b"photo a") and not list((tmp_path / "elsewhere").iterdir())


def test_links_out_of_the_span_are_rejected_and_links_within_or_of_the_whole_span_are_followed(
    tmp_path, span
):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "data" / "span-00001x").mkdir()
    (tmp_path / "data" / "span-00001x" / "b.jpg").write_bytes(b"neighbour")
    (span.photos / "file.jpg").symlink_to(tmp_path / "secret.jpg")
    (span.photos / "folder").symlink_to(tmp_path)
    (span.photos / "near.jpg").symlink_to("../../span-00001x/b.jpg")
    (span.photos / "within.jpg").symlink_to("a.jpg")
    linked, foreign = (PhotoSpan(number, tmp_path / f"span-0000{number}") for number in (2, 3))
    linked.path.symlink_to(span.path)
    foreign.path.mkdir()
    foreign.photos.symlink_to(span.photos)
    for place, photo in (
        *((span, photo) for photo in ("file.jpg", "folder/secret.jpg", "near.jpg")),
        (foreign, "a.jpg"),
    ):
        with pytest.raises(RowRejected, match="outside-span"):
            place.resolve(photo)
    assert span.resolve("within.jpg").read_bytes() == linked.resolve("a.jpg").read_bytes() == b"photo a"


def test_a_byte_order_mark_crlf_quotes_and_another_order_are_fine(span):
    text = (
        '\ufefflabel , photo,lane_id,session_id,captured_at,note\r\n"ok, really",a.jpg, lane-01,w,t,x\r\n\r\n'
    )
    assert write_and_read(span, text) == [LabelRow("a.jpg", "ok, really", "lane-01", "w", "t")]


def test_the_split_may_be_there_or_not(span):
    assert write_and_read(span, f"split,{HEADER}\neval,a.jpg,ok,l,w,t\n,b.jpg,ok,l,w,t\n") == [
        LabelRow("a.jpg", "ok", "l", "w", "t", "eval"),
        LabelRow("b.jpg", "ok", "l", "w", "t"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER.replace("lane_id", " label ") + "\na.jpg,ok,bad,w,t\n", "the column 'label' twice"),
        ("photo,lane_id,session_id,captured_at\n", "no column label; found: photo, lane_id"),
        (HEADER + "\na.jpg,ok,lane-01\n", "labels.csv:2: It has 3 cells, but the header has 5"),
        (HEADER + '\n"a.jpg,ok,lane-01,w,t\n', "is not CSV"),
        (HEADER.encode() + b"\na.jpg,\xe4,lane-01,w,t\n", "not UTF-8"),
    ],
)
def test_a_labels_file_that_cannot_be_read_is_refused(span, content, message):
    with pytest.raises(DataRefused, match=message):
        write_and_read(span, content)


def test_a_missing_labels_file_is_refused(span):
    span.labels.unlink()
    with pytest.raises(DataRefused, match="is missing"):
        read_labels(span)
    span.labels.mkdir()
    with pytest.raises(DataRefused, match="cannot be read"):
        read_labels(span)


def test_a_photo_is_not_read_where_it_is_larger_than_allowed(span):
    os.truncate(span.photos / "a.jpg", 2**40)
    with pytest.raises(RowRejected, match="oversized: The file has more than 67,108,864 bytes"):
        span.read("a.jpg")
