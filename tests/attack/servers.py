"""A server that answers as functions of its socket do, and answers without an end or after hours."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

BLOCK = b"a" * 2**16


Answer = Callable[[socket.socket], None]


@contextmanager
def serve(answer: Answer | Mapping[str, Answer]) -> Iterator[str]:
    """Reads a request of each connection and answers it until the client hangs up; yields the address.

    There is one answer to all requests, or one by path.
    """

    def answer_all() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer_one, args=(server.accept()[0],), daemon=True).start()

    def answer_one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = connection.recv(2**16)
            chosen = answer[request.split()[1].decode()] if isinstance(answer, Mapping) else answer
            chosen(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_all, daemon=True).start()
        yield "http://{}:{}".format(*server.getsockname())


def send(connection: socket.socket, content: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)


def find_nothing(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def say_nothing(connection: socket.socket) -> None:
    connection.recv(1)  # until the client hangs up


def stream(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    _send_for_ever(connection, b"10000\r\n" + BLOCK + b"\r\n")


def claim(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99000000000\r\n\r\n")
    _send_for_ever(connection)


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    _send_for_ever(connection, b"a", pause_s=0.1)


def drip_head(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    _send_for_ever(connection, b"a", pause_s=0.1)


def _send_for_ever(connection: socket.socket, block: bytes = BLOCK, pause_s: float = 0) -> None:
    while True:
        connection.sendall(block)
        time.sleep(pause_s)
