"""One writer at a time in an object store, which has no lock that a system would free.

A writer creates the object `.lock`, on the condition that none is there, and writes it again every few
seconds while it works. One that stays the same for longer than a lease is that of a dead writer: whoever
watched it for that long takes it over, on the condition that it still is the same. No clock of one
machine is compared with that of another.

A store that ignores such conditions is found out, and said: two writers that start within one second of
each other may then both go on. Readers are safe even so, because nothing is in production before
`current.json` names it.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import objects
from errors import EdgelineError, WorkspaceLocked
from journal import utc_now, who
from locations import read_bytes

if TYPE_CHECKING:
    from upath import UPath

# Longer than a request may take with its repetitions (see locations.py), so that a writer that renewed its
# lease a moment ago can switch production within it.
LEASE_S = 45.0
_SETTLE_S = 1.0

_LOG = logging.getLogger(__name__)


class Lease:
    """The lock of one push folder, held by this writer."""

    def __init__(self, lock: "UPath") -> None:
        self._lock, self._token, self._writes = lock, uuid.uuid4().hex, 0
        self._busy = threading.Lock()

    def acquire(self, wait_s: float) -> None:
        """Wait for the lock.

        Raises:
            WorkspaceLocked: A living writer held it for `wait_s` seconds.
            EdgelineError: The store cannot be used.
        """
        end = time.monotonic() + wait_s
        seen, since = self._read(), time.monotonic()
        while True:
            if seen is None and objects.create(self._lock, self._content()) and self._is_ours_alone():
                return
            if seen is not None and time.monotonic() - since >= LEASE_S and self._take_over(seen):
                return
            if time.monotonic() >= end:
                raise WorkspaceLocked(
                    f"{_owner(seen)} has been writing to {self._lock.parent} for {wait_s:.0f} s.",
                    "Only one may push or change what is in production at a time.",
                    "Wait for it, or end it, and run this again.",
                )
            time.sleep(min(1.0, LEASE_S / 10))
            found = self._read()
            if found != seen:
                seen, since = found, time.monotonic()

    def renew(self) -> None:
        """Say that this writer is alive.

        Raises:
            EdgelineError: Somebody else took the lock, or the store cannot be used.
        """
        with self._busy:
            version, found = objects.version_of(self._lock), self._read()
            if not self._wrote(found) or not objects.replace(self._lock, self._content(), version):
                raise EdgelineError(
                    f"The lock {self._lock} was taken over by {_owner(self._read())}.",
                    f"This writer was not heard of for {LEASE_S:g} s, and counted as dead. It changed"
                    " nothing in production.",
                    "Run it again.",
                )

    def keep(self, stop: threading.Event) -> None:
        """Renew until `stop`; a lease that cannot be renewed is noticed before production is switched."""
        while not stop.wait(LEASE_S / 4):
            try:
                self.renew()
            except EdgelineError as error:
                _LOG.warning("%s", error)

    def release(self) -> None:
        """Let the next writer in."""
        with self._busy:
            if self._wrote(self._read()):
                objects.remove(self._lock)

    def _take_over(self, seen: bytes) -> bool:
        version = objects.version_of(self._lock)
        if self._read() != seen or not objects.replace(self._lock, self._content(), version):
            return False
        _LOG.warning(
            "%s was not heard of for %g s and counts as dead; its lock %s is taken over.",
            _owner(seen),
            LEASE_S,
            self._lock,
        )
        return True

    def _is_ours_alone(self) -> bool:
        """Whether nobody else took the lock in the same moment."""
        if objects.create(self._lock, self._content()):
            _LOG.warning("%s knows no conditional writes: two writers may not see each other.", self._lock)
            time.sleep(_SETTLE_S)
        return self._wrote(self._read())

    def _read(self) -> bytes | None:
        try:
            return read_bytes(self._lock)
        except FileNotFoundError:
            return None

    def _content(self) -> bytes:
        self._writes += 1  # no two are alike, so that a watcher sees each
        document = {
            "owner": who(),
            "token": self._token,
            "renewed": utc_now(),
            "number": self._writes,
        }
        return json.dumps(document).encode()

    def _wrote(self, content: bytes | None) -> bool:
        return content is not None and self._token.encode() in content


def _owner(content: bytes | None) -> str:
    try:
        return str(json.loads(content or b"{}")["owner"])
    except (ValueError, KeyError, TypeError):
        return "Another writer"


@contextmanager
def only_writer(lock: "UPath", wait_s: float) -> Iterator[Lease]:
    """Hold the lock of a push folder in an object store; one that dies is free again after `LEASE_S`.

    Raises:
        WorkspaceLocked: Another writer held it for `wait_s` seconds.
    """
    lease, stop = Lease(lock), threading.Event()
    lease.acquire(wait_s)
    keeper = threading.Thread(target=lease.keep, args=(stop,), daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        stop.set()
        keeper.join()
        try:
            lease.release()
        except EdgelineError as error:
            _LOG.warning("The next writer has to wait for the lock %s: %s", lock, error)
