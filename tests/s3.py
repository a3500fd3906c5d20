"""The environment of clients of S3, and a proxy between them and the server."""

import asyncio
import os
import threading
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web
from yarl import URL


def point_to(address: str, patch: pytest.MonkeyPatch) -> None:
    """Makes every client of this process and its children use the server at `address`."""
    import s3fs

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_ENDPOINT_URL", address)
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    patch.setenv("AWS_CONFIG_FILE", os.devnull)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # A client waits up to three seconds between its attempts; here it tries again at once.
    patch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    # Instances are cached by their arguments, to which the environment does not belong.
    s3fs.S3FileSystem.clear_instance_cache()


class Proxy:
    """A proxy of an S3 server, in a thread of this process, that makes GETs of objects fail.

    Args:
        server: The server's address.
        fault: Takes an object's key and the number of earlier GETs of it; returns `busy` (503 SlowDown),
            `reset` (no answer), `cut` (half an answer), `hang`, or None.
    """

    def __init__(
        self, server: str, fault: Callable[[str, int], str | None] = lambda key, times: None
    ) -> None:
        self._server, self._fault = server, fault
        self.requests: list[tuple[str, str]] = []  # method and path of each request, listings as LIST
        self.most = 0  # largest number of GETs of objects at the same time
        self._now = 0
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.address = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _start(self) -> str:
        self._ended = asyncio.Event()
        self._client = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return "http://127.0.0.1:{}".format(*self._runner.addresses[0][1:])

    async def _stop(self) -> None:
        self._ended.set()
        await self._runner.cleanup()
        await self._client.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        listing = "list-type" in request.query
        is_object = request.method == "GET" and not listing
        fault = None
        if is_object:
            fault = self._fault(request.path, self.requests.count(("GET", request.path)))
        self.requests.append(("LIST" if listing else request.method, request.path))
        if "Expect" in request.headers:  # an upload begins after this
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._now += is_object
        self.most = max(self.most, self._now)
        try:
            return await self._forward(request, fault)
        finally:
            self._now -= is_object

    async def _forward(self, request: web.BaseRequest, fault: str | None) -> web.StreamResponse:
        if fault == "busy":
            text = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            return web.Response(status=503, text=text, content_type="application/xml")
        if fault == "hang":
            await self._ended.wait()
        if fault != "reset":
            url = URL(self._server + request.raw_path, encoded=True)
            headers = {name: value for name, value in request.headers.items() if name != "Expect"}
            async with self._client.request(
                request.method, url, headers=headers, data=await request.read()
            ) as answer:
                content = await answer.read()
                response = web.StreamResponse(status=answer.status, headers=answer.headers)
            if not fault:
                await response.prepare(request)
                await response.write(content)
                return response
            await response.prepare(request)
            await response.write(content[: len(content) // 2])
        assert request.transport is not None
        request.transport.abort()
        return web.Response()
