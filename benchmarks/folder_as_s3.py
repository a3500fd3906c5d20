"""A server that presents a folder as a slow bucket of S3, with as much of S3 as reading spans needs.

    python -m benchmarks.folder_as_s3 DIR MILLISECONDS

It prints its address, delays every answer and serves any number of requests at once. `/?counts` returns the
number of requests by kind. It is no server from a library: those took a third of the time of a photo, on the
same cores as the code under test.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote

BUCKET = "photos"
_PAGE = 1000
_RANGE = re.compile(rb"\r\nrange: *bytes=(\d+)-(\d+)", re.IGNORECASE)


class FolderAsS3:
    """The bucket: the files that a folder had at the start; each answer is delayed by `delay_s`."""

    def __init__(self, folder: Path, delay_s: float) -> None:
        self.delay_s = delay_s
        self._files: dict[str, tuple[Path, int, str]] = {}  # by key, with size and ETag
        for path in filter(Path.is_file, folder.rglob("*")):
            status = path.stat()
            tag = f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
            self._files[path.relative_to(folder).as_posix()] = path, status.st_size, tag
        self._keys = sorted(self._files)
        self._requests: Counter[str] = Counter()

    def answer(self, head: bytes) -> bytes:
        """Returns the answer of S3 to a listing, GET or HEAD."""
        kind, target, _ = head.split(b" ", 2)
        place, _, query = target.decode().partition("?")
        if query == "counts":
            counts = {**self._requests, "server's CPU seconds": round(time.process_time(), 1)}
            return _format("200 OK", json.dumps(counts).encode())
        if "list-type" in query:
            self._requests["LIST"] += 1
            return _format("200 OK", self._list_objects(dict(parse_qsl(query))).encode())
        self._requests[kind.decode()] += 1
        key = unquote(place).removeprefix(f"/{BUCKET}/")
        if key not in self._files:
            return _format("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>")
        path, size, tag = self._files[key]
        if kind == b"HEAD":
            return _format("200 OK", b"", {"ETag": tag, "Content-Length": size})
        span = _RANGE.search(head)
        if not span:
            return _format("200 OK", path.read_bytes(), {"ETag": tag})
        first, last = int(span[1]), min(int(span[2]), size - 1)
        with open(path, "rb", buffering=0) as file:
            content = os.pread(file.fileno(), last - first + 1, first)
        return _format(
            "206 Partial Content", content, {"ETag": tag, "Content-Range": f"bytes {first}-{last}/{size}"}
        )

    def _list_objects(self, query: dict[str, str]) -> str:
        """Returns a page of ListObjectsV2, from its token on."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        at = bisect_left(self._keys, query.get("continuation-token", prefix))
        entries: list[str] = []
        while (more := at < len(self._keys) and self._keys[at].startswith(prefix)) and len(entries) < _PAGE:
            key = self._keys[at]
            name, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if cut:
                entries.append(f"<CommonPrefixes><Prefix>{prefix}{name}{cut}</Prefix></CommonPrefixes>")
                at = bisect_left(self._keys, f"{prefix}{name}{cut}\U0010ffff")
            else:
                _, size, tag = self._files[key]
                about = f"<Key>{key}</Key><ETag>{tag}</ETag><Size>{size}</Size>"
                changed = "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                entries.append(f"<Contents>{about}{changed}</Contents>")
                at += 1
        token = f"<NextContinuationToken>{self._keys[at]}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><Name>{BUCKET}</Name><Prefix>{prefix}</Prefix>{''.join(entries)}"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}</ListBucketResult>"
        )


def _format(status: str, content: bytes, headers: Mapping[str, object] = MappingProxyType({})) -> bytes:
    lines = (f"{name}: {value}" for name, value in {"Content-Length": len(content), **headers}.items())
    return "\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode() + content


class _Connection(asyncio.Protocol):
    """The connection of a client that waits for each answer and sends no bodies."""

    def __init__(self, bucket: FolderAsS3) -> None:
        self._bucket, self._unread = bucket, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if self._unread.endswith(b"\r\n\r\n"):
            head, self._unread = self._unread, b""
            asyncio.get_running_loop().call_later(self._bucket.delay_s, self._answer, head)

    def _answer(self, head: bytes) -> None:
        self._transport.write(self._bucket.answer(head))


async def _serve(folder: Path, delay_s: float) -> None:
    bucket = FolderAsS3(folder, delay_s)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(bucket), "127.0.0.1", 0)
    print("http://{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


@contextmanager
def serve_folder(folder: Path, milliseconds: float) -> Iterator[str]:
    """Starts a server in another process, for S3 clients here and in children; yields its address."""
    command = [sys.executable, "-m", "benchmarks.folder_as_s3", str(folder), str(milliseconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        os.environ["AWS_ENDPOINT_URL"] = address = process.stdout.readline().strip()
        os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "any"
        try:
            yield address
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), float(sys.argv[2]) / 1000))
