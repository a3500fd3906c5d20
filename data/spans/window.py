"""One digest of the content of a window of spans, fast enough to be computed before every run."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from data.spans.layout import Span, replace_file
from edgeline.store.locations import list_files_below
from edgeline.store.objects import measure_file

if TYPE_CHECKING:
    from upath import UPath

# A file that changed a moment ago may change again within one tick of its file system's clock (2 s on FAT,
# the coarsest) and keep its time and size, so such a span is read again next time.
_CLOCK_TICK_NS = 2 * 10**9


def compute_window_digest(contents: Mapping[str, str]) -> str:
    """Returns the hexadecimal SHA-256 of spans' names and digests, as `compute_span_digests` has them."""
    lines = (f"{name}\0{content}\n" for name, content in contents.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def compute_span_digests(spans: Iterable[Span], cache: Path | None = None) -> dict[str, str]:
    """Computes the hexadecimal SHA-256 over the names and bytes of each span's files, by the span's name.

    It is the same on every machine. A link counts by the name of its target, and is not followed. In an
    object store, sizes and ETags from its listing stand for the bytes, and nothing is downloaded. The JSON
    file `cache` keeps each digest by the files' sizes, times and inodes, so that a span with unchanged files
    is not read again; a damaged one is made again, and one that cannot be written only costs time.
    """
    cached = _read_cache(cache)
    fresh: dict[str, dict[str, str]] = {}
    contents = {}
    for span in spans:
        path = span.path
        contents[span.name] = (
            _digest_cached(path, cached, fresh) if isinstance(path, Path) else _digest_listing(path)
        )
    if cache is not None and fresh != cached:
        _write_cache(cache, fresh)
    return contents


def has_links(span: Span) -> bool:
    """Returns whether a span has links, whose targets may change while its digest stays the same."""
    return isinstance(span.path, Path) and any(it.is_symlink() for _, it in _list_files(str(span.path)))


def _digest_cached(root: Path, cached: Mapping[str, dict[str, str]], fresh: dict[str, dict[str, str]]) -> str:
    """Returns a span's digest, from `cached` if its files are unchanged; adds it to `fresh` if final."""
    started_ns = time.time_ns()
    signature, newest_ns = _digest_status(root)
    entry = cached.get(str(root.absolute()), {})
    content = entry.get("content") if entry.get("signature") == signature else None
    content = content or _digest_content(root)
    if newest_ns < started_ns - _CLOCK_TICK_NS:
        fresh[str(root.absolute())] = {"signature": signature, "content": content}
    return content


def _digest_listing(root: "UPath") -> str:
    digest = hashlib.sha256()
    for name, entry in list_files_below(root).items():
        digest.update(f"{name}\0{entry.size}\0{entry.version}\n".encode())
    return digest.hexdigest()


def _digest_status(root: Path) -> tuple[str, int]:
    """Returns a digest of all files' paths, sizes, times and inodes, and the newest modification in ns."""
    lines, newest_ns = [], 0
    for relative, entry in _list_files(str(root)):
        status = entry.stat(follow_symlinks=False)
        newest_ns = max(newest_ns, status.st_mtime_ns)
        lines.append(
            f"{relative}\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        )
    lines.sort()
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest(), newest_ns


def _digest_content(root: Path) -> str:
    digest = hashlib.sha256()
    for relative, entry in sorted(_list_files(str(root)), key=lambda item: item[0]):
        digest.update(f"{relative}\0".encode("utf-8", "surrogateescape"))
        if entry.is_symlink():
            digest.update(f"link {os.readlink(entry.path)}\0".encode())
        else:
            digest.update(bytes.fromhex(measure_file(Path(entry.path))[1]))
    return digest.hexdigest()


def _list_files(root: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    folders = [("", root)]
    while folders:
        prefix, folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append((f"{prefix}{entry.name}/", entry.path))
                elif entry.is_symlink() or entry.is_file():
                    yield prefix + entry.name, entry


def _read_cache(cache: Path | None) -> dict[str, dict[str, str]]:
    with suppress(OSError, ValueError, RecursionError):
        if cache is not None and cache.is_file():  # and not a pipe, which would wait
            return msgspec.json.decode(cache.read_bytes(), type=dict[str, dict[str, str]])
    return {}


def _write_cache(cache: Path, entries: dict[str, dict[str, str]]) -> None:
    with suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        replace_file(cache, json.dumps(entries, indent=1).encode())
