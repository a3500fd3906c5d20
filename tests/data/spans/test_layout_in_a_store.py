"""Spans in an object store: read as from a folder, with one listing or one object at a time."""

import pickle

import pytest

from data.photos.labels_file import LabelRow, PhotoSpan, read_labels, write_span
from data.spans.layout import Span, find_newest_spans, find_spans
from edgeline.errors import DataRefused, EdgelineError, UsageError
from edgeline.records.rejection import RowRejected
from edgeline.store.locations import get_filesystem, locate
from tests.data.spans.windows import window_digest

ROW = LabelRow("b/ü, b.jpg", "ok", "lane-01", "walk-1", "2026-10-05T09:12:33Z")


@pytest.fixture
def data(bucket):
    return locate(f"{bucket}/photos/shelf")


def upload(data, folder):
    """Uploads the files of a folder, as `aws s3 sync` does."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(data, path.relative_to(folder).as_posix(), path.read_bytes())


def put(data, name, content=b""):
    get_filesystem(data).pipe_file(f"{data.path}/{name}", content)


@pytest.fixture
def span(data, tmp_path):
    write_span(tmp_path / "data", [(ROW, b"photo b")])
    upload(data, tmp_path / "data")
    return PhotoSpan.of(find_spans(data)[0])


def test_spans_are_found_oldest_first_whatever_objects_stand_for_folders(data):
    whole = ("span-00009/", "span-00008/labels.csv", "span-00010/photos/a.jpg")
    for name in (*whole, "", "span-7/x", "span-00011"):
        put(data, name)
    assert [span.name for span in find_spans(data)] == ["span-00008", "span-00009", "span-00010"]
    assert [span.number for span in find_newest_spans(data, 2)] == [9, 10]


def test_an_uploaded_span_is_read_also_by_a_worker_that_got_it_pickled(span):
    assert read_labels(span) == [ROW]
    assert pickle.loads(pickle.dumps(span)) == span
    assert pickle.loads(pickle.dumps(span)).read("b/ü, b.jpg") == b"photo b"
    assert span.read("./b//ü, b.jpg") == b"photo b"


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        *((name, "outside-span") for name in ("/etc/hostname", "b/../../labels.csv", "file:///etc/hostname")),
        *((name, "outside-span") for name in ("memory://x::b.jpg", "data:text/plain,x")),
        *((name, "missing") for name in ("s3://other/x.jpg", "b.jpg?versionId=1", "*", "b", "x" * 2000)),
    ],
)
def test_a_cell_names_an_object_below_photos_or_nothing(span, photo, reason):
    with pytest.raises(RowRejected) as caught:
        span.read(photo)
    assert caught.value.reason == reason


def test_a_bucket_without_spans_is_refused_and_a_missing_bucket_is_an_error(bucket):
    with pytest.raises(UsageError, match="has no span"):
        find_newest_spans(locate(f"{bucket}/nothing"), 8)
    gone = locate("s3://no-such-bucket/data")
    for read in (
        lambda: find_newest_spans(gone, 8),
        lambda: read_labels(Span(1, gone / "span-00001")),
        lambda: PhotoSpan(1, gone / "span-00001").read("a.jpg"),
        lambda: window_digest([Span(1, gone / "span-00001")]),
    ):
        with pytest.raises(EdgelineError, match="the bucket 'no-such-bucket' does not exist") as caught:
            read()
        assert not isinstance(caught.value, DataRefused)


def test_the_digest_of_a_window_shows_every_change_without_fetching_an_object(span, monkeypatch):
    spans = [span]
    digests = [window_digest(spans)]
    for name, content in (("photos/new.jpg", b"new"), ("photos/new.jpg", b"wen"), ("labels.csv", b"x")):
        put(span.path, name, content)
        digests.append(window_digest(spans))
    get_filesystem(span.path).rm_file((span.photos / "new.jpg").path)
    digests.append(window_digest(spans))
    assert len(set(digests)) == len(digests)
    put(span.path, "photos/")
    monkeypatch.setattr(type(get_filesystem(span.path)), "_cat_file", None)
    assert window_digest(spans) == digests[-1]
