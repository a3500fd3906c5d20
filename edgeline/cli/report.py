"""`edgeline report RUN` and `edgeline report --index`: make the page of a run, or of all runs."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from msgspec import to_builtins

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import note, print_json, say
from edgeline.errors import EdgelineError
from edgeline.labels import join_names
from edgeline.release.history import read_history
from edgeline.release.layout import PushFolder
from edgeline.report import archive
from edgeline.report.facts import Facts
from edgeline.report.index import Mark, render_index
from edgeline.report.timelines import make_row
from edgeline.store.locations import locate
from edgeline.store.objects import write_bytes
from edgeline.workspace import known_runs
from edgeline.workspace.place import Place
from edgeline.workspace.runs import LATEST, find_run


@click.command(cls=Command)
@click.argument(
    "run_id", default="latest", metavar="[RUN]", help="the id of a run, latest, or production (latest)"
)
@options.releases_of
@options.as_json
@click.option(
    "--index", is_flag=True, help="write one page of all runs instead, on which two can be compared"
)
def report(run_id: str, place: Place, as_json: bool, index: bool) -> int:
    """Prints the path of a run's page, and writes the page if it is missing."""
    if index:
        page, document = write_index(place)
    else:
        page, facts = _find_in_store(place, run_id) if place.store else _find_in_workspace(place, run_id)
        document = {"run": facts.run.id, "report": str(page), "facts": to_builtins(facts)}
    if as_json:
        print_json(document)
    else:
        say(str(page))
    return 0


def _find_in_workspace(place: Place, run_id: str) -> tuple[Path, Facts]:
    folder, run = find_run(place.workspace, run_id, place.workload)
    if run_id == LATEST and len(names := known_runs.list_models(place)) > 1:
        note(f"Run {run.id} is of {run.workload}, one of {join_names(names)}; --workload names another.")
    page = folder.path.absolute() / archive.PAGE
    facts = known_runs.find_written_facts(run, folder)
    if facts is None or not page.is_file():
        facts = known_runs.write_report(run, folder)[1]
    return page, facts


def _find_in_store(place: Place, run_id: str) -> tuple[Path, Facts]:
    """Returns the page and facts of a run on a cluster; a page in an object store is copied here."""
    run = known_runs.find_known_run(place, run_id)
    if run.page is None:
        raise EdgelineError(
            f"The record of run {run.facts.run.id} has no page.",
            f"{run.folder} has only its facts: the run ended before its page was written.",
            "Print the facts with `--json`, or see its row in `edgeline report --index`.",
        )
    return run.page, run.facts


def write_index(place: Place) -> tuple[Path, dict[str, Any]]:
    """Writes the page of all runs; returns its path and JSON document. Raises as `find_known_runs` does."""
    model, pages, runs = known_runs.find_known_runs(place)
    with ThreadPoolExecutor(archive.READERS) as pool:
        rows = list(pool.map(lambda run: make_row(run.facts, run.link), runs))
    name = "index.html" if place.store else f"index-{model}.html"
    changes = _read_changes(replace(place, workload=model))
    write_bytes(pages / name, render_index(model, rows, changes).encode())
    return pages / name, {"model": model, "report": str(pages / name), "runs": to_builtins(rows)}


def _read_changes(place: Place) -> list[Mark]:
    """Reads the changes of production; empty, with a note, where the store cannot be read."""
    _, root, model = known_runs.resolve_place(place)
    try:
        changes = read_history(PushFolder(locate(root)), model).changes
    except (EdgelineError, OSError) as error:
        note(f"The history of releases cannot be read and is not on the page: {error}")
        return []
    return [
        Mark(item.when, item.action, item.to_version, item.from_version, item.reason, tried=item.tried)
        for item in changes
        if item.moves_production
    ]
