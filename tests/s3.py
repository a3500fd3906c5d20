"""Two S3 servers, the environment of their clients, and a proxy between them."""

import asyncio
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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
    patch.setattr(s3fs.S3FileSystem, "_cache", {})


@contextmanager
def serve_moto() -> Iterator[str]:
    """Starts moto's server in a thread and yields its address."""
    from moto import backends
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    modules = list(backends.list_of_moto_modules())
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    put_object, lock = S3Response.put_object, threading.Lock()

    def put_alone(self: S3Response) -> Any:
        with lock:
            return put_object(self)

    with pytest.MonkeyPatch.context() as patch:
        # The server lists its 200 folders at each request, a tenth of its time.
        patch.setattr(backends, "list_of_moto_modules", lambda: modules)
        # Unlike S3, the server lets two requests pass the same condition, and one is lost.
        patch.setattr(S3Response, "put_object", put_alone)
        yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@contextmanager
def serve_versitygw() -> Iterator[str]:
    """Starts the gateway of Versity, which keeps objects as files, and yields its address."""
    gateway = shutil.which("versitygw", path=f"{os.environ['PATH']}:{Path.home()}/go/bin")
    if gateway is None:
        pytest.skip("no versitygw here: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "{}:{}".format(*free.getsockname())
    with tempfile.TemporaryDirectory(prefix="versitygw-") as folder:
        command = [gateway, "--quiet", "--port", address, "posix", folder]
        keys = {"ROOT_ACCESS_KEY": "test", "ROOT_SECRET_KEY": "test"}
        process = subprocess.Popen(command, env=os.environ | keys, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", int(address.split(":")[1]))):
                break
            time.sleep(0.1)
        assert process.returncode is None, "versitygw does not start"
        yield f"http://{address}"
        process.terminate()
        process.wait()


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
