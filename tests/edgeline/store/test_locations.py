import errno
import os
import socket
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from fsspec.registry import _registry

from edgeline.errors import EdgelineError, UsageError
from edgeline.store import locations
from edgeline.store.locations import (
    get_filesystem,
    is_url,
    list_files_below,
    list_folders,
    list_names,
    locate,
    read_bytes,
    write_atomically,
)
from tests.s3 import point_to


def get_error(read, kind=EdgelineError):
    with pytest.raises(kind) as caught:
        read()
    assert type(caught.value) is kind
    assert caught.value.found and caught.value.why and caught.value.do
    assert "Traceback" not in str(caught.value)
    return caught.value


def test_a_file_is_replaced_as_a_whole_or_stays_as_it_was(tmp_path):
    path = tmp_path / "record.json"
    with write_atomically(path, sync=True) as file:
        file.write(b"old")
    with pytest.raises(OSError, match="full") as caught, write_atomically(path) as file:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "the disk is full")
    assert str(caught.value) == f"[Errno {errno.ENOSPC}] the disk is full: {str(path)!r}"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a/b", Path("a/b")), ("/a", Path("/a")), ("file:///a/b", Path("/a/b")), (Path("a"), Path("a"))],
)
def test_a_folder_stays_a_path(text, expected):
    assert locate(text) == expected and isinstance(locate(text), Path)


def test_a_url_is_a_place_in_a_store_and_keeps_its_spelling(bucket):
    assert is_url("s3://b/p") and not is_url("C:/b") and not is_url("file:///b")
    assert str(locate(f"{bucket}/a/b/")) == f"{bucket}/a/b"
    assert locate(f"{bucket}/a") / "b" == locate(f"{bucket}/a/b")
    assert locate(locate(f"{bucket}/a")) == locate(f"{bucket}/a")


def fill(place, names):
    for name in names:
        get_filesystem(place).pipe_file(f"{place.path}/{name}", name.encode())


@pytest.fixture
def place(bucket):
    return locate(bucket) / "data"


def test_a_place_in_a_store_has_the_names_and_files_of_a_folder(place):
    fill(place, ["a/1.txt", "a/deep/2.txt", "b.txt"])
    assert sorted(list_names(place)) == ["a", "b.txt"] and list_folders(place) == ["a"]
    assert sorted(list_names(place / "a")) == ["1.txt", "deep"] and list_folders(place / "a") == ["deep"]
    sizes = {name: entry.size for name, entry in list_files_below(place).items()}
    assert sizes == {"a/1.txt": 7, "a/deep/2.txt": 12, "b.txt": 5}
    assert read_bytes(place / "a" / "1.txt") == b"a/1.txt"


def test_no_more_is_read_than_is_allowed(place):
    fill(place, ["five!"])
    get_filesystem(place).pipe_file(f"{place.path}/empty", b"")
    assert read_bytes(place / "five!", most=5) == b"five!" and read_bytes(place / "empty", most=5) == b""
    with pytest.raises(OSError) as caught:
        read_bytes(place / "five!", most=4)
    assert caught.value.errno == errno.EFBIG
    with pytest.raises(FileNotFoundError):
        read_bytes(place / "missing", most=4)


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 2**40)
    with pytest.raises(OSError) as caught:
        read_bytes(tmp_path / "large", most=2**20)
    assert caught.value.errno == errno.EFBIG


@pytest.mark.timeout(20)
def test_a_pipe_a_socket_and_a_device_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "socket", "zeros", "."):
        with pytest.raises(OSError):
            read_bytes(tmp_path / name)


def test_a_missing_folder_is_empty_and_a_missing_file_is_an_error_as_on_a_disk(place):
    fill(place, ["x"])
    assert list_names(place / "nowhere") == list_folders(place / "nowhere") == []
    assert list_files_below(place / "nowhere") == {}
    with pytest.raises(FileNotFoundError):
        read_bytes(place / "nowhere")
    with pytest.raises(OSError):
        read_bytes(place / ("n" * 2000))


def test_a_tree_is_copied_to_a_folder(place, tmp_path):
    fill(place, ["a/1.txt", "b.txt"])
    for source, target in ((place, tmp_path / "one"), (tmp_path / "one", tmp_path / "two")):
        locations.copy_tree(source, target)
        assert (target / "a" / "1.txt").read_bytes() == b"a/1.txt" and (target / "b.txt").is_file()


@pytest.mark.moto
def test_objects_that_stand_for_folders_or_could_be_no_file_are_not_files(bucket):
    place = locate(bucket) / "data"
    fill(place, ["a/1.txt", "x//y", "../up", "./here"])
    for marker in ("", "a/", "empty/"):
        get_filesystem(place).pipe_file(f"{place.path}/{marker}", b"")
    assert list(list_files_below(place)) == ["a/1.txt"]
    assert {"a", "empty"} <= set(list_folders(place)) and not {"", "data"} & set(list_names(place))


def test_a_version_changes_with_the_content_alone(place):
    versions = []
    for content in (b"one", b"two", b"one"):
        get_filesystem(place).pipe_file(f"{place.path}/x", content)
        versions.append(list_files_below(place)["x"].version)
    assert versions[0] != versions[1] and all(versions)
    assert versions[0] == versions[2]


def test_a_bucket_that_is_not_there_is_no_empty_folder(s3_server):
    place = locate("s3://no-such-bucket/data")
    for read in (lambda: list_names(place), lambda: list_files_below(place), lambda: read_bytes(place / "x")):
        error = get_error(read)
        assert "the bucket 'no-such-bucket' does not exist" in error.found and s3_server in error.found


def authenticate(server, after):
    """Makes the server check keys and signatures after a number of requests."""
    request = urllib.request.Request(f"{server}/moto-api/reset-auth", str(after).encode())
    request.add_header("Content-Type", "text/plain")
    urllib.request.urlopen(request).close()


@pytest.mark.moto
def test_wrong_keys_are_reported(bucket, s3_server, monkeypatch):
    point_to(s3_server, monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone-else")
    authenticate(s3_server, 0)
    try:
        error = get_error(lambda: list_names(locate(bucket)))
    finally:
        authenticate(s3_server, 1_000_000)
    assert "was refused" in error.found and "AWS_ACCESS_KEY_ID" in error.do


def test_missing_keys_are_reported(bucket, s3_server, monkeypatch):
    point_to(s3_server, monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    error = get_error(lambda: list_names(locate(bucket)))
    assert "redentials" in error.found and "AWS_ACCESS_KEY_ID" in error.do


def test_an_endpoint_that_nobody_listens_at_is_named(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    point_to(address, monkeypatch)
    error = get_error(lambda: list_names(locate("s3://bucket/data")))
    assert "cannot be reached" in error.found and address in error.found


def test_a_busy_store_is_asked_three_times(bucket, start_proxy):
    proxy = start_proxy(lambda key, times: "busy")
    error = get_error(lambda: read_bytes(locate(f"{bucket}/data")))
    assert "SlowDown" in error.found or "reduce your request rate" in error.found
    assert [method for method, _ in proxy.requests] == ["GET"] * 3


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setitem(locations.S3_OPTIONS, "read_timeout", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections = []
        threading.Thread(target=lambda: connections.append(server.accept()), daemon=True).start()
        point_to(f"http://127.0.0.1:{server.getsockname()[1]}", monkeypatch)
        error = get_error(lambda: read_bytes(locate("s3://bucket/data")))
    assert "did not answer in time" in error.found


@pytest.mark.parametrize(
    "url",
    [
        *("nosuch://bucket/x", "memory://x", "S3://b/x", "http://h/x", "simplecache::s3://b/x"),
        *("s3://b::memory://x", "s3://", "s3:///x", "s3://../x", "s3:/bucket/x"),
    ],
)
def test_only_folders_and_buckets_of_s3_are_taken(url):
    assert "neither a folder nor s3://" in get_error(lambda: locate(url), UsageError).found


def test_an_invalid_bucket_name_is_bad_usage(s3_server):
    assert "Bad_Name" in get_error(lambda: list_names(locate("s3://Bad_Name!/x")), UsageError).found


def test_an_address_that_is_no_url_is_bad_usage(monkeypatch):
    point_to("localhost", monkeypatch)
    assert "AWS_ENDPOINT_URL" in get_error(lambda: list_names(locate("s3://bucket/x")), UsageError).do


def test_without_the_library_for_s3_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)  # a test before may have loaded it
    error = get_error(lambda: locate("s3://bucket/push"), UsageError)
    assert "edgeline[s3]" in error.do
