"""Pods that run trials of one search at the same time: the first leads, and the others train what it sends.

What goes between them is JSON, a line a message. When one of them is lost, its connections end, and so do
the others: finished trials are kept, and a search that begins again goes on from them.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from errors import EdgelineError
from records.json_file import decode, encode
from records.training import Trial

T = TypeVar("T")
# Which pods search together, and which of them this is, in the form of TensorFlow's TF_CONFIG.
CONFIG = "EDGELINE_TRIAL_PODS"
# The others read the examples before they listen or connect.
_WAIT_S = 1800.0
# After so many seconds of silence a connection is tried, and a minute later given up.
_SILENT_S = 60


@dataclass(frozen=True)
class Wanted:
    """A trial that another pod is to run."""

    trial: Trial
    budget: str | None  # what is left of the search's, where that is less than the trial's own


class Peer:
    """Another pod of the search."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        for level, option, value in (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT_S),
        ):
            connection.setsockopt(level, option, value)
        self._lines = connection.makefile("rwb")
        self._name = connection.getpeername()[0]

    def send(self, message: object) -> None:
        """Sends a record, or None."""
        try:
            self._lines.write(encode(message) + b"\n")
            self._lines.flush()
        except OSError:
            raise self._lost() from None

    def receive(self, kind: type[T]) -> T | None:
        """Waits for a record of that type, or None."""
        try:
            line = self._lines.readline()
        except OSError:
            line = b""
        if not line:
            raise self._lost()
        found: T | None = decode(line, kind | None)
        return found

    def close(self) -> None:
        """Ends the connection."""
        self._lines.close()

    def _lost(self) -> EdgelineError:
        return EdgelineError(
            f"The pod at {self._name}, which searches together with this one, can no longer be reached.",
            "A search needs what comes of each of its trials.",
            "Its own log says why. Started again, the search goes on with the trials that it has.",
        )


@contextmanager
def joined() -> Iterator[tuple[Peer | None, Sequence[Peer]]]:
    """The pod that leads this one, or those that this one leads; neither where it searches alone.

    Raises:
        EdgelineError: The others cannot be reached.
    """
    config = os.environ.get(CONFIG)
    with ExitStack() as stack:
        if not config:
            yield None, ()
            return
        cluster = json.loads(config)
        places, index = cluster["cluster"]["worker"], cluster["task"]["index"]
        try:
            found = _lead(places) if index == 0 else [_follow(places[0])]
        except OSError as error:
            raise EdgelineError(
                f"The pods of this search do not reach one another: {error}.",
                "Each trains trials that the first one proposes.",
                "Look at their logs, and whether pods may connect; or set kubeflow.parallel_trials=1.",
            ) from None
        for peer in found:
            stack.callback(peer.close)
        yield (None, found) if index == 0 else (found[0], ())


def _lead(places: Sequence[str]) -> list[Peer]:
    host, _, port = places[0].rpartition(":")
    with socket.create_server((host, int(port))) as server:
        server.settimeout(_WAIT_S)
        return [Peer(server.accept()[0]) for _ in places[1:]]


def _follow(place: str) -> Peer:
    host, _, port = place.rpartition(":")
    end = time.monotonic() + _WAIT_S
    while True:
        try:
            return Peer(socket.create_connection((host, int(port))))
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
        time.sleep(1.0)
