"""What past runs left in a workspace, and how it goes; only for who holds the workspace's lock.

What stays: the newest runs; of each step the newest run that finished it, whose artifacts the next run may
take from the cache; the newest that pushed; and whatever artifacts these runs put out or took over.

A kill at any instant leaves what the next run can use and the next `collect` goes on with:

1. The folder of an artifact is renamed, then removed: TFX takes a step from the cache where the folders of
   its outputs are there, and whether they are whole it does not ask.
2. The rows of ML Metadata go. Until then the cache finds rows without folders, and passes them over.
3. The lists of files of artifacts that stay go over to runs that stay, and then the other runs go.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

from errors import EdgelineError
from journal import utc_text
from locations import is_url, size_below
from records.run import UNFINISHED, Run
from release import store
from runners.local import artifact_records, metadata_rows
from runners.local.artifact_records import key_of
from runners.shared import runs
from runners.shared.runs import RunFolder

_GONE = ".collected-"
_TORN = re.compile(r"\..+\.[0-9a-f]{32}")  # what `locations.whole` had not finished
_TEMPORARY = ("edgeline-push-", "edgeline-predict-", "edgeline-mlflow-")
_DAY_S = 24 * 3600
_GB = 10**9


@dataclass(frozen=True)
class Waste:
    """What goes: each path with its bytes."""

    artifacts: dict[Path, int]
    runs: dict[Path, int]
    leftovers: dict[Path, int]
    rows: int = 0  # of ML Metadata

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(sum(part.values()) for part in (self.artifacts, self.runs, self.leftovers))


class Inventory:
    """What lies in a workspace, looked at once."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self.known = runs.read_all(workspace)
        readable = {folder.path for folder, _ in self.known}
        self._unreadable = [folder.path for folder in runs.folders(workspace) if folder.path not in readable]

    def most(self) -> int:
        """How many runs its model with the most has."""
        models = [run.workload for _, run in self.known]
        return max(map(models.count, models), default=0)

    def staying(self, keep: int, model: str | None = None) -> list[tuple[RunFolder, Run]]:
        """The runs that stay where `keep` do of one model, or of each."""
        stay: set[str] = set()
        for name in {run.workload for _, run in self.known}:
            own = [run for _, run in self.known if run.workload == name]
            stay |= _needed(own, keep if model in (None, name) else len(own))
        return [item for item in self.known if item[1].id in stay]

    def waste(self, stay: Sequence[tuple[RunFolder, Run]]) -> Waste:
        """What goes when these runs stay."""
        keys = {key for folder, _ in stay for key in _keys(folder)}
        paths = {folder.path for folder, _ in stay}
        oldest = min((path.name for path in paths), default="")
        gone = [folder.path for folder, _ in self.known if folder.path not in paths]
        gone += [path for path in self._unreadable if path.name < oldest]
        sizes = self._artifacts
        return Waste(
            artifacts={path: size for path, size in sizes.items() if key_of(str(path)) not in keys},
            runs={path: size_below(path) for path in gone},
            leftovers={path: size_below(path) for path in _leftovers(self._workspace, stay)},
        )

    @cached_property
    def _artifacts(self) -> dict[Path, int]:
        found = (self._workspace / "artifacts").glob("*/[!.]*/*")
        return {path: size_below(path) for path in sorted(found)}


def collect(workspace: Path, keep: int, model: str | None = None, dry_run: bool = False) -> Waste:
    """Removes what goes when the newest `keep` runs of one model, or of each, stay; with `dry_run` nothing.

    Raises:
        EdgelineError: The rows of ML Metadata cannot be removed.
        OSError: A folder cannot be removed.
    """
    inventory = Inventory(workspace)
    stay = inventory.staying(keep, model)
    waste = inventory.waste(stay)
    for path in () if dry_run else (*waste.artifacts, *waste.leftovers):
        _remove(path)
    keys = {key for folder, _ in stay for key in _keys(folder)}
    rows = metadata_rows.remove(
        workspace / "metadata.sqlite", lambda uri: key_of(uri) in keys, {run.id for _, run in stay}, dry_run
    )
    if not dry_run:
        gone = [RunFolder(path) for path in waste.runs]
        artifact_records.hand_over(
            (folder.artifacts for folder in gone), (folder.artifacts for folder, _ in stay)
        )
        for folder in gone:
            folder.record.unlink(missing_ok=True)  # First: half a folder is no run.
            shutil.rmtree(folder.path)
    return Waste(waste.artifacts, waste.runs, waste.leftovers, rows)


def keep_within(workspace: Path, max_gb: float, push: str) -> list[str]:
    """Removes the oldest runs and releases until a workspace is within its limit, as `collect` does.

    Gives a sentence where what has to stay is larger, or where they cannot be removed.
    """
    try:
        left = _shrink(workspace, max_gb * _GB, push)
    except (EdgelineError, OSError) as error:
        return [f"The workspace cannot be kept within workspace.max_gb: {error}"]
    if left <= max_gb * _GB:
        return []
    return [
        f"The workspace has {left / _GB:.3g} GB, and workspace.max_gb is {max_gb:g}: what the next run needs,"
        " the sample and what is in production stay. Raise it, or set push.destination to another place."
    ]


def _shrink(workspace: Path, limit: float, push: str) -> int:
    """Removes until within so many bytes; returns those that are left."""
    size = size_below(workspace)
    if size <= limit:
        return size
    inventory = Inventory(workspace)
    models = store.models(push) if _is_below(push, workspace) else ()

    def freed(keep: int) -> int:
        releases = (store.collect(push, model, keep, dry_run=True) for model in models)
        waste = inventory.waste(inventory.staying(keep))
        return waste.size + sum(sum(sizes.values()) for sizes in releases)

    fitting = (keep for keep in range(inventory.most(), 0, -1) if size - freed(keep) <= limit)
    keep = next(fitting, 1)
    collect(workspace, keep)
    for model in models:
        store.collect(push, model, keep)
    return size_below(workspace)


def _needed(own: Sequence[Run], keep: int) -> set[str]:
    """The ids of the runs of one model that stay; oldest first."""
    dag = next((run.steps for run in reversed(own) if run.steps), ())
    names = {step.name for step in dag}
    finished = {
        step.name: run.id
        for run in own
        for step in run.steps
        if step.name in names and step.state in ("done", "cached")
    }
    pushed = [run.id for run in own if run.outcome == "pushed"]
    return {*(run.id for run in own[-keep:]), *finished.values(), *pushed[-1:]}


def _keys(folder: RunFolder) -> set[str]:
    return {key_of(record.uri) for record in artifact_records.read(folder.artifacts)}


def _leftovers(workspace: Path, stay: Sequence[tuple[RunFolder, Run]]) -> Iterator[Path]:
    """What no run reads again: TFX's notes, files half written, and trainings that nobody goes on with."""
    yield from (workspace / "artifacts").glob("*/.system/*/*")
    for folder in (workspace, workspace / "runs", *(folder.path for folder, _ in stay)):
        yield from (path for path in folder.glob(".*") if _TORN.fullmatch(path.name))
    begun = [run.started_at for _, run in stay if run.outcome in UNFINISHED]
    for checkpoints in (workspace / "checkpoints").glob("*"):
        newest = max(path.lstat().st_mtime for path in (checkpoints, *checkpoints.rglob("*")))
        if not begun or utc_text(datetime.fromtimestamp(newest, timezone.utc)) < min(begun):
            yield checkpoints
    # Where the disk is full, `gettempdir` finds none.
    temporary = Path(tempfile.tempdir or os.environ.get("TMPDIR", "/tmp"))
    for prefix in _TEMPORARY:
        for path in temporary.glob(f"{prefix}*"):
            status = path.lstat()
            # A day old, so that nobody can still be at it.
            if status.st_uid == os.getuid() and time.time() - status.st_mtime > _DAY_S:
                yield path


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if not path.name.startswith(_GONE):
        path = path.rename(path.with_name(f"{_GONE}{path.name}"))
    shutil.rmtree(path)


def _is_below(place: str, folder: Path) -> bool:
    return not is_url(place) and folder.resolve() in Path(place).resolve().parents
