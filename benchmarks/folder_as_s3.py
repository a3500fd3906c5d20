"""A folder as a bucket of S3 whose every answer comes late: as much of S3 as reading spans asks for.

    python -m benchmarks.folder_as_s3 DIR MILLISECONDS

Prints its address. As many requests as come are answered at once. `/?told` has how many there were, by kind.
"""

import asyncio
import os
import subprocess
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

BUCKET = "photos"
_PAGE = 1000


class FolderAsS3:
    """Answers with the files that a folder had in the beginning, each `delay_s` late."""

    def __init__(self, folder: Path, delay_s: float) -> None:
        self._folder, self._delay_s = folder, delay_s
        self._keys = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        self._requests: Counter[str] = Counter()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """What S3 would say to a listing, GET or HEAD."""
        if "told" in request.query:
            return web.json_response({**self._requests, "server's CPU seconds": round(time.process_time())})
        await asyncio.sleep(self._delay_s)
        listing = "list-type" in request.query
        self._requests["LIST" if listing else request.method] += 1
        if listing:
            return web.Response(text=self._listing(dict(request.query)), content_type="application/xml")
        key = unquote(request.path).removeprefix(f"/{BUCKET}/")
        at = bisect_left(self._keys, key)
        if self._keys[at : at + 1] != [key]:
            text = "<Error><Code>NoSuchKey</Code><Message>It is not there.</Message></Error>"
            return web.Response(status=404, text=text, content_type="application/xml")
        content, headers = (self._folder / key).read_bytes(), {"ETag": self._tag(key)}
        if request.method == "HEAD":
            head = web.StreamResponse(headers={**headers, "Content-Length": str(len(content))})
            await head.prepare(request)
            return head
        asked = request.http_range
        status = 200 if asked.stop is None else 206
        return web.Response(status=status, body=content[asked.start : asked.stop], headers=headers)

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
                size = (self._folder / key).stat().st_size
                about = f"<Key>{key}</Key><ETag>{self._tag(key)}</ETag><Size>{size}</Size>"
                changed = "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                found.append(f"<Contents>{about}{changed}</Contents>")
                at += 1
        token = f"<NextContinuationToken>{self._keys[at]}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><Name>{BUCKET}</Name><Prefix>{prefix}</Prefix>{''.join(found)}"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}</ListBucketResult>"
        )

    def _tag(self, key: str) -> str:
        status = (self._folder / key).stat()
        return f'"{status.st_size:x}-{status.st_mtime_ns:x}"'


async def _serve(folder: Path, delay_s: float) -> None:
    runner = web.ServerRunner(web.Server(FolderAsS3(folder, delay_s).answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print("http://{}:{}".format(*runner.addresses[0]), flush=True)
    await asyncio.Event().wait()


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
