"""`edgeline report RUN` and `edgeline report --index`: where the page of a run, or of all runs, is."""

from pathlib import Path
from typing import Any

import click
from msgspec import to_builtins

from errors import UsageError
from locations import Location, folders_in, locate, read_bytes
from report import records
from report.facts import Facts
from report.index import Row, make_row, render_index
from runners.cli import options
from runners.cli.commands import Command
from runners.cli.options import Place
from runners.local.report import read_facts, write_report
from runners.shared.runs import find_run, read_all
from runners.shared.stdout import print_json, say


@click.command(cls=Command)
@click.argument("run_id", default="latest", metavar="[RUN]", help="the id of a run, or latest (latest)")
@options.releases_of
@options.as_json
@click.option("--index", is_flag=True, help="one page of all runs instead")
def report(run_id: str, place: Place, as_json: bool, index: bool) -> int:
    """The page of a run: makes it where it is missing, prints its path."""
    if index:
        page, model, rows = _rows_of_store(place, place.store) if place.store else _rows_of_workspace(place)
        records.write_file(page, render_index(model, rows).encode())
        found = {"model": model, "report": str(page), "runs": to_builtins(rows)}
    else:
        made = _from_store(place, place.store, run_id) if place.store else _from_workspace(place, run_id)
        page, facts = made
        found = {"run": facts.about.run, "report": str(page), "facts": to_builtins(facts)}
    if as_json:
        print_json(found)
    else:
        say(str(page))
    return 0


def _from_workspace(place: Place, run_id: str) -> tuple[Path, Facts]:
    folder, run = find_run(place.workspace, run_id, place.workload)
    page = folder.path.absolute() / "report.html"
    facts = records.read(folder.path)
    # A page that was made while the run went on is not the page of the run that ended.
    if facts is None or facts.about.outcome != run.outcome or not page.is_file():
        write_report(run, folder)
        facts = records.read(folder.path)
    assert facts is not None
    return page, facts


def _from_store(place: Place, store: str, run_id: str) -> tuple[Path, Facts]:
    """The page of a run on a cluster; from an object store it is brought here."""
    root, model = _records(store, place.workload)
    found = records.read_all(root)
    chosen = [item for item in found if run_id in ("latest", item[1].about.run)]
    if not chosen:
        raise UsageError(
            f"There is no record of a run {run_id!r} of {model} in {store}.",
            f"It holds the records of {len(found)} runs of it.",
            "`edgeline report --index --store ...` shows them.",
        )
    folder, facts = chosen[-1]
    if isinstance(folder, Path):
        return (folder / records.PAGE).absolute(), facts
    page = _brought(place, model, facts.about.run)
    records.write_file(page, read_bytes(folder / records.PAGE))
    return page, facts


def _records(store: str, named: str | None) -> tuple[Location, str]:
    """Where a cluster keeps the records of the model's runs, and the model's name."""
    root = locate(store) / "runs"
    models = sorted(folders_in(root))
    model = named or (models[0] if len(models) == 1 else None)
    if model is None and models:
        raise UsageError(
            f"{store} holds the records of {' and '.join(models)}.",
            "A report is of one model.",
            f"Name it: --workload {models[0]}.",
        )
    if model is None or model not in models:
        what = f"run of {model}" if model else "run"
        raise UsageError(
            f"There is no record of a {what} in {root}.",
            "Each run on a cluster leaves one there when it ends.",
            "Give the place that the cluster pushes to (kubeflow.push).",
        )
    return root / model, model


def _brought(place: Place, model: str, name: str) -> Path:
    """Where a page from a store lies here."""
    return place.workspace.absolute() / "reports" / model / f"{name}.html"


def _rows_of_workspace(place: Place) -> tuple[Path, str, list[Row]]:
    model = find_run(place.workspace, "latest", place.workload)[1].workload
    rows = []
    for folder, run in read_all(place.workspace):
        if run.workload != model:
            continue
        linked = (folder.path / records.PAGE).is_file()
        rows.append(make_row(read_facts(run, folder), f"{run.id}/{records.PAGE}" if linked else None))
    return place.workspace.absolute() / "runs" / f"index-{model}.html", model, rows


def _rows_of_store(place: Place, store: str) -> tuple[Path, str, list[Row]]:
    root, model = _records(store, place.workload)

    def link(folder: Any, run: str) -> str | None:
        here = folder / records.PAGE if isinstance(folder, Path) else _brought(place, model, run)
        return here.absolute().as_uri() if here.is_file() else None

    rows = [make_row(facts, link(folder, facts.about.run)) for folder, facts in records.read_all(root)]
    return _brought(place, model, "index"), model, rows
