"""Reads a document of a web server, within a time for the whole of it and a number of bytes.

A timeout of a socket counts from byte to byte: a server that sends one now and then would hold a reader for
ever, and one that never ends would fill its memory.
"""

import http.client
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_PIECE = 1 << 16


class TooLarge(OSError):
    """A document with more bytes than its reader takes."""


class TooSlow(OSError):
    """A document that did not arrive in time."""


def fetch_url(url: str, most: int, seconds: float) -> bytes:
    """Returns the document at an address.

    Args:
        url: The address, by http or https.
        most: The most bytes that it may have.
        seconds: The time for all of it, from the first look for the server to the last byte.

    Raises:
        TooLarge: It has more than `most` bytes.
        TooSlow: It did not arrive within `seconds`.
        OSError: The server cannot be reached, or answers with an error (`urllib.error.HTTPError`).
        http.client.HTTPException: It does not answer as a web server does.
        ValueError: The address is not a URL.
    """
    connections: list[Any] = []
    end = time.monotonic() + seconds
    with _hang_up_after(seconds, connections) as is_over:
        try:
            with _make_opener(connections).open(url, timeout=seconds) as response:
                content = _read(response, most, end)
            if is_over.is_set():  # what was cut off may look whole
                raise TimeoutError
        except (OSError, http.client.HTTPException) as error:
            if is_over.is_set() or _is_timeout(error):
                raise TooSlow(f"{url} did not answer within {seconds:g} s") from error
            raise
    return content


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)


def _read(response: Any, most: int, end: float) -> bytes:
    pieces, size = [], 0
    while piece := response.read1(_PIECE):
        size += len(piece)
        if size > most:
            raise TooLarge(f"it has more than {most} bytes")
        if time.monotonic() > end:
            raise TimeoutError
        pieces.append(piece)
    if response.length:  # the connection broke off
        raise http.client.IncompleteRead(b"".join(pieces), response.length)
    return b"".join(pieces)


@contextmanager
def _hang_up_after(seconds: float, connections: list[Any]) -> Iterator[threading.Event]:
    """Closes the connections when the time is over, in whatever they wait; the event says that it did."""
    is_over = threading.Event()

    def hang_up() -> None:
        is_over.set()
        for connection in connections:
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield is_over
    finally:
        timer.cancel()


def _make_opener(connections: list[Any]) -> urllib.request.OpenerDirector:
    """Makes an opener that puts each of its connections into the list."""

    def note(kind: Any) -> Any:
        def make(*arguments: Any, **named: Any) -> Any:
            connections.append(kind(*arguments, **named))
            return connections[-1]

        return make

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> Any:
            return self.do_open(note(http.client.HTTPConnection), request)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> Any:
            return self.do_open(note(http.client.HTTPSConnection), request)

    return urllib.request.build_opener(Plain, Secure)
