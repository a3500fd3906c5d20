"""Garbage collection of past runs in a workspace and its store. The caller holds the workspace's lock.

These runs are kept: the newest ones; for each step the newest run that finished it, whose artifacts the next
run may take from the cache; and the newest that pushed. All artifacts that they wrote or reused are kept too.
`collect_releases` decides which releases are kept. For runs on a cluster, the records of the newest runs are
kept, of those that pushed a kept release, and of those that are running. MLflow keeps the figures of every
run, and the files of kept runs. The span cache of ingest, one window a model, stays with that model's runs.

A kill at any instant leaves a workspace that the next run can use and the next collection can clean up:

1. The folder of an artifact is renamed, then removed: TFX takes a step from the cache if the folders of its
   outputs exist, and does not check whether they are complete.
2. The rows of ML Metadata are removed. Until then the cache finds rows without folders, and skips them.
3. The runs are removed, their records first.
"""

import os
import re
import shutil
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from edgeline.errors import EdgelineError
from edgeline.journal import format_utc
from edgeline.mlflow.database import read_ids
from edgeline.records.run import UNFINISHED, Run
from edgeline.release import store, upkeep
from edgeline.release.layout import PushFolder
from edgeline.release.signing import NO_KEYS, Keys
from edgeline.release.state import open_state
from edgeline.report import archive
from edgeline.store.locations import Location, is_url, locate, measure_size
from edgeline.workspace import runs
from edgeline.workspace.runs import RunFolder
from runners.local import metadata_rows
from runners.local.lock import hold_artifacts

_GONE = ".collected-"
_TORN = re.compile(r"\..+\.[0-9a-f]{32}")  # files that `locations.write_atomically` had not finished
_TEMPORARY = ("edgeline-push-", "edgeline-models-", "edgeline-mlflow-")
_DAY_S = 24 * 3600
_GB = 10**9


@dataclass(frozen=True)
class Waste:
    """The items to remove, each with its size in bytes; releases and records are grouped by model name."""

    artifacts: Mapping[Path, int]
    runs: Mapping[Path, int]
    mlflow: Mapping[Path, int]  # files that MLflow keeps of runs beside their figures
    leftovers: Mapping[Path, int]
    releases: Mapping[str, Mapping[int, int]]  # by version
    records: Mapping[str, Mapping[Location, int]]  # of a cluster's runs
    rows: int = 0  # of ML Metadata

    @property
    def parts(self) -> dict[str, Mapping[Any, int]]:
        """Returns everything except the rows, by the name of its kind."""
        kinds = ("artifacts", "runs", "mlflow", "leftovers")
        return {
            **{kind: getattr(self, kind) for kind in kinds},
            **{f"releases of {model}": sizes for model, sizes in self.releases.items()},
            **{f"records of {model}": sizes for model, sizes in self.records.items()},
        }

    @property
    def size(self) -> int:
        """Returns the total size in bytes."""
        return sum(sum(part.values()) for part in self.parts.values())


class Inventory:
    """The contents of a workspace, and of its store for one model or for all, read once."""

    def __init__(self, workspace: Path, root: str, model: str | None = None) -> None:
        self._workspace, self._root = workspace, root
        self.known = runs.read_all(workspace)
        readable = {folder.path for folder, _ in self.known}
        self._unreadable = [run.path for run in runs.list_run_folders(workspace) if run.path not in readable]
        self._run_models = sorted({run.workload for _, run in self.known})
        self._models = (model,) if model else self._run_models or store.models(root)
        self._releases = {name: store.releases(root, name) for name in self._models}
        self._in_use = set().union(*map(self._find_runs_in_use, self._models))
        self._records = {name: archive.read_all(locate(root) / "runs" / name) for name in self._models}

    def _find_runs_in_use(self, model: str) -> list[str]:
        """Returns the ids of the runs that pushed the release in production and the candidate of a canary."""
        release = store.current(self._root, model)
        rollout = store.find_rollout(self._root, model)
        versions = {*(rollout.versions if rollout else ()), release.version if release else 0}
        return [item.manifest.run for item in self._releases[model] if item.version in versions]

    def find_kept_runs(self, keep: int) -> list[tuple[RunFolder, Run]]:
        """Returns the runs to keep when the newest `keep` of each of these models are kept.

        Those that pushed what is in production, or the candidate of a canary, are kept too.
        """
        ids = set(self._in_use)
        for name in self._run_models:
            own = [run for _, run in self.known if run.workload == name]
            ids |= _select_needed(own, keep if name in self._models else len(own))
        return [item for item in self.known if item[1].id in ids]

    def find_waste(self, keep: int, in_store: int) -> Waste:
        """Returns the waste if `keep` runs, and `in_store` releases and records, of each model are kept."""
        kept = self.find_kept_runs(keep)
        keys = _collect_keys(kept)
        paths = {folder.path for folder, _ in kept}
        oldest = min((path.name for path in paths), default="")
        removed = [folder.path for folder, _ in self.known if folder.path not in paths]
        removed += [path for path in self._unreadable if path.name < oldest]

        releases: dict[str, dict[int, int]] = {}
        old: dict[str, dict[Location, int]] = {}
        ids = {run.id for _, run in kept}
        for name in self._models:
            releases[name] = upkeep.collect_releases(self._root, name, in_store, dry_run=True)
            ids |= {item.manifest.run for item in self._releases[name] if item.version not in releases[name]}
            old[name] = archive.find_old(self._records[name], in_store, ids)
            ids |= {facts.run.id for at, facts in self._records[name] if at not in old[name]}

        leftovers = (*_find_leftovers(self._workspace, kept), *self._find_pages(old))
        artifacts = self._artifacts.items()
        return Waste(
            artifacts={path: size for path, size in artifacts if _key_of(str(path)) not in keys},
            runs={path: measure_size(path) for path in removed},
            mlflow={path: size for path, (run, size) in self._mlflow_files.items() if run not in ids},
            leftovers={path: measure_size(path) for path in leftovers},
            releases=releases,
            records=old,
        )

    def _find_pages(self, old: Mapping[str, Mapping[Location, int]]) -> Iterator[Path]:
        """Yields the pages that were rendered from these records of the store."""
        for name, places in old.items():
            pages = (self._workspace / "reports" / name / at.name for at in places)
            yield from filter(Path.exists, pages)

    @cached_property
    def _artifacts(self) -> dict[Path, int]:
        folders = _list_own(self._workspace / "artifacts", "*/[!.]*/*")
        return {path: measure_size(path) for path in sorted(folders)}

    @cached_property
    def _mlflow_files(self) -> dict[Path, tuple[str, int]]:
        """Returns the folders with files of MLflow's runs, each with the id of our run and its bytes."""
        place = self._workspace / "mlflow"
        folders = [*chain(*(_list_own(place, f"{name}/*/artifacts") for name in self._models))]
        if not folders:
            return {}
        own = f"sqlite:///{self._workspace / 'mlflow.db'}"
        ids: dict[str, str] = {}
        for uri in {own, *(run.registry for _, run in self.known if run.registry)}:
            ids |= read_ids(uri)
        return {
            path: (ids[path.parent.name], measure_size(path)) for path in folders if path.parent.name in ids
        }


def collect_garbage(
    workspace: Path,
    root: str,
    keep: int,
    model: str | None = None,
    dry_run: bool = False,
    in_store: int = 0,
    keys: Keys = NO_KEYS,
) -> Waste:
    """Removes old runs of one model, or of each, and what only these need.

    Args:
        workspace: An absolute path; the folder may be missing.
        root: The release store, which may be elsewhere, and be that of other workspaces too.
        keep: The number of newest runs of each model that stay.
        model: Its name; None for all models of the workspace.
        dry_run: Removes nothing, and only measures.
        in_store: The number of releases and records that stay in the store; 0 for as many as runs.
        keys: They sign that releases of the store were collected.

    Returns:
        What was, or would be, removed.

    Raises:
        UsageError: Releases would be collected of a signed store, and no key is set.
        EdgelineError: The rows of ML Metadata cannot be removed, or the store cannot be read or written.
        WorkspaceLocked: A step reads artifacts, or another writer held the store for too long.
        OSError: A folder cannot be removed.
    """
    inventory = Inventory(workspace, root, model)
    kept = inventory.find_kept_runs(keep)
    waste = inventory.find_waste(keep, in_store or keep)
    for name, releases in waste.releases.items():
        if releases and not dry_run:  # before anything is removed
            open_state(PushFolder(locate(root)), name, **keys)
    removed = () if dry_run else (*waste.artifacts, *waste.mlflow, *waste.leftovers)
    with hold_artifacts(workspace, to_remove=True) if removed and workspace.is_dir() else nullcontext():
        for path in removed:
            _remove(path)
    kept_keys = _collect_keys(kept)
    rows = metadata_rows.remove(
        workspace / metadata_rows.METADATA,
        lambda uri: _key_of(uri) in kept_keys,
        {run.id for _, run in kept},
        dry_run,
    )
    if not dry_run:
        for folder in waste.runs:
            if folder.is_symlink():
                folder.unlink()
                continue
            # The record goes first: a partial folder is not a run.
            RunFolder(folder).record.unlink(missing_ok=True)
            shutil.rmtree(folder)
        # The store comes last: a change there needs some disk space, which the steps above have freed.
        for name in waste.releases:
            upkeep.collect_releases(root, name, in_store or keep, **keys)
        for record in chain.from_iterable(waste.records.values()):
            archive.remove(record)
    return replace(waste, rows=rows)


def keep_within(workspace: Path, max_gb: float, push: str, keys: Keys = NO_KEYS) -> list[str]:
    """Removes the oldest runs and releases, as `collect_garbage` does, until a workspace is within its limit.

    Args:
        workspace: An absolute path; a link to another disk is measured there.
        max_gb: The limit, in 10^9 bytes.
        push: The release store; its releases are collected only if it is in the workspace.
        keys: They sign that releases were collected.

    Returns:
        A warning if the part that must stay is larger, or if removing fails; else nothing.
    """
    try:
        size = _shrink(workspace, max_gb * _GB, push, keys)
    except (EdgelineError, OSError) as error:
        return [f"The workspace cannot be kept within workspace.max_gb: {error}"]
    if size <= max_gb * _GB:
        return []
    return [
        f"The workspace has {size / _GB:.3g} GB, and workspace.max_gb is {max_gb:g}: the files of the next"
        " run, the sample and production are kept. Raise it, or set push.destination to another place."
    ]


def _shrink(workspace: Path, limit: float, push: str, keys: Keys) -> int:
    """Removes old runs until a workspace has at most `limit` bytes; returns its size in bytes."""
    size = measure_size(workspace.resolve())
    if size <= limit:
        return size
    inventory = Inventory(workspace, push)
    models = [run.workload for _, run in inventory.known]
    keeps = range(max(map(models.count, models), default=1), 0, -1)
    has_store = not is_url(push) and workspace.resolve() in Path(push).resolve().parents

    def in_store(keep: int) -> int:
        return keep if has_store else sys.maxsize

    def fits(keep: int) -> bool:
        return size - inventory.find_waste(keep, in_store(keep)).size <= limit

    keep = keeps[min(bisect_left(keeps, True, key=fits), len(keeps) - 1)]
    collect_garbage(workspace, push, keep, in_store=in_store(keep), keys=keys)
    remaining = measure_size(workspace.resolve())
    if remaining > limit and (spans := workspace / "spans").is_dir():  # kept spans only save time
        shutil.rmtree(spans)
        remaining = measure_size(workspace.resolve())
    return remaining


def _select_needed(own: Sequence[Run], keep: int) -> set[str]:
    """Returns the ids of the runs of one model, given oldest first, that must be kept."""
    newest = {run.id for run in own[-keep:]}
    pushed = [run.id for run in own if run.outcome == "pushed"]
    finished: dict[str, str] = {}
    for run in own:
        finished |= dict.fromkeys(run.finished_steps, run.id)
    dag = next((run.steps for run in reversed(own) if run.steps), ())
    last = {finished[step.name] for step in dag if step.name in finished}
    return newest | last | set(pushed[-1:])


def _collect_keys(kept: Sequence[tuple[RunFolder, Run]]) -> set[str]:
    """Returns the keys of the artifacts that these runs wrote or reused."""
    return {_key_of(artifact.uri) for _, run in kept for artifact in run.artifacts}


def _key_of(uri: str) -> str:
    """Returns `<step>/<output>/<number>`: an artifact's path within its workspace, wherever that lies."""
    return "/".join(uri.split("/")[-3:])


def _find_leftovers(workspace: Path, kept: Sequence[tuple[RunFolder, Run]]) -> Iterator[Path]:
    """Yields files that no run reads again: TFX's notes, half-written files, and abandoned checkpoints."""
    yield from _list_own(workspace / "artifacts", "*/.system/*/*")
    models = {run.workload for _, run in kept}
    yield from (path for path in (workspace / "spans").glob("*") if path.name not in models)
    for folder in (workspace, workspace / "runs", *(folder.path for folder, _ in kept)):
        yield from (path for path in folder.glob(".*") if _TORN.fullmatch(path.name))
    unfinished = [run.started_at for _, run in kept if run.outcome in UNFINISHED]
    for checkpoints in (workspace / "checkpoints").glob("*"):
        newest = max(path.lstat().st_mtime for path in (checkpoints, *checkpoints.rglob("*")))
        if not unfinished or format_utc(datetime.fromtimestamp(newest, timezone.utc)) < min(unfinished):
            yield checkpoints
    # `gettempdir` fails on a full disk.
    temporary = Path(tempfile.tempdir or os.environ.get("TMPDIR", "/tmp"))
    for prefix in _TEMPORARY:
        for path in temporary.glob(f"{prefix}*"):
            with suppress(FileNotFoundError):  # its owner may remove it at this moment
                status = path.lstat()
                # After a day nobody can still be using it.
                if status.st_uid == os.getuid() and time.time() - status.st_mtime > _DAY_S:
                    yield path


def _list_own(folder: Path, pattern: str) -> Iterator[Path]:
    """Yields what is below a folder by a pattern, through no link; the folder may be one, to another disk."""
    root = folder.resolve()
    for path in folder.glob(pattern):
        if path.parent.resolve() == root / path.parent.relative_to(folder):
            yield path


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if not path.name.startswith(_GONE):
        path = path.rename(path.with_name(f"{_GONE}{path.name}"))
    shutil.rmtree(path)
