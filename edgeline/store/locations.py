"""Locations of examples and releases: a folder, or a place in an object store (`s3://bucket/prefix`).

An object store is S3 or one with its API, reached through fsspec. Endpoint, keys and region come from where
AWS's own tools take them: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or ~/.aws.
"""

import errno
import io
import os
import re
import shutil
import stat
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Union

from edgeline.errors import UsageError
from edgeline.store.store_errors import explain_errors, ignore_absent

if TYPE_CHECKING:
    from upath import UPath

Location = Union[Path, "UPath"]

# The folders below / in a step's pod into which the launcher of Kubeflow Pipelines copies a store's objects.
LAUNCHER_FOLDERS: Mapping[str, str] = {"minio://": "minio", "s3://": "s3", "gs://": "gcs"}

# Limits of one worker: objects fetched at once, and bytes of fetched objects that wait to be used.
MOST_FETCHES, MOST_FETCHED_BYTES = 32, 128 * 2**20
# Bytes of one request for an object that is read as a stream.
_READ_AT_ONCE = 4 * 2**20
# A whole object has to arrive within so many seconds, and those of its bytes at the slowest rate.
_PATIENCE_S, _SLOWEST_BYTES_A_S = 60, 2**16
# An endpoint that does not answer is reported within half a minute, three attempts included.
S3_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 8,
    "retries": {"total_max_attempts": 3, "mode": "standard"},
    "max_pool_connections": MOST_FETCHES,
    # Many stores with the S3 API support only the checksums that S3 itself requires.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}
# A scheme has at least two letters: C:/b is a folder. A `::` would chain another file system of fsspec.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+:/")
_BUCKET = re.compile(r"(?!.*::)s3://[^/.]")


@dataclass(frozen=True)
class Entry:
    """One file below a folder."""

    size: int  # in bytes
    version: str  # a text that changes with the content (an ETag)


def is_url(place: str) -> bool:
    """Tells whether `place` names an object store rather than a folder, even with a slash missing."""
    return bool(_URL.match(place)) and not place.startswith("file://")


def name_place(place: str) -> str:
    """Returns the URL of a bucket as records have it, without slashes at its end; another text as it is."""
    return place.rstrip("/") if _BUCKET.match(place) else place


def locate_folder(place: str) -> Path:
    """Returns the folder named by a text that is not the URL of a store; it may begin with file://."""
    return Path(place.removeprefix("file://"))


def locate(place: "str | Location") -> Location:
    """Returns the folder or place in a store that a text names; a Path or UPath is returned as it is.

    Raises UsageError for a URL other than s3://BUCKET, or if the library for s3:// is not installed.
    """
    if not isinstance(place, str):
        return place
    if not is_url(place):
        return locate_folder(place)
    if not _BUCKET.match(place):
        raise UsageError(
            f"{place} is neither a folder nor s3://BUCKET/PREFIX.",
            "Data and releases lie in folders, in S3, or in a store with the S3 API (such as MinIO, with"
            " AWS_ENDPOINT_URL set).",
            "Pass one of these.",
        )
    from upath import UPath

    try:
        # Others may write there at any time, so a cached listing would be stale.
        path = UPath(place.rstrip("/"), use_listings_cache=False, config_kwargs=S3_OPTIONS)
        path.fs  # noqa: B018 - a missing library is reported here, not at the first file
    except ImportError as error:
        raise UsageError(
            f"{place} cannot be reached: {error}.",
            "The library for s3:// is not installed here.",
            "Install it: pip install 'edgeline[s3]'.",
        ) from error
    return path


def get_filesystem(place: "UPath") -> Any:
    """Returns the fsspec file system of a place in a store."""
    store = place.fs
    if hasattr(store, "retries"):
        store.retries = 1  # s3fs would repeat what botocore has repeated already
        if store.session is None:
            from aiobotocore.session import AioSession

            store.session = AioSession()
            # Times are not used, and parsing them takes most of the time of a listing.
            parsers = store.session.get_component("response_parser_factory")
            parsers.set_parser_defaults(timestamp_parser=str)
    return store


@contextmanager
def write_atomically(path: Path, sync: bool = False) -> Iterator[BinaryIO]:
    """Opens a new file that replaces `path` once it is completely written; a failed write leaves nothing.

    With `sync`, the content is on the disk before the file appears under its name.
    """
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with add_path_to_errors(path):
        try:
            with scratch.open("wb") as file:
                yield file
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def add_path_to_errors(path: Path) -> Iterator[None]:
    """Puts `path` into an OSError that names no file, such as that of a full disk, or a hidden file."""
    try:
        yield
    except OSError as error:
        if error.errno and os.path.basename(str(error.filename or ".")).startswith("."):
            error.filename = str(path)
            del error.filename2  # None would be written out, as "-> None"
        raise


def open_regular_file(path: str, flags: int) -> int:
    """Opens a regular file, as an opener for `open`; never waits for the writer of a pipe.

    Raises OSError if it cannot be opened, or is a device or a pipe.
    """
    # Windows has no such pipes. A new file is no program, which os.open would else make it.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if not stat.S_ISDIR(mode := os.fstat(descriptor).st_mode) and not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    return descriptor


def open_without_links(path: str, flags: int) -> int:
    """Opens a regular file as `open_regular_file` does; raises OSError also where a link is in its place."""
    return open_regular_file(path, flags | getattr(os, "O_NOFOLLOW", 0))


def read_bytes(path: Location, most: int | None = None) -> bytes:
    """Reads a file or object of at most `most` bytes.

    Raises:
        FileNotFoundError: The file or object does not exist, while the store and its bucket do.
        EdgelineError: The store cannot be read.
        OSError: The file cannot be read, or is a pipe or device; EFBIG: it is too large.
    """
    if isinstance(path, Path):
        with open(path, "rb", buffering=0, opener=open_regular_file) as file:
            check_size(os.fstat(file.fileno()).st_size, most, path)
            return file.readall()
    from fsspec.asyn import sync

    store = get_filesystem(path)
    with explain_errors(path):
        content: bytes = sync(store.loop, _read_object, store, path, most)
        return content


async def _read_object(store: Any, path: "UPath", most: int | None) -> bytes:
    """Reads an object of at most `most` bytes, as many as its answer begins with; raises as `read_bytes`."""
    import asyncio

    bucket, key, _ = store.split_path(path.path)
    answer = await asyncio.wait_for(store._call_s3("get_object", Bucket=bucket, Key=key), _PATIENCE_S)
    with closing(answer["Body"]) as body:
        # Without a length it may have no end.
        size = int(answer.get("ContentLength", sys.maxsize))
        check_size(size, most, path)
        content: bytes = await asyncio.wait_for(body.read(), _PATIENCE_S + size / _SLOWEST_BYTES_A_S)
        return content


def open_read(path: Location) -> Any:
    """Opens a file or object as a binary stream that is read on demand; for use inside `explain_errors`.

    Raises OSError if it cannot be opened, or is not a regular file.
    """
    if not isinstance(path, Path):
        # The `readline` of fsspec's file takes no limit.
        return io.BufferedReader(get_filesystem(path).open(path.path, "rb", block_size=_READ_AT_ONCE))
    if not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return path.open("rb")


def check_size(size: int, most: int | None, path: Location) -> None:
    """Raises OSError with EFBIG if a file is larger than `most` bytes.

    Args:
        size: In bytes, as far as it is known: of the file, or of what was read.
        most: None for no bound.
        path: For the error; it is not looked at.
    """
    if most is not None and size > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))


def list_names(place: Location) -> list[str]:
    """Returns the names of the files and folders directly in `place`; empty where it does not exist."""
    return [name for name, _ in _list_children(place)]


def list_folders(place: Location) -> list[str]:
    """Returns the names of the folders directly in `place`; empty where it does not exist."""
    return [name for name, is_folder in _list_children(place) if is_folder]


def _list_children(place: Location) -> list[tuple[str, bool]]:
    if isinstance(place, Path):
        try:
            with os.scandir(place) as entries:
                return [(entry.name, _is_folder(entry)) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return []
    top = place.path.strip("/") + "/"
    infos = _query(place, lambda store: store.ls(place.path, detail=True))
    children = ((info["name"].strip("/") + "/", info["type"] == "directory") for info in infos)
    # A store's web console and TensorFlow make a folder by an object with the folder's own name
    # (kubeflow/pipelines#13476).
    return [(name.removeprefix(top).rstrip("/"), is_folder) for name, is_folder in children if name != top]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Tells whether an entry is a folder; only a link costs a look at the disk, and may be broken."""
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry))


def list_files_below(place: "UPath") -> Mapping[str, Entry]:
    """Lists all objects below a place in a store by relative path, sorted, without reading any.

    Objects that stand for a folder, and names that are not a plain relative path, are left out.
    """
    top = place.path.strip("/") + "/"
    files = {}
    for info in _query(place, lambda store: store.find(place.path, detail=True).values()):
        name = info["name"].lstrip("/")
        relative = name.removeprefix(top)
        is_plain = PurePosixPath(relative).as_posix() == relative and not {".", ".."} & {*relative.split("/")}
        if info["type"] == "file" and name.startswith(top) and is_plain:
            files[relative] = Entry(int(info["size"]), read_version(info))
    return dict(sorted(files.items()))


def measure_size(place: Location) -> int:
    """Returns the bytes of a file, or of all files below a place; 0 if it does not exist. Follows no link."""
    if not isinstance(place, Path):
        return sum(entry.size for entry in list_files_below(place).values())
    if not place.is_dir() or place.is_symlink():
        return place.lstat().st_size if os.path.lexists(place) else 0
    size = 0
    for folder, _, names in os.walk(place):
        for name in names:
            with suppress(FileNotFoundError):  # the file may be removed meanwhile
                size += os.lstat(os.path.join(folder, name)).st_size
    return size


def _query(place: "UPath", query: Callable[[Any], Iterable[Any]]) -> Iterable[Any]:
    """Returns the answer of a place's file system to `query`; empty where the place does not exist."""
    infos: Iterable[Any] = ()
    with ignore_absent(place):
        infos = query(get_filesystem(place))
    return infos


def read_version(info: Mapping[str, Any]) -> str:
    """Returns a text that changes with an object's content, from fsspec's info on it; empty for none."""
    return str(info.get("ETag") or "").strip('"')


def copy_tree(source: Location, target: Path) -> None:
    """Copies all files below `source` into the folder `target`, creating it."""
    if isinstance(source, Path):
        shutil.copytree(source, target, dirs_exist_ok=True)
        return
    target.mkdir(parents=True, exist_ok=True)
    for relative in list_files_below(source):
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        with explain_errors(source):
            get_filesystem(source).get_file((source / relative).path, str(target / relative))
