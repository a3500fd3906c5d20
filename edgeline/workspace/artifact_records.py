"""The files that each step left on disk, so that a cached step whose files are gone runs again.

TFX reuses a cached step when its output folders exist; it does not check whether they are complete.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeline.records.json_file import decode, encode
from edgeline.release.manifest import files_below
from edgeline.store.locations import write_atomically
from edgeline.workspace import runs
from edgeline.workspace.events import read_from

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArtifactRecord:
    """One output artifact of one step of one run."""

    step: str  # the node's id
    key: str  # the output's name
    uri: str  # its folder
    properties: Mapping[str, Any]  # its custom properties
    # POSIX relative path to size in bytes; None where an earlier run wrote them.
    files: Mapping[str, int] | None = None


def list_files(uri: str) -> dict[str, int]:
    """Returns the size in bytes of every file below a folder, by POSIX relative path."""
    return {name: path.stat().st_size for name, path in files_below(Path(uri)).items()}


def append(path: Path, record: ArtifactRecord) -> None:
    """Adds a record to an artifacts.jsonl."""
    with path.open("ab") as file:
        file.write(encode(record) + b"\n")


def read(path: Path) -> Iterator[ArtifactRecord]:
    """Yields the records of an artifacts.jsonl; skips lines that a crash damaged, with a warning."""
    for number, line in enumerate(read_from(path).splitlines(), start=1):
        try:
            record: ArtifactRecord = decode(line, ArtifactRecord)
        except (ValueError, RecursionError) as error:
            log.warning("%s line %d is skipped: %s", path, number, error)
            continue
        yield record


def key_of(uri: str) -> str:
    """Returns `<step>/<output>/<number>`: an artifact's path within its workspace, wherever that lies."""
    return "/".join(uri.split("/")[-3:])


def hand_over(removed: Iterable[Path], kept: Iterable[Path]) -> None:
    """Copies the file list of each artifact of a removed run to the first kept run that reused the artifact.

    Both arguments are the artifacts.jsonl files of runs.
    """
    files = {
        record.uri: record.files for path in removed for record in read(path) if record.files is not None
    }
    for path in kept:
        records = list(read(path))
        completed = [
            replace(each, files=files.pop(each.uri)) if each.files is None and each.uri in files else each
            for each in records
        ]
        if completed != records:
            with write_atomically(path, sync=True) as file:
                file.writelines(encode(record) + b"\n" for record in completed)


def discard_damaged(workspace: Path) -> list[str]:
    """Removes the folder of each artifact that lost files or bytes, so that its step runs again.

    Returns a sentence for each. It passes over folders that are missing altogether: TFX detects those itself.
    """
    root = (workspace / "artifacts").resolve()
    newest: dict[str, ArtifactRecord] = {}
    for folder in runs.folders(workspace):
        newest |= {record.uri: record for record in read(folder.artifacts) if record.files is not None}
    sentences = []
    for record in newest.values():
        path = Path(record.uri)
        if not os.path.isdir(path) or root not in path.resolve().parents:
            continue
        sizes, expected = list_files(record.uri), record.files or {}
        damaged = sorted(name for name, size in expected.items() if sizes.get(name) != size)
        if damaged:
            shutil.rmtree(path)
            damage = "is gone" if damaged[0] not in sizes else "has a different size"
            more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
            sentences.append(f"{record.step} runs again: {damaged[0]} of its {record.key} {damage}{more}.")
    return sentences
