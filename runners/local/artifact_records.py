"""What each step left on disk, file by file, so that a cached step whose files are gone runs again.

TFX reuses a cached step when its output folders exist; whether they are whole it does not ask.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from locations import whole
from records.json_file import decode, encode
from release.manifest import files_below
from runners.shared import runs
from runners.shared.events import read_from

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
    """Every file below a folder, POSIX relative path to size in bytes."""
    return {name: path.stat().st_size for name, path in files_below(Path(uri)).items()}


def append(path: Path, record: ArtifactRecord) -> None:
    """Adds a record to an artifacts.jsonl."""
    with path.open("ab") as file:
        file.write(encode(record) + b"\n")


def read(path: Path) -> Iterator[ArtifactRecord]:
    """The records of an artifacts.jsonl; what a crash tore is left out, with a warning."""
    for number, line in enumerate(read_from(path).splitlines(), start=1):
        try:
            record: ArtifactRecord = decode(line, ArtifactRecord)
        except (ValueError, RecursionError) as error:
            log.warning("%s line %d is left out: %s", path, number, error)
            continue
        yield record


def key_of(uri: str) -> str:
    """`<step>/<output>/<number>`: an artifact's place in whatever folder a workspace is."""
    return "/".join(uri.split("/")[-3:])


def hand_over(going: Iterable[Path], staying: Iterable[Path]) -> None:
    """Notes the files of artifacts that runs wrote which go with the first of those that took them over.

    Both are the artifacts.jsonl of runs.
    """
    files = {record.uri: record.files for path in going for record in read(path) if record.files is not None}
    for path in staying:
        records = list(read(path))
        noted = [
            replace(each, files=files.pop(each.uri)) if each.files is None and each.uri in files else each
            for each in records
        ]
        if noted != records:
            with whole(path, sync=True) as file:
                file.writelines(encode(record) + b"\n" for record in noted)


def discard_damaged(workspace: Path) -> list[str]:
    """Removes the folder of each artifact that lost files or bytes, so that its step runs again.

    Gives a sentence for each. Folders that are gone altogether are not named: TFX sees that by itself.
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
        found, expected = list_files(record.uri), record.files or {}
        wrong = sorted(name for name, size in expected.items() if found.get(name) != size)
        if wrong:
            shutil.rmtree(path)
            what = "is gone" if wrong[0] not in found else "has another size"
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            sentences.append(f"{record.step} runs again: {wrong[0]} of its {record.key} {what}{more}.")
    return sentences
