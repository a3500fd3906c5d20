"""A folder as a bucket of S3 whose every answer comes late: as much of S3 as reading spans asks for.

    python -m benchmarks.folder_as_s3 DIR MILLISECONDS

Prints its address. As many requests as come are answered at once. `/?told` has how many there were, by kind.
No server of a library: theirs took a third of the time of a photo, of the same cores as what is measured.
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
    """Answers with the files that a folder had in the beginning, each `delay_s` late."""

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
        """What S3 would say to a listing, GET or HEAD."""
        kind, target, _ = head.split(b" ", 2)
        place, _, query = target.decode().partition("?")
        if query == "told":
            told = {**self._requests, "server's CPU seconds": round(time.process_time(), 1)}
            return _answer("200 OK", json.dumps(told).encode())
        if "list-type" in query:
            self._requests["LIST"] += 1
            return _answer("200 OK", self._listing(dict(parse_qsl(query))).encode())
        self._requests[kind.decode()] += 1
        key = unquote(place).removeprefix(f"/{BUCKET}/")
        if key not in self._files:
            return _answer("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>")
        path, size, tag = self._files[key]
        if kind == b"HEAD":
            return _answer("200 OK", b"", {"ETag": tag, "Content-Length": size})
        asked = _RANGE.search(head)
        if not asked:
            return _answer("200 OK", path.read_bytes(), {"ETag": tag})
        first, last = int(asked[1]), min(int(asked[2]), size - 1)
        with open(path, "rb", buffering=0) as file:
            content = os.pread(file.fileno(), last - first + 1, first)
        return _answer(
            "206 Partial Content", content, {"ETag": tag, "Content-Range": f"bytes {first}-{last}/{size}"}
        )

    def _listing(self, query: dict[str, str]) -> str:
        """A page of ListObjectsV2, which begins at its token."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        at = bisect_left(self._keys, query.get("continuation-token", prefix))
        found: list[str] = []
        while (more := at < len(self._keys) and self._keys[at].startswith(prefix)) and len(found) < _PAGE:
            key = self._keys[at]
            name, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if cut:
                found.append(f"<CommonPrefixes><Prefix>{prefix}{name}{cut}</Prefix></CommonPrefixes>")
                at = bisect_left(self._keys, f"{prefix}{name}{cut}\U0010ffff")
            else:
                _, size, tag = self._files[key]
                about = f"<Key>{key}</Key><ETag>{tag}</ETag><Size>{size}</Size>"
                changed = "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                found.append(f"<Contents>{about}{changed}</Contents>")
                at += 1
        token = f"<NextContinuationToken>{self._keys[at]}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><Name>{BUCKET}</Name><Prefix>{prefix}</Prefix>{''.join(found)}"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}</ListBucketResult>"
        )


def _answer(status: str, content: bytes, headers: Mapping[str, object] = MappingProxyType({})) -> bytes:
    lines = (f"{name}: {value}" for name, value in {"Content-Length": len(content), **headers}.items())
    return "\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode() + content


class _Connection(asyncio.Protocol):
    """A client's, who asks again when it has an answer, and sends no bodies."""

    def __init__(self, bucket: FolderAsS3) -> None:
        self._bucket, self._unread = bucket, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if self._unread.endswith(b"\r\n\r\n"):
            head, self._unread = self._unread, b""
            asyncio.get_running_loop().call_later(self._bucket.delay_s, self._say, head)

    def _say(self, head: bytes) -> None:
        self._transport.write(self._bucket.answer(head))


async def _serve(folder: Path, delay_s: float) -> None:
    bucket = FolderAsS3(folder, delay_s)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(bucket), "127.0.0.1", 0)
    print("http://{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


@contextmanager
def serving(folder: Path, milliseconds: float) -> Iterator[str]:
    """The address of one in a process of its own; the clients of S3 here and in children use it."""
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
