"""What past runs left in a workspace and its store, and how it goes; only for who holds the workspace's lock.

What stays: the newest runs; of each step the newest run that finished it, whose artifacts the next run may
take from the cache; the newest that pushed; and whatever artifacts these runs put out or took over. Of the
store's releases those that `store.collect` lets stay; of a cluster's runs the records of the newest, of those
that pushed such a release, and of those that go on. MLflow keeps the figures of every run, and files of those
runs that stay. What ingest keeps of spans, one window a model, stays with the runs of that model.

A kill at any instant leaves what the next run can use and the next `collect` goes on with:

1. The folder of an artifact is renamed, then removed: TFX takes a step from the cache where the folders of
   its outputs are there, and whether they are whole it does not ask.
2. The rows of ML Metadata go. Until then the cache finds rows without folders, and passes them over.
3. The lists of files of artifacts that stay go over to runs that stay, and then the other runs go.
"""

import os
import re
import shutil
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from errors import EdgelineError
from journal import utc_text
from locations import Location, is_url, locate, size_below
from records.run import UNFINISHED, Run
from release import store
from report import records
from runners.local import artifact_records, metadata_rows
from runners.local.artifact_records import key_of
from runners.shared import registry, runs
from runners.shared.runs import RunFolder

_GONE = ".collected-"
_TORN = re.compile(r"\..+\.[0-9a-f]{32}")  # what `locations.whole` had not finished
_TEMPORARY = ("edgeline-push-", "edgeline-predict-", "edgeline-mlflow-")
_DAY_S = 24 * 3600
_GB = 10**9


@dataclass(frozen=True)
class Waste:
    """What goes, each with its bytes; of releases and records those of each model, by its name."""

    artifacts: Mapping[Path, int]
    runs: Mapping[Path, int]
    mlflow: Mapping[Path, int]  # what it keeps of runs beside their figures
    leftovers: Mapping[Path, int]
    releases: Mapping[str, Mapping[int, int]]  # by version
    records: Mapping[str, Mapping[Location, int]]  # of a cluster's runs
    rows: int = 0  # of ML Metadata

    @property
    def parts(self) -> dict[str, Mapping[Any, int]]:
        """All of it but the rows, by what it is called."""
        named = ("artifacts", "runs", "mlflow", "leftovers")
        return {
            **{name: getattr(self, name) for name in named},
            **{f"releases of {model}": found for model, found in self.releases.items()},
            **{f"records of {model}": found for model, found in self.records.items()},
        }

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(sum(part.values()) for part in self.parts.values())


class Inventory:
    """What lies in a workspace, and in its store of a model or of each, looked at once."""

    def __init__(self, workspace: Path, root: str, model: str | None = None) -> None:
        self._workspace, self._root = workspace, root
        self.known = runs.read_all(workspace)
        readable = {folder.path for folder, _ in self.known}
        self._unreadable = [folder.path for folder in runs.folders(workspace) if folder.path not in readable]
        self._run = sorted({run.workload for _, run in self.known})
        self._models = (model,) if model else self._run or store.models(root)
        self._releases = {name: store.releases(root, name) for name in self._models}
        self._records = {name: records.read_all(locate(root) / "runs" / name) for name in self._models}

    def most(self) -> int:
        """How many runs its model with the most has."""
        models = [run.workload for _, run in self.known]
        return max(map(models.count, models), default=1)

    def staying(self, keep: int) -> list[tuple[RunFolder, Run]]:
        """The runs that stay where `keep` do of each of these models."""
        stay: set[str] = set()
        for name in self._run:
            own = [run for _, run in self.known if run.workload == name]
            stay |= _needed(own, keep if name in self._models else len(own))
        return [item for item in self.known if item[1].id in stay]

    def waste(self, keep: int, in_store: int) -> Waste:
        """What goes when so many runs of each of these models stay, and so many releases and records."""
        stay = self.staying(keep)
        keys = _keys(stay)
        paths = {folder.path for folder, _ in stay}
        oldest = min((path.name for path in paths), default="")
        gone = [folder.path for folder, _ in self.known if folder.path not in paths]
        gone += [path for path in self._unreadable if path.name < oldest]
        releases: dict[str, dict[int, int]] = {}
        old: dict[str, dict[Location, int]] = {}
        ids = {run.id for _, run in stay}
        for name in self._models:
            releases[name] = store.collect(self._root, name, in_store, dry_run=True)
            ids |= {each.manifest.run for each in self._releases[name] if each.version not in releases[name]}
            old[name] = records.find_old(self._records[name], in_store, ids)
            ids |= {facts.about.run for at, facts in self._records[name] if at not in old[name]}
        pages = (self._workspace / "reports" / name / at.name for name, found in old.items() for at in found)
        leftovers = (*_leftovers(self._workspace, stay), *filter(Path.exists, pages))
        return Waste(
            artifacts={path: size for path, size in self._artifacts.items() if key_of(str(path)) not in keys},
            runs={path: size_below(path) for path in gone},
            mlflow={path: size for path, (run, size) in self._mirrored.items() if run not in ids},
            leftovers={path: size_below(path) for path in leftovers},
            releases=releases,
            records=old,
        )

    @cached_property
    def _artifacts(self) -> dict[Path, int]:
        found = (self._workspace / "artifacts").glob("*/[!.]*/*")
        return {path: size_below(path) for path in sorted(found)}

    @cached_property
    def _mirrored(self) -> dict[Path, tuple[str, int]]:
        """The folders with files of MLflow's runs, each with the id of the run here and its bytes."""
        found = [
            path for name in self._models for path in (self._workspace / "mlflow" / name).glob("*/artifacts")
        ]
        own = f"sqlite:///{self._workspace / 'mlflow.db'}"
        known: dict[str, str] = {}
        for uri in {own, *(run.registry for _, run in self.known if run.registry)} if found else ():
            known |= registry.read_ids(uri)
        return {
            path: (known[path.parent.name], size_below(path)) for path in found if path.parent.name in known
        }


def collect(
    workspace: Path, root: str, keep: int, model: str | None = None, dry_run: bool = False, in_store: int = 0
) -> Waste:
    """Removes what goes when the newest `keep` runs of one model, or of each, stay; with `dry_run` nothing.

    As many releases and records stay in the store `root`, or `in_store` where that is not 0.

    Raises:
        EdgelineError: The rows of ML Metadata cannot be removed, or the store cannot be read or written.
        WorkspaceLocked: Another writer held the store for too long.
        OSError: A folder cannot be removed.
    """
    inventory = Inventory(workspace, root, model)
    stay, waste = inventory.staying(keep), inventory.waste(keep, in_store or keep)
    for path in () if dry_run else (*waste.artifacts, *waste.mlflow, *waste.leftovers):
        _remove(path)
    keys = _keys(stay)
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
        # Last: a change in the store needs some room, which is there now on a disk that was full.
        for name in waste.releases:
            store.collect(root, name, in_store or keep)
        for record in (at for found in waste.records.values() for at in found):
            records.remove(record)
    return replace(waste, rows=rows)


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
    inventory = Inventory(workspace, push)
    keeps = range(inventory.most(), 0, -1)

    def in_store(keep: int) -> int:
        return keep if _is_below(push, workspace) else sys.maxsize

    def fits(keep: int) -> bool:
        return size - inventory.waste(keep, in_store(keep)).size <= limit

    keep = keeps[min(bisect_left(keeps, True, key=fits), len(keeps) - 1)]
    collect(workspace, push, keep, in_store=in_store(keep))
    left = size_below(workspace)
    if left > limit and (spans := workspace / "spans").is_dir():  # they only save time
        shutil.rmtree(spans)
        left = size_below(workspace)
    return left


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


def _keys(stay: Sequence[tuple[RunFolder, Run]]) -> set[str]:
    """The artifacts that these runs put out or took over."""
    return {key_of(record.uri) for folder, _ in stay for record in artifact_records.read(folder.artifacts)}


def _leftovers(workspace: Path, stay: Sequence[tuple[RunFolder, Run]]) -> Iterator[Path]:
    """What no run reads again: TFX's notes, files half written, and trainings that nobody goes on with."""
    yield from (workspace / "artifacts").glob("*/.system/*/*")
    models = {run.workload for _, run in stay}
    yield from (path for path in (workspace / "spans").glob("*") if path.name not in models)
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
            with suppress(FileNotFoundError):  # whoever made it has just removed it
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
