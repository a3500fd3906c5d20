"""The runs of a workspace, or the records that a cluster left in a store, with their facts and pages."""

import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edgeline.errors import UsageError, suggest
from edgeline.labels import format_count
from edgeline.records.run import Run
from edgeline.release.layout import PushFolder
from edgeline.release.releases import make_missing_model_error, models
from edgeline.report import archive
from edgeline.report.collect import collect_facts
from edgeline.report.facts import Facts
from edgeline.report.sources import Sources
from edgeline.store.locations import Location, list_folders, list_names, locate, read_bytes
from edgeline.store.objects import write_bytes
from edgeline.workspace import runs
from edgeline.workspace.place import Place


@dataclass(frozen=True)
class KnownRun:
    """A run with its record in `folder`; `pages` is a local folder, for pages of several runs."""

    facts: Facts
    folder: Location
    pages: Path

    @property
    def sources(self) -> Sources:
        """Returns those of its artifacts that are on this machine."""
        return Sources.of(self.facts.run)

    @cached_property
    def page(self) -> Path | None:
        """Returns the local path of its page, copied from an object store if needed; None without a page.

        A page without facts is none: it is from before the run ended, as a killed run may have.
        """
        folder = self.folder.absolute() if isinstance(self.folder, Path) else self.pages / self.folder.name
        try:
            if not isinstance(self.folder, Path) and archive.read(folder) != self.facts:
                archive.write(folder, self.facts, read_bytes(self.folder / archive.PAGE).decode())
        except FileNotFoundError:
            return None
        is_whole = all((folder / name).is_file() for name in (archive.PAGE, archive.FACTS))
        return folder / archive.PAGE if is_whole else None

    @property
    def link(self) -> str | None:
        """Returns the link to its page from a page in `pages`."""
        if self.page is None:
            return None
        if self.page.is_relative_to(self.pages):
            return self.page.relative_to(self.pages).as_posix()
        return self.page.as_uri()


def resolve_known_place(place: Place, why: str) -> tuple[Run | None, str, str]:
    """Returns what `resolve_place` does, after checking that the place and the model exist.

    Raises:
        UsageError: There is no workspace; `why` says what for.
        EdgelineError: Neither the place nor the workspace has the model.
    """
    if place.store is None and not place.workspace.is_dir():
        raise UsageError(
            f"There is no workspace {place.workspace}.",
            why,
            "Pass another one with --workspace DIR, or a release store with --store DIR_OR_URL.",
        )
    last, root, model = resolve_place(place)
    models_there = {*models(root), *list_names(locate(root) / "runs")}
    if (place.store and not models_there) or (place.workload and last is None and model not in models_there):
        raise make_missing_model_error(PushFolder(locate(root)), model)
    return last, root, model


def resolve_place(place: Place) -> tuple[Run | None, str, str]:
    """Returns the last run of the model, the release store, and the model's name.

    The default is the only model of the place, or the only one with a release; where there is none, the
    default workload. Raises UsageError if there are several.
    """
    recorded = runs.read_runs(place.workspace)
    if recorded and not (place.workload or place.store):
        model = runs.choose_released_model(recorded, place.workspace)
    else:
        model = runs.choose_model(list_models(place), place.store or place.workspace) or "shelf"
    last = next((run for run in reversed(recorded) if run.workload == model), None)
    return last, place.store or runs.find_push(last, place.workspace), model


def list_models(place: Place) -> list[str]:
    """Returns the named model, by default those of the store, the runs, or else the workspace's store."""
    if place.workload:
        return [place.workload]
    if place.store:
        return sorted(models(place.store))
    names = {run.workload for run in runs.read_runs(place.workspace)}
    return sorted(names or models(runs.find_push(None, place.workspace)))


def describe_none(place: Place) -> str:
    """Returns a sentence on a workspace without a run, or without one of the model that was named."""
    return f"No run{f' of {place.workload}' if place.workload else ''} in {place.workspace} yet."


def find_known_run(place: Place, run_id: str) -> KnownRun:
    """Returns a run by id, its beginning, `latest` or `production`. Raises UsageError for none or several."""
    if place.store is None:
        return _read_folder(place, *runs.find_run(place.workspace, run_id, place.workload))
    model, _, known = find_known_runs(place)
    wanted = runs.find_run_in_production(place.store, model) if run_id == runs.PRODUCTION else run_id
    by_id = {item.facts.run.id: item for item in known}
    wanted = runs.complete_id(wanted, by_id)
    if known and wanted == runs.LATEST:
        return known[-1]
    if wanted not in by_id:
        list_them = f"edgeline report --index --workload {model} --store {shlex.quote(place.store)}"
        raise UsageError(
            f"There is no record of a run {wanted!r} of {model} in {place.store}.",
            f"The store has the records of {format_count(len(known), 'run')} of {model}.",
            suggest(run_id, (*by_id, runs.LATEST, runs.PRODUCTION), 0.8) or f"List them: `{list_them}`.",
        )
    return by_id[wanted]


def find_known_runs(place: Place) -> tuple[str, Path, list[KnownRun]]:
    """Returns the model, the folder for pages of several of its runs, and its runs, oldest first.

    Raises UsageError if there is no run, or the store has several models and none is named.
    """
    if place.store is None:
        newest = runs.find_run(place.workspace, runs.LATEST, place.workload)[1].workload
        model = runs.choose_model(list_models(place), place.workspace) or newest
        of_model = (item for item in runs.read_all(place.workspace) if item[1].workload == model)
        known = [_read_folder(place, *item) for item in of_model]
        return model, place.workspace.absolute() / "runs", known

    # A cluster keeps the records of its runs in the store.
    root = locate(place.store) / "runs"
    names = list_folders(root)
    chosen = place.workload or runs.choose_model(names, place.store)
    if chosen is None or chosen not in names:
        what = f"run of {chosen}" if chosen else "run"
        raise UsageError(
            f"There is no record of a {what} in {root}.",
            "Each run on a cluster writes one there when it ends.",
            "Pass the place that the cluster pushes to (kubeflow.push) as --store.",
        )
    pages = place.workspace.absolute() / "reports" / chosen
    return chosen, pages, [KnownRun(facts, at, pages) for at, facts in archive.read_all(root / chosen)]


def _read_folder(place: Place, folder: runs.RunFolder, run: Run) -> KnownRun:
    return KnownRun(read_facts(run, folder), folder.path, place.workspace.absolute() / "runs")


def find_written_facts(run: Run, folder: runs.RunFolder) -> Facts | None:
    """Returns the facts that a run's page shows; None if it has no page, or one from before the run ended."""
    return None if run.outcome == "running" else archive.read(folder.path, run)


def read_facts(run: Run, folder: runs.RunFolder) -> Facts:
    """Returns the facts that a run's page shows; for a run without one, reads them from its artifacts."""
    return find_written_facts(run, folder) or collect_facts(Sources.of(run), run)


def write_report(run: Run, folder: runs.RunFolder) -> tuple[Path, Facts]:
    """Builds the page of a run from the outputs of its steps; returns its path, and the facts.

    A run that goes on gets no facts beside its page: they will be others when it ends.
    """
    newest_first = reversed(runs.read_all(folder.path.parent.parent))
    earlier = filter(None, (archive.read(folder.path, run) for folder, run in newest_first))
    facts, page = archive.make(run, Sources.of(run), earlier, folder.path)
    if run.outcome == "running":
        write_bytes(folder.path / archive.PAGE, page.encode())
    else:
        archive.write(folder.path, facts, page, with_run=False)
    return folder.path / archive.PAGE, facts
