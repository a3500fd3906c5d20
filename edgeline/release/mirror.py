"""A local copy of a push folder in an object store: fetched, changed and written back.

The copy has every name, but only the content that a change reads: pins, pointers and audit logs. `store.py`
changes it like a local push folder. Then the difference is written back. An object store has no rename, so
the order of writes makes sure that after a kill between any two objects readers see the state before or
after the change, never one between:

1. A mark for each new version, `.scratch/push@<model>@<version>/unfinished`: the version does not count
   while its mark exists and no pointer or history names it, as with the scratch folder on a disk.
2. The files of the new version, its manifest last.
3. serving/models.config.
4. edge/<model>/current.json: the release is in production.
5. edge/<model>/history.jsonl.
6. The remains of versions that a dead writer had begun are removed, which no pin names any more, and then
   the marks.

All of these but the marks are written on a condition that the store checks: files only if they do not exist,
documents only if nobody else wrote them since they were fetched. So a writer that was paused for so long that
another took over its lock can change nothing when it wakes up, with any request. For the same reason a
version that another writer had begun is removed only by a writer that has since switched its model's pointer.

If a writer is killed before 4, the next one finds its mark and removes what it wrote; if it is killed after
4, the next one does the remaining steps.
"""

import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edgeline.errors import EdgelineError
from edgeline.release import manifest
from edgeline.release.layout import HISTORY, MANIFEST, PINS, POINTER, PushFolder
from edgeline.release.lease import Lease
from edgeline.store import objects
from edgeline.store.locations import list_files_below, read_bytes

if TYPE_CHECKING:
    from upath import UPath

_PARTS = ("serving", "edge", ".scratch")
_DOCUMENTS = (PINS, POINTER, HISTORY)  # in the order in which they are written
_DOCUMENT = re.compile(rf"serving/{PINS}|edge/[^/]+/({POINTER}|{HISTORY})")
_MARK = "unfinished"

_LOG = logging.getLogger(__name__)


class Mirror:
    """The local copy of a push folder, for the one writer that holds its lock."""

    def __init__(self, remote: "UPath", local: Path, lease: Lease) -> None:
        self.folder = PushFolder(local, keeps=True)
        self._remote, self._local, self._lease = remote, local, lease
        self._names: set[str] = set()
        self._documents: dict[str, bytes] = {}
        self._versions: dict[str, str] = {}  # versions of the documents last read or written

    def fetch(self) -> None:
        """Fetches every name, and the content of the documents."""
        for part in _PARTS:
            self._names |= {f"{part}/{name}" for name in list_files_below(self._remote / part)}
        for name in self._names:
            path = self._local / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if _DOCUMENT.fullmatch(name):
                self._versions[name] = objects.version_of(self._remote / name)
                self._documents[name] = read_bytes(self._remote / name)
            path.write_bytes(self._documents.get(name, b""))

    def publish(self) -> None:
        """Writes back the changes since the last call.

        Raises EdgelineError if the store could not be written; production is as it was before.
        """
        files = set(manifest.find_files(self._local))
        documents = {name: (self._local / name).read_bytes() for name in files if _DOCUMENT.fullmatch(name)}
        new = sorted(files - self._names - documents.keys(), key=lambda name: (_is_manifest(name), name))
        removed = sorted(self._names - files)
        changed = [name for name, content in documents.items() if self._documents.get(name) != content]
        changed.sort(key=lambda name: (_DOCUMENTS.index(Path(name).name), name))
        marks = sorted({_find_mark(name) for name in new})

        for mark in marks:
            objects.put(self._remote / mark, b"")
        switched = False
        try:
            for name in new:
                if not objects.create_file(self._remote / name, self._local / name):
                    raise self._make_conflict(name)
            for name in changed:
                self._write(name, documents[name])
                switched = switched or Path(name).name == POINTER
            for name in [*sorted(removed, key=lambda name: name.startswith(".scratch/")), *marks]:
                objects.remove(self._remote / name)
        except EdgelineError as error:
            if not switched:
                with suppress(EdgelineError):  # another writer may have tidied up in between
                    for mark in marks:
                        objects.put(self._remote / mark, b"")
                raise
            # It is too late for an error: readers see the new release.
            _LOG.warning("%s: the clean-up failed and is left to the next writer: %s", self._remote, error)
        self._names, self._documents = files, documents

    def _write(self, name: str, content: bytes) -> None:
        path = self._remote / name
        is_pointer = Path(name).name == POINTER
        if is_pointer:
            self._lease.renew()
        try:
            if name in self._versions:
                is_written = objects.replace(path, content, self._versions[name])
            else:
                is_written = objects.create(path, content)
        except EdgelineError as error:
            if not is_pointer:
                raise
            raise EdgelineError(
                error.found,
                "The answer to the write that switches production was lost: either the old or the new"
                " release is in production now, and both are complete.",
                f"Look with `edgeline status --store {self._remote}`, and run this again.",
            ) from error

        if not is_written:
            raise self._make_conflict(name)
        if not is_pointer:  # a pointer is written only once
            self._versions[name] = objects.version_of(path)
            if read_bytes(path) != content:
                raise self._make_conflict(name)

    def _make_conflict(self, name: str) -> EdgelineError:
        return EdgelineError(
            f"Another writer changed {self._remote / name} in the meantime.",
            "Only one writer at a time may change production; this change was not made.",
            "Look at what is in production with `edgeline status`, and run this again.",
        )


def _is_manifest(name: str) -> bool:
    """Returns true for the manifest of a release, not for a file of that name in a SavedModel."""
    return name.startswith("edge/") and name.endswith(f"/{MANIFEST}")


def _find_mark(name: str) -> str:
    """Returns the mark of the version of a file `serving/<model>/<version>/...` or `edge/...`."""
    _, model, version = name.split("/")[:3]
    return f"{PushFolder(Path()).push_scratch(model, int(version)).as_posix()}/{_MARK}"
