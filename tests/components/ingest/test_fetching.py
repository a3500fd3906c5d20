"""Ingest fetches several photos of a bucket at once, ahead of their use, and tries again after faults."""

import uuid
from pathlib import Path

import pytest

from components.ingest import example_shards
from data.photos.labels_file import PhotoSpan, write_span
from data.spans.layout import find_spans
from edgeline.errors import DataRefused, EdgelineError
from edgeline.store import fetching, locations
from edgeline.store.locations import get_filesystem, locate
from tests.components.steps import ingest
from tests.components.test_example_gen import row, walk
from tests.components.test_object_stores import upload
from tests.data.sample_photos import jpeg

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Writes a span of 40 good photos; four more are missing, empty, no photo, or have an unknown label."""
    data = tmp_path_factory.mktemp("data")
    photos = [*walk(range(20), "walk-1"), *walk(range(20, 40), "walk-2")]
    odd = [(row("missing.jpg"), None), (row("empty.jpg"), b""), (row("text.jpg"), b"<html>")]
    odd.append((row("odd.jpg", "odd"), jpeg(seed=50)))
    write_span(data, [*photos[:20], *odd, *photos[20:]])
    return data


@pytest.fixture(scope="module")
def local(folder, tmp_path_factory):
    """Runs ingest on the folder."""
    return ingest(folder, tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module")
def data(folder, s3_server):
    """Uploads the folder to a bucket, with the markers that some tools write for folders."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    place = locate(f"s3://{name}/data")
    get_filesystem(place).mkdir(name)
    upload(folder, f"s3://{name}/data")
    for marker in ("", "span-00001/", "span-00001/photos/"):
        get_filesystem(place).pipe_file(f"{place.path}/{marker}", b"")
    return f"s3://{name}/data"


def assert_same(stored, local):
    for split in ("train", "eval"):
        assert stored.read_files(split) == local.read_files(split) and stored.read_records(split)
    assert stored.read_quarantine() == local.read_quarantine() and len(local.read_quarantine()) == 4
    assert [path.name for path in Path(stored.quarantine.uri, "thumbnails").iterdir()] == ["01.jpg"]
    summaries = [ingested.summary for ingested in (stored, local)]
    # The digests are of listings, which differ between a bucket and a folder.
    for summary in summaries:
        assert all([summary.pop("window"), *(span.pop("content") for span in summary["spans"])])
    assert summaries[0] == summaries[1]


def test_photos_are_fetched_once_several_at_a_time_and_a_later_run_fetches_none(
    data, start_proxy, local, tmp_path, monkeypatch
):
    monkeypatch.setattr(example_shards, "MOST_FETCHES", 8)
    proxy = start_proxy()
    assert_same(ingest(data, tmp_path / "1", workspace=tmp_path / "workspace"), local)
    photos = [request for request in proxy.requests if "/photos/" in request[1]]
    fetched = [path for method, path in photos if method == "GET" and "walk" in path]
    # At most twenty photos of each label are read again, unchanged, for golden vectors.
    assert len(set(fetched)) == 40 and len(fetched) <= 40 + 20
    assert 2 <= proxy.most <= 8
    # The empty photo is looked at again, and so are those in quarantine that are shown.
    assert len(photos) - len(fetched) < 15 + 20
    assert sum(method == "LIST" for method, _ in proxy.requests) < 15
    proxy = start_proxy()
    ingest(data, tmp_path / "2", workspace=tmp_path / "workspace")
    # Only the raw inputs of golden vectors are fetched again.
    assert len([path for method, path in proxy.requests if method == "GET" and "walk" in path]) <= 20


# Faults and their count by the last digit of a photo's number; botocore alone would give up before.
FAULTS = {"1": ("busy", 4), "2": ("reset", 4), "3": ("cut", 2)}


def test_fetches_are_tried_again_without_a_change_and_those_that_wait_are_bounded(
    data, start_proxy, local, tmp_path, monkeypatch
):
    def fault(key, times):
        if key.endswith("walk-1-7.jpg"):
            return None if times else "hang"
        kind, most = FAULTS.get(key[-5], (None, 0)) if "walk" in key else (None, 0)
        return kind if times < most else None

    monkeypatch.setattr(fetching, "_PATIENCE_S", (0.1, 0.1, 0.1))
    monkeypatch.setattr(example_shards, "MOST_FETCHED_BYTES", 3 * len(jpeg(seed=1)))
    proxy = start_proxy(fault)
    assert_same(ingest(data, tmp_path), local)
    tries = {proxy.requests.count(("GET", path)) for _, path in proxy.requests if "walk" in path}
    assert tries >= {1, 2, 3, 5}
    assert proxy.most < 12  # the client gave up some of them


@pytest.mark.parametrize(
    ("fault", "found", "do"),
    [
        ("busy", "asks for fewer requests", "when the store is less busy"),
        ("reset", "cannot be reached|the store answered with an error", "run the same command again"),
        ("hang", "did not answer in time", "run the same command again"),
    ],
)
def test_a_lasting_fault_is_an_error_with_what_to_do(data, start_proxy, monkeypatch, fault, found, do):
    monkeypatch.setattr(fetching, "_PATIENCE_S", (0.1,))
    monkeypatch.setitem(locations.S3_OPTIONS, "read_timeout", 0.5 if fault == "hang" else 8)
    proxy = start_proxy(lambda key, times: fault)
    content = PhotoSpan(1, locate(data) / "span-00001").fetch("walk-1-7.jpg", 100)
    with pytest.raises(EdgelineError, match=rf"walk-1-7.jpg.*({found}).*{do}") as caught:
        content()
    assert caught.value.found and caught.value.why and caught.value.do and len(proxy.requests) >= 6


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_a_bucket_that_changes_after_it_was_listed_is_refused(folder, bucket, start_proxy, tmp_path, change):
    """Ingest does not know the digest of the window here, as on Kubeflow."""
    upload(folder, f"{bucket}/data")
    (span,) = find_spans(locate(f"{bucket}/data"))
    store, late = get_filesystem(span.path), f"{span.path.path}/photos/walk-2-35.jpg"

    def change_bucket(key, times):
        if key.endswith("walk-1-7.jpg") and change == "deleted":
            store.rm_file(late)
        elif key.endswith("walk-1-7.jpg"):
            store.pipe_file(late, jpeg(seed=99) + b"longer")

    start_proxy(change_bucket)
    with pytest.raises(DataRefused, match=r"changed while they were read.*Run again"):
        ingest(f"{bucket}/data", tmp_path)
