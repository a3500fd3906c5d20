"""Pods that run trials of one search in parallel: the first leads, and the others train the trials it sends.

The messages are JSON, one per line. If a pod is lost, its connections end, and so do the other pods; finished
trials are kept, and a restarted search continues from them.
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

from edgeline.errors import EdgelineError
from edgeline.records.json_file import decode, encode
from edgeline.records.training import Trial

T = TypeVar("T")
# The environment variable with the pods of a search and this pod's index, in the format of TF_CONFIG.
CONFIG = "EDGELINE_TRIAL_PODS"
# Other pods first read the examples, and only then listen or connect.
_WAIT_S = 1800.0
# A silent connection is probed after this many seconds, and given up a minute later.
_SILENT_S = 60


@dataclass(frozen=True)
class TrialRequest:
    """A request to another pod to run a trial."""

    trial: Trial
    budget: str | None  # the rest of the search's budget, if that is less than the trial's own


class Peer:
    """A connection to another pod of the search."""

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
            raise self._make_lost_error() from None

    def receive(self, kind: type[T]) -> T | None:
        """Waits for a record of that type, or None."""
        try:
            line = self._lines.readline()
        except OSError:
            line = b""
        if not line:
            raise self._make_lost_error()
        record: T | None = decode(line, kind | None)
        return record

    def close(self) -> None:
        """Closes the connection."""
        self._lines.close()

    def _make_lost_error(self) -> EdgelineError:
        return EdgelineError(
            f"The pod at {self._name}, which runs trials of this search, can no longer be reached.",
            "The search needs the result of each trial.",
            "Look at its log, and start the search again: it continues after the finished trials.",
        )


@contextmanager
def connect_pods() -> Iterator[tuple[Peer | None, Sequence[Peer]]]:
    """Connects to the leading pod, or to the pods that this one leads; to neither if it searches alone.

    Raises:
        EdgelineError: The other pods cannot be reached.
    """
    config = os.environ.get(CONFIG)
    with ExitStack() as stack:
        if not config:
            yield None, ()
            return
        cluster = json.loads(config)
        addresses, index = cluster["cluster"]["worker"], cluster["task"]["index"]
        try:
            peers = _accept_peers(addresses) if index == 0 else [_connect_to_leader(addresses[0])]
        except OSError as error:
            raise EdgelineError(
                f"The pods of this search cannot reach one another: {error}.",
                "Each pod trains trials that the first pod proposes.",
                "Check their logs and that pods may connect, or set kubeflow.parallel_trials=1.",
            ) from None
        for peer in peers:
            stack.callback(peer.close)
        yield (None, peers) if index == 0 else (peers[0], ())


def _accept_peers(addresses: Sequence[str]) -> list[Peer]:
    host, _, port = addresses[0].rpartition(":")
    with socket.create_server((host, int(port))) as server:
        server.settimeout(_WAIT_S)
        return [Peer(server.accept()[0]) for _ in addresses[1:]]


def _connect_to_leader(address: str) -> Peer:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            return Peer(socket.create_connection((host, int(port))))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1.0)
