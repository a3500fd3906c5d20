"""A folder, or a place in an object store (`s3://bucket/prefix`): where examples are read and releases lie.

An object store is S3 or what speaks like it, reached through fsspec. Endpoint, keys and region come from
where its own tools take them: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or ~/.aws.
"""

import errno
import io
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Union

from errors import UsageError
from store_errors import explained, if_there

if TYPE_CHECKING:
    from upath import UPath

Location = Union[Path, "UPath"]

# Where the launcher of Kubeflow Pipelines puts its copies of a store's objects in a step's pod, below /.
LAUNCHER_FOLDERS: Mapping[str, str] = {"minio://": "minio", "s3://": "s3", "gs://": "gcs"}

# Of one worker, how many objects are fetched at once, and how many bytes of them wait to be used.
MOST_FETCHES, MOST_FETCHED_BYTES = 32, 128 * 2**20
# Of an object that is read as it is asked for, bytes of a request.
_READ_AT_ONCE = 4 * 2**20
# An endpoint that nobody answers at is told within half a minute, three attempts included.
S3_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 8,
    "retries": {"total_max_attempts": 3, "mode": "standard"},
    "max_pool_connections": MOST_FETCHES,
    # Many stores that speak S3 know no other checksums than S3 itself asks for.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}
# Two letters at least: C:/b is a folder's name. A `::` would chain another file system of fsspec behind it.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+:/")
_BUCKET = re.compile(r"(?!.*::)s3://[^/.]")


@dataclass(frozen=True)
class Entry:
    """One file below a folder."""

    size: int  # in bytes
    version: str  # a text that another content would not have (an ETag)


def is_url(place: str) -> bool:
    """Whether `place` names an object store rather than a folder, also where it misses a slash."""
    return bool(_URL.match(place)) and not place.startswith("file://")


def locate(place: "str | Location") -> Location:
    """The folder or place in a store that a text names; a Path stays what it is.

    Raises:
        UsageError: It is a URL of another kind than s3://BUCKET, or the library for that is not installed.
    """
    if not isinstance(place, str):
        return place
    if not is_url(place):
        return Path(place.removeprefix("file://"))
    if not _BUCKET.match(place):
        raise UsageError(
            f"{place} is neither a folder nor s3://BUCKET/PREFIX.",
            "Data and releases lie only where it was proven that nothing is lost: in folders, and in S3 or"
            " what speaks like it (MinIO, with AWS_ENDPOINT_URL set).",
            "Give one of these.",
        )
    from upath import UPath

    try:
        # Somebody else may write there at any time.
        path = UPath(place.rstrip("/"), use_listings_cache=False, config_kwargs=S3_OPTIONS)
        path.fs  # noqa: B018 - what cannot be had is told here, not at the first file
    except ImportError as error:
        raise UsageError(
            f"{place} cannot be reached: {error}.",
            "The library for s3:// is not installed here.",
            "Install it: pip install 'edgeline[s3]'.",
        ) from error
    return path


def filesystem(place: "UPath") -> Any:
    """The fsspec file system of a place in a store."""
    store = place.fs
    if hasattr(store, "retries"):
        store.retries = 1  # s3fs would repeat what botocore has repeated already
        if store.session is None:
            from aiobotocore.session import AioSession

            store.session = AioSession()
            # Nobody asks for times, and to understand them takes most of the time of a listing.
            parsers = store.session.get_component("response_parser_factory")
            parsers.set_parser_defaults(timestamp_parser=str)
    return store


@contextmanager
def whole(path: Path, sync: bool = False) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` once all of it is written; where that fails, nothing is left.

    With `sync` its content is on the disk before it is there.
    """
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with naming(path):
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
def naming(path: Path) -> Iterator[None]:
    """Has an OSError name `path` where it names no file, as that of a full disk, or a hidden one."""
    try:
        yield
    except OSError as error:
        if error.errno and os.path.basename(str(error.filename or ".")).startswith("."):
            error.filename, error.filename2 = str(path), None
        raise


def read_bytes(path: Location, most: int | None = None) -> bytes:
    """The content of a file or object, if it has at most `most` bytes.

    Raises:
        FileNotFoundError: It is not there, while the store and its bucket are.
        EdgelineError: The store cannot be read.
        OSError: The file cannot be read, or is a pipe or device; EFBIG where it is too large.
    """
    if isinstance(path, Path):
        # Not blocking, so that a pipe that nobody writes to is opened at once, and told from a file.
        with open(path, "rb", buffering=0, opener=lambda p, flags: os.open(p, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            _check_size(status.st_size, most, path)
            return file.readall()
    store = filesystem(path)
    with explained(path):
        size = None if most is None else store.size(path.path)
        _check_size(size or 0, most, path)
        # Of several requests at once s3fs would ask for the size first, each time.
        content: bytes = store.cat_file(path.path, end=size or None, max_concurrency=1)
        return content


def open_read(path: Location) -> Any:
    """A binary stream of a file or object, read as it is asked for; within `explained`.

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """
    if not isinstance(path, Path):
        # Its own `readline` takes no limit.
        return io.BufferedReader(filesystem(path).open(path.path, "rb", block_size=_READ_AT_ONCE))
    if not path.is_file():
        raise OSError(errno.EINVAL, "it is no file", str(path))
    return path.open("rb")


def _check_size(size: int, most: int | None, path: Location) -> None:
    if most is not None and size > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))


def names_in(place: Location) -> list[str]:
    """The names of all files and folders right below `place`; empty where it is not there."""
    return [name for name, _ in _children(place)]


def folders_in(place: Location) -> list[str]:
    """The names of the folders right below `place`; empty where it is not there."""
    return [name for name, is_folder in _children(place) if is_folder]


def _children(place: Location) -> list[tuple[str, bool]]:
    if isinstance(place, Path):
        try:
            with os.scandir(place) as entries:
                return [(entry.name, _is_folder(entry)) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return []
    top = place.path.strip("/") + "/"
    infos = _listed(place, lambda store: store.ls(place.path, detail=True))
    found = ((info["name"].strip("/") + "/", info["type"] == "directory") for info in infos)
    # An object named like the folder itself stands for it where somebody made it with a browser.
    return [(name.removeprefix(top).rstrip("/"), is_folder) for name, is_folder in found if name != top]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """As the listing says; only where a link leads to has to be looked up, and may be nowhere."""
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry))


def files_below(place: "UPath") -> Mapping[str, Entry]:
    """All objects below a place in a store by relative path, sorted, from its listing alone.

    Objects that stand for a folder, and names that no file of a folder could have, are left out.
    """
    top = place.path.strip("/") + "/"
    found = {}
    for info in _listed(place, lambda store: store.find(place.path, detail=True).values()):
        name = info["name"].lstrip("/")
        relative = name.removeprefix(top)
        if info["type"] == "file" and name.startswith(top) and _is_plain(relative):
            found[relative] = Entry(int(info["size"]), version_in(info))
    return dict(sorted(found.items()))


def size_below(place: Location) -> int:
    """The bytes of a file, or of all files below a place; nothing where it is not there. Follows no link."""
    if not isinstance(place, Path):
        return sum(entry.size for entry in files_below(place).values())
    if not place.is_dir() or place.is_symlink():
        return place.lstat().st_size if os.path.lexists(place) else 0
    size = 0
    for folder, _, names in os.walk(place):
        for name in names:
            with suppress(FileNotFoundError):  # whoever wrote it may be at work
                size += os.lstat(os.path.join(folder, name)).st_size
    return size


def _listed(place: "UPath", look: Callable[[Any], Iterable[Any]]) -> Iterable[Any]:
    """What the file system of a place lists there; nothing where the place is not."""
    found: Iterable[Any] = ()
    with if_there(place):
        found = look(filesystem(place))
    return found


def _is_plain(relative: str) -> bool:
    return PurePosixPath(relative).as_posix() == relative and not {".", ".."} & set(relative.split("/"))


def version_in(info: Mapping[str, Any]) -> str:
    """What changes with an object's content, from what fsspec says of it; empty where it says nothing."""
    for key in ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "mtime", "created"):
        if info.get(key):
            return str(info[key]).strip('"')
    return ""


def copy_tree(source: Location, target: Path) -> None:
    """Copies all files below `source` into the folder `target`, which is made."""
    if isinstance(source, Path):
        shutil.copytree(source, target, dirs_exist_ok=True)
        return
    target.mkdir(parents=True, exist_ok=True)
    for relative in files_below(source):
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        with explained(source):
            filesystem(source).get_file((source / relative).path, str(target / relative))
