"""The output of ingest for each span, kept for the next run, which reads seven of eight weeks again.

WORKSPACE/spans/<workload>/examples/span-00042-<key>/    the folder of the span as `example_shards.py` left it
    kept.json                                            the CRC-32 of each file in it
WORKSPACE/spans/<workload>/examples/.span-00042-<key>/   parts of it in the same form, until a run completes

The key covers everything that the output depends on: name and content of the span, the workload, the settings
that sources read, code and libraries. A run leaves the spans of its window and no others.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.settings import DataSettings
from edgeline.records.json_file import UNREADABLE, JsonFile
from edgeline.records.workload import Workload

_KEPT = JsonFile[dict[str, int]]("kept.json", dict[str, int])
# These settings choose among spans and split their examples: the output for a span does not depend on them.
_OF_THE_WINDOW = {"window", "until", "eval_fraction"}
_CHUNK = 2**20

log = logging.getLogger("edgeline.ingest")


@dataclass(frozen=True)
class KeptSpans:
    """The kept spans of one workload in a workspace; a failure with them never stops a run."""

    folder: Path
    about: str  # everything but the span itself that its output depends on

    @staticmethod
    def of(workspace: Path, workload: Workload, settings: DataSettings, code: str) -> "KeptSpans":
        """Returns the kept spans of a workspace for this workload, these settings and this code.

        Args:
            workspace: The folder that runs share.
            workload: All of it is a part of the key.
            settings: Those that choose among spans, or split examples, are no part of the key.
            code: Digests of the code of ExampleGen and of the libraries.
        """
        relevant = settings.model_dump(mode="json", exclude=_OF_THE_WINDOW)
        about = json.dumps([workload.to_json(), relevant, code], sort_keys=True)
        return KeptSpans(workspace / "spans" / workload.name / "examples", about)

    def take(self, name: str, content: str, target: Path) -> bool:
        """Links the kept output of a span of this content to `target`, a new folder; False if none.

        Args:
            name: The name of the span.
            content: The digest of its files.
            target: Its parent exists; after damaged output, which is removed, it does not.
        """
        return _link_folder(name, self._place(name, content), target)

    def take_parts(self, name: str, content: str, target: Path) -> None:
        """Links the parts of a span of this content that unfinished runs kept to the folder `target`.

        Args:
            name: The name of the span.
            content: The digest of its files.
            target: It exists; the files of all parts lie side by side in it.
        """
        parts = self._place(name, content, ".")
        for part in sorted(_list_files(parts).values()):
            if _link_folder(name, part, linked := target / part.name):
                (linked / _KEPT.name).unlink()
                for path in linked.iterdir():
                    path.rename(target / path.name)
                linked.rmdir()

    def keep_part(self, name: str, content: str, files: Mapping[str, Path]) -> None:
        """Keeps a part of a span, the output for some of its rows: files by their new names.

        A part that cannot be kept is only a warning.

        Args:
            name: The name of the span.
            content: The digest of its files.
            files: They stay where they are: the part has links to them, or copies on another disk.
        """
        parts = self._place(name, content, ".")
        try:
            parts.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=parts, prefix=".") as scratch:
                whole = Path(scratch, "part")
                _copy(files, whole)
                _KEPT.write(whole, _compute_checksums(whole))
                whole.rename(parts / uuid.uuid4().hex)
        except OSError as error:
            log.warning(
                "A part of %s is not kept, so it is read again if this run is killed: %s.", name, error
            )

    def update(self, window: Mapping[str, str], done: Iterable[Path]) -> None:
        """Removes spans outside of `window`, contents by name of the span, and keeps the folders `done`."""
        places = {self._place(*span) for span in window.items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in set(self.folder.iterdir()) - places:
                shutil.rmtree(path, ignore_errors=True)
            for folder in done:
                _KEPT.write(folder, _compute_checksums(folder))
                with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                    _copy(_list_files(folder), whole := Path(scratch, folder.name))
                    place = self._place(folder.name, window[folder.name])
                    if not place.exists():  # another run at the same time may have kept it
                        whole.rename(place)
        except OSError as error:
            log.warning("Spans could not be kept, so the next run reads them again: %s.", error)

    def _place(self, name: str, content: str, hidden: str = "") -> Path:
        key = hashlib.sha256(f"{name}\0{content}\0{self.about}".encode()).hexdigest()
        return self.folder / f"{hidden}{name}-{key[:32]}"


def _link_folder(name: str, source: Path, target: Path) -> bool:
    if not source.is_dir():
        return False
    try:
        _copy(_list_files(source), target)
        if _KEPT.read(target) != _compute_checksums(target):
            raise ValueError("the checksum of a file does not match")
    except UNREADABLE as error:
        log.warning("The kept output of %s cannot be used, so it is read again: %s.", name, error)
        for damaged in (target, source):
            shutil.rmtree(damaged, ignore_errors=True)
        return False
    return True


def _copy(files: Mapping[str, Path], target: Path) -> None:
    target.mkdir()
    for name, path in files.items():
        try:
            os.link(path, target / name)
        except OSError:  # the folder is on another disk, or on one without links
            shutil.copyfile(path, target / name)


def _list_files(folder: Path) -> dict[str, Path]:
    """Returns the finished files of a folder by name; unfinished ones are hidden."""
    return {path.name: path for path in folder.glob("[!.]*")}


def _compute_checksums(folder: Path) -> dict[str, int]:
    """Returns the CRC-32 of each file of a folder but for the list of them."""
    checksums = {}
    for path in _list_files(folder).values():
        if path.name != _KEPT.name:
            with path.open("rb") as file:
                checksums[path.name] = 0
                while chunk := file.read(_CHUNK):
                    checksums[path.name] = zlib.crc32(chunk, checksums[path.name])
    return checksums
