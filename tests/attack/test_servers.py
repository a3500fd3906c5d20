"""Servers that answer without an end, claim to, or send a byte now and then.

What is read of an answer has a bound, and so has the time that all of it takes.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from edgeline.alerts.channels import Message, send
from edgeline.alerts.settings import AlertSettings
from edgeline.errors import EdgelineError
from edgeline.store import locations
from tests.s3 import point_to

BLOCK = b"a" * 2**16


def send_for_ever(connection: socket.socket, block: bytes = BLOCK, pause_s: float = 0) -> None:
    while True:
        connection.sendall(block)
        time.sleep(pause_s)


def stream(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    send_for_ever(connection, b"10000\r\n" + BLOCK + b"\r\n")


def claim(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99000000000\r\n\r\n")
    send_for_ever(connection)


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    send_for_ever(connection, b"a", pause_s=0.1)


def drip_head(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    send_for_ever(connection, b"a", pause_s=0.1)


@pytest.fixture
def serve():
    """Starts a server that reads a request, and answers by a function; returns its address."""
    servers = list[socket.socket]()

    def start(answer: Callable[[socket.socket], None]) -> str:
        servers.append(server := socket.create_server(("127.0.0.1", 0)))

        def answer_all() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=answer_one, args=(server.accept()[0],), daemon=True).start()

        def answer_one(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.recv(2**16)
                answer(connection)

        threading.Thread(target=answer_all, daemon=True).start()
        return "http://{}:{}".format(*server.getsockname())

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize("answer", [stream, claim])
def test_an_object_that_is_larger_than_asked_for_is_not_read(serve, monkeypatch, answer):
    point_to(serve(answer), monkeypatch)
    with pytest.raises(OSError, match="it has more than 4000000 bytes"):
        locations.read_bytes(locations.locate("s3://bucket/current.json"), 4_000_000)


@pytest.mark.parametrize("answer", [drip, drip_head])
def test_an_object_has_a_time_for_the_whole_of_it(serve, monkeypatch, answer):
    """Each byte comes in time."""
    monkeypatch.setattr(locations, "_PATIENCE_S", 1)
    point_to(serve(answer), monkeypatch)
    with pytest.raises(EdgelineError, match="did not answer in time"):
        locations.read_bytes(locations.locate("s3://bucket/current.json"), 4_000_000)


@pytest.mark.parametrize("answer", [stream, claim, drip])
def test_of_the_answer_of_a_webhook_only_the_beginning_is_read(serve, monkeypatch, patient, answer):
    monkeypatch.setenv("HOOK", serve(answer))
    queue = [Message("shelf", "Written on host.")]
    settings = AlertSettings.model_validate_json('{"webhook": "$HOOK"}')
    assert send(settings, {"webhook": queue}) == {"webhook": ""} and not queue
