"""The content of a window of spans as one digest, fast enough to be asked before every run."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from data.spans.layout import Span, write_whole
from locations import files_below

if TYPE_CHECKING:
    from upath import UPath

# A file that changed a moment ago may change again within one tick of its file system's clock (2 s on FAT,
# the coarsest), and keep its time and size: such a span is read again next time.
_CLOCK_TICK_NS = 2 * 10**9
_CHUNK = 2**20
# A span of ten million readings is one or two of these.
_MOST_BYTES = 64 * 2**30


def digest_of(contents: Mapping[str, str]) -> str:
    """SHA-256, in hexadecimal, over names and contents of spans, oldest first, as `contents_of` has them."""
    lines = (f"{name}\0{content}\n" for name, content in contents.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def contents_of(spans: Iterable[Span], cache: Path | None = None) -> dict[str, str]:
    """By name of the span, SHA-256 over the names and bytes of all its files, the same on every machine.

    Of an object store, the bytes are told by sizes and ETags as it lists them, and nothing is downloaded.

    Args:
        spans: In the order of the digests.
        cache: A JSON file that remembers each span's content by its files' sizes, times and inodes, so that a
            span whose files are untouched is not read again. A damaged one is made again; one that cannot be
            written only costs time.

    Returns:
        64 hexadecimal digits. A link counts as what it points to by name, and is not followed.
    """
    known = _read(cache)
    fresh: dict[str, dict[str, str]] = {}
    contents = {}
    for span in spans:
        path = span.path
        contents[span.name] = _remembered(path, known, fresh) if isinstance(path, Path) else _listed(path)
    if cache is not None and fresh != known:
        _write(cache, fresh)
    return contents


def has_links(span: Span) -> bool:
    """Whether a file of a span may be another one without its content telling, see `contents_of`."""
    return isinstance(span.path, Path) and any(it.is_symlink() for _, it in _files(str(span.path)))


def _remembered(root: Path, known: Mapping[str, dict[str, str]], fresh: dict[str, dict[str, str]]) -> str:
    """The content of a span, from `known` where its files are untouched; noted in `fresh` if it will last."""
    started_ns = time.time_ns()
    signature, newest_ns = _signature(root)
    entry = known.get(str(root.absolute()), {})
    content = entry.get("content") if entry.get("signature") == signature else None
    content = content or _content(root)
    if newest_ns < started_ns - _CLOCK_TICK_NS:
        fresh[str(root.absolute())] = {"signature": signature, "content": content}
    return content


def _listed(root: "UPath") -> str:
    digest = hashlib.sha256()
    for name, entry in files_below(root).items():
        digest.update(f"{name}\0{entry.size}\0{entry.version}\n".encode())
    return digest.hexdigest()


def _signature(root: Path) -> tuple[str, int]:
    """A digest of every file's path, size, times and inode, and the newest modification in nanoseconds."""
    lines, newest_ns = [], 0
    for relative, entry in _files(str(root)):
        status = entry.stat(follow_symlinks=False)
        newest_ns = max(newest_ns, status.st_mtime_ns)
        lines.append(
            f"{relative}\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        )
    lines.sort()
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest(), newest_ns


def _content(root: Path) -> str:
    digest = hashlib.sha256()
    for relative, entry in sorted(_files(str(root)), key=lambda item: item[0]):
        digest.update(f"{relative}\0".encode("utf-8", "surrogateescape"))
        digest.update(
            f"link {os.readlink(entry.path)}\0".encode() if entry.is_symlink() else _file_digest(entry.path)
        )
    return digest.hexdigest()


def _file_digest(path: str) -> bytes:
    digest = hashlib.sha256()
    if (size := os.path.getsize(path)) > _MOST_BYTES:  # nothing reads it
        return f"{size} bytes".encode()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()


def _files(root: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    folders = [("", root)]
    while folders:
        prefix, folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append((f"{prefix}{entry.name}/", entry.path))
                elif entry.is_symlink() or entry.is_file():
                    yield prefix + entry.name, entry


def _read(cache: Path | None) -> dict[str, dict[str, str]]:
    known: dict[str, dict[str, str]] = {}
    with suppress(OSError, ValueError, RecursionError):
        if cache is not None and cache.is_file():
            known = msgspec.json.decode(cache.read_bytes(), type=dict[str, dict[str, str]])
    return known


def _write(cache: Path, entries: dict[str, dict[str, str]]) -> None:
    with suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_whole(cache, json.dumps(entries, indent=1).encode())
