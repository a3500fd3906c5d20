"""The lock of the one writer in an object store, where no system frees the lock of a dead process.

A writer creates the object `.lock`, on the condition that it does not exist, and rewrites it every few
seconds while it works. A lock that stays the same for longer than a lease belongs to a dead writer: another
writer that has watched it for that long takes it over, on the condition that it is still the same. Clocks of
different machines are never compared.

A store that ignores such conditions is detected, with a warning: two writers that start within one second
of each other may then both go on. Readers are safe even so, because nothing is in production before
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

from edgeline.errors import EdgelineError, WorkspaceLocked
from edgeline.journal import get_user_and_host, utc_now
from edgeline.store import objects
from edgeline.store.locations import read_bytes

if TYPE_CHECKING:
    from upath import UPath

# A lease is longer than a request with its retries (see locations.py), so that a writer that has just renewed
# its lease can switch production within it.
LEASE_S = 45.0
_SETTLE_S = 1.0

_LOG = logging.getLogger(__name__)


class Lease:
    """The lock of one push folder, held by this writer."""

    def __init__(self, lock: "UPath") -> None:
        self._lock = lock
        self._token = uuid.uuid4().hex
        self._writes = 0
        self._mutex = threading.Lock()

    def acquire(self, wait_s: float) -> None:
        """Waits for the lock.

        Raises:
            WorkspaceLocked: A living writer held the lock for `wait_s` seconds.
            EdgelineError: The store cannot be used.
        """
        end = time.monotonic() + wait_s
        holder = self._read()
        since = time.monotonic()
        while True:
            if holder is None and objects.create(self._lock, self._make_content()) and self._is_only_ours():
                return
            if holder is not None and time.monotonic() - since >= LEASE_S and self._take_over(holder):
                return
            if time.monotonic() >= end:
                raise WorkspaceLocked(
                    f"{_parse_owner(holder)} has been writing to {self._lock.parent} for {wait_s:.0f} s.",
                    "Only one writer at a time may push or change production.",
                    "Wait until it ends, or stop it, and run this again.",
                )
            time.sleep(min(1.0, LEASE_S / 10))
            content = self._read()
            if content != holder:
                holder = content
                since = time.monotonic()

    def renew(self) -> None:
        """Renews the lease. Raises EdgelineError if another writer took it, or the store cannot be used."""
        with self._mutex:
            version = objects.version_of(self._lock)
            content = self._read()
            if not self._is_ours(content) or not objects.replace(self._lock, self._make_content(), version):
                raise EdgelineError(
                    f"The lock {self._lock} was taken over by {_parse_owner(self._read())}.",
                    f"This writer did not renew the lock for {LEASE_S:g} s and was taken for dead."
                    " Production was not changed.",
                    "Run the command again.",
                )

    def keep(self, stop: threading.Event) -> None:
        """Renews until `stop`; a failure only warns, since the lease is renewed again before the switch."""
        while not stop.wait(LEASE_S / 4):
            try:
                self.renew()
            except EdgelineError as error:
                _LOG.warning("%s", error)

    def release(self) -> None:
        """Removes the lock if it is this writer's."""
        with self._mutex:
            if self._is_ours(self._read()):
                objects.remove(self._lock)

    def _take_over(self, holder: bytes) -> bool:
        version = objects.version_of(self._lock)
        if self._read() != holder or not objects.replace(self._lock, self._make_content(), version):
            return False
        _LOG.warning(
            "%s has not renewed its lock for %g s and is taken for dead; taking over the lock %s.",
            _parse_owner(holder),
            LEASE_S,
            self._lock,
        )
        return True

    def _is_only_ours(self) -> bool:
        """Returns true if no other writer took the lock at the same moment."""
        if objects.create(self._lock, self._make_content()):
            text = "The store of %s has no conditional writes: two writers may not see each other."
            _LOG.warning(text, self._lock)
            time.sleep(_SETTLE_S)
        return self._is_ours(self._read())

    def _read(self) -> bytes | None:
        try:
            return read_bytes(self._lock)
        except FileNotFoundError:
            return None

    def _make_content(self) -> bytes:
        self._writes += 1  # each content is unique, so that a watcher notices each renewal
        document = {
            "owner": get_user_and_host(),
            "token": self._token,
            "renewed": utc_now(),
            "number": self._writes,
        }
        return json.dumps(document).encode()

    def _is_ours(self, content: bytes | None) -> bool:
        return content is not None and self._token.encode() in content


def _parse_owner(content: bytes | None) -> str:
    try:
        return str(json.loads(content or b"{}")["owner"])
    except (ValueError, KeyError, TypeError):
        return "Another writer"


@contextmanager
def only_writer(lock: "UPath", wait_s: float) -> Iterator[Lease]:
    """Holds the lock of a push folder in an object store; the lock of a dead writer is free after `LEASE_S`.

    Raises WorkspaceLocked if another writer held it for `wait_s` seconds.
    """
    lease = Lease(lock)
    stop = threading.Event()
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
            _LOG.warning("The lock %s was not released, so the next writer has to wait: %s", lock, error)
