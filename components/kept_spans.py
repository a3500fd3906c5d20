"""What ingest made of each span, kept for the next run, which reads seven of eight weeks again.

WORKSPACE/spans/<workload>/examples/span-00042-<key>/    the folder of the span as `example_shards.py` left it
    kept.json                                            the CRC-32 of each file in it
WORKSPACE/spans/<workload>/examples/.span-00042-<key>/   parts of it, each so, until a run gets to its end
WORKSPACE/spans/<workload>/statistics/span_42-<key>/     what StatisticsGen counted of its examples

The key has all that it follows from: name and content of the span, the workload, the settings that sources
read, code and libraries. A run leaves the spans of its window and no others.
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
from records.json_file import UNREADABLE, JsonFile
from records.workload import Workload

_KEPT = JsonFile[dict[str, int]]("kept.json", dict[str, int])
# They choose among spans, and split what was made of them.
_OF_THE_WINDOW = {"window", "eval_fraction"}
_CHUNK = 2**20

log = logging.getLogger("edgeline.ingest")


def kept_folder(workspace: Path, workload: Workload) -> Path:
    """Where the steps of a workload keep what they made of spans."""
    return workspace / "spans" / workload.name


@dataclass(frozen=True)
class KeptSpans:
    """The spans of one workload in a workspace; nothing that goes wrong with them stops a run."""

    folder: Path
    about: str  # what is made of a span follows from it and from this

    @staticmethod
    def of(workspace: Path, workload: Workload, settings: DataSettings, code: str) -> "KeptSpans":
        """Those of a workspace that were made of this workload, by this code, with these settings."""
        read = settings.model_dump(mode="json", exclude=_OF_THE_WINDOW)
        about = json.dumps([workload.to_json(), read, code], sort_keys=True)
        return KeptSpans(kept_folder(workspace, workload) / "examples", about)

    def take(self, name: str, content: str, target: Path) -> bool:
        """Links what was made of a span of this content to `target`, a new folder; whether it was there."""
        return _take(name, self._place(name, content), target)

    def take_parts(self, name: str, content: str, target: Path) -> None:
        """Links what runs that did not get to their end made of a span of this content to a folder."""
        parts = self._place(name, content, ".")
        for part in sorted(_files(parts).values()):
            if _take(name, part, taken := target / part.name):
                (taken / _KEPT.name).unlink()
                for path in taken.iterdir():
                    path.rename(target / path.name)
                taken.rmdir()

    def keep_part(self, name: str, content: str, files: Mapping[str, Path]) -> None:
        """Takes in a part of a span: what was made of some of its rows, files by the names that they get."""
        parts = self._place(name, content, ".")
        try:
            parts.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=parts, prefix=".") as scratch:
                whole = Path(scratch, "part")
                _copy(files, whole)
                _KEPT.write(whole, _checksums(whole))
                whole.rename(parts / uuid.uuid4().hex)
        except OSError as error:
            log.warning("A part of %s is not kept, and is read again if this run is killed: %s.", name, error)

    def update(self, window: Mapping[str, str], made: Iterable[Path]) -> None:
        """Removes what is not of a window, contents by name of the span, and takes in folders of spans."""
        places = {self._place(*span) for span in window.items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in set(self.folder.iterdir()) - places:
                shutil.rmtree(path, ignore_errors=True)
            for folder in made:
                _KEPT.write(folder, _checksums(folder))
                with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                    _copy(_files(folder), whole := Path(scratch, folder.name))
                    place = self._place(folder.name, window[folder.name])
                    if not place.exists():  # of another run at the same time
                        whole.rename(place)
        except OSError as error:
            log.warning("Spans are not kept, and the next run reads them again: %s.", error)

    def _place(self, name: str, content: str, hidden: str = "") -> Path:
        key = hashlib.sha256(f"{name}\0{content}\0{self.about}".encode()).hexdigest()
        return self.folder / f"{hidden}{name}-{key[:32]}"


def _take(name: str, kept: Path, target: Path) -> bool:
    if not kept.is_dir():
        return False
    try:
        _copy(_files(kept), target)
        if _KEPT.read(target) != _checksums(target):
            raise ValueError("a file in it is another one")
    except UNREADABLE as error:
        log.warning("What was kept of %s cannot be used, and it is read again: %s.", name, error)
        for damaged in (target, kept):
            shutil.rmtree(damaged, ignore_errors=True)
        return False
    return True


def _copy(files: Mapping[str, Path], target: Path) -> None:
    target.mkdir()
    for name, path in files.items():
        try:
            os.link(path, target / name)
        except OSError:  # another disk, or one that has no links
            shutil.copyfile(path, target / name)


def _files(folder: Path) -> dict[str, Path]:
    """Those of a folder that were finished, by name; others are hidden."""
    return {path.name: path for path in folder.glob("[!.]*")}


def _checksums(folder: Path) -> dict[str, int]:
    """The CRC-32 of each file of a folder but the list of them."""
    found = {}
    for path in _files(folder).values():
        if path.name != _KEPT.name:
            with path.open("rb") as file:
                found[path.name] = 0
                while chunk := file.read(_CHUNK):
                    found[path.name] = zlib.crc32(chunk, found[path.name])
    return found
