"""`edgeline report RUN` and `edgeline report --index`: where the page of a run, or of all runs, is."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import UsageError
from records.json_file import to_builtins
from records.run import Run
from report import records
from runners.shared import runs
from runners.shared.stdout import print_json, say

if TYPE_CHECKING:
    from locations import Location
    from report.facts import Facts
    from report.index import Row


def report(arguments: argparse.Namespace) -> int:
    """Prints the path of a page, which is made where it is missing."""
    if arguments.index:
        return _of_all_runs(arguments)
    page, facts = _from_store(arguments) if arguments.store else _from_workspace(arguments)
    if arguments.json:
        print_json({"run": facts.about.run, "report": str(page), "facts": to_builtins(facts)})
    else:
        say(str(page))
    return 0


def _from_workspace(arguments: argparse.Namespace) -> "tuple[Path, Facts]":
    wanted = _known(arguments)[-1].id if arguments.run == "latest" else arguments.run
    folder, run = runs.find_run(arguments.workspace, wanted)
    page = folder.path.absolute() / "report.html"
    facts = records.read(folder.path)
    # A page that was made while the run went on is not the page of the run that ended.
    if facts is None or facts.about.outcome != run.outcome or not page.is_file():
        from runners.local.report import write_report

        write_report(run, folder)
        facts = records.read(folder.path)
    assert facts is not None
    return page, facts


def _known(arguments: argparse.Namespace) -> list[Run]:
    """The runs of the workspace, of one model where it is named.

    Raises:
        UsageError: There are none.
    """
    known = runs.read_runs(arguments.workspace, arguments.workload)
    if not known:
        _, run = runs.find_run(arguments.workspace, "latest")
        raise UsageError(
            f"The workspace {arguments.workspace} holds no run of {arguments.workload}.",
            f"Its newest run is one of {run.workload}.",
            "`edgeline runs` lists what it holds.",
        )
    return known


def _from_store(arguments: argparse.Namespace) -> "tuple[Path, Facts]":
    """The page of a run on a cluster; from an object store it is brought here."""
    from locations import read_bytes

    root, model = _records(arguments)
    found = records.read_all(root)
    chosen = [item for item in found if arguments.run in ("latest", item[1].about.run)]
    if not chosen:
        raise UsageError(
            f"There is no record of a run {arguments.run!r} of {model} in {arguments.store}.",
            f"It holds the records of {len(found)} runs of it.",
            "`edgeline report --index --store ...` shows them.",
        )
    folder, facts = chosen[-1]
    if isinstance(folder, Path):
        return (folder / records.PAGE).absolute(), facts
    page = _brought(arguments, model, facts.about.run)
    records.write_file(page, read_bytes(folder / records.PAGE))
    return page, facts


def _records(arguments: argparse.Namespace) -> "tuple[Location, str]":
    """Where a cluster keeps the records of the model's runs, and the model's name.

    Raises:
        UsageError: There are none, or of several models.
    """
    from locations import folders_in, locate

    root = locate(arguments.store) / "runs"
    models = sorted(folders_in(root))
    model = arguments.workload or (models[0] if len(models) == 1 else None)
    if model is None and models:
        raise UsageError(
            f"{arguments.store} holds the records of {' and '.join(models)}.",
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


def _brought(arguments: argparse.Namespace, model: str, name: str) -> Path:
    """Where a page from a store lies here."""
    return Path(arguments.workspace).absolute() / "reports" / model / f"{name}.html"


def _of_all_runs(arguments: argparse.Namespace) -> int:
    from report.index import render_index
    from report.records import write_file

    page, model, rows = _rows_of_store(arguments) if arguments.store else _rows_of_workspace(arguments)
    write_file(page, render_index(model, rows).encode())
    if arguments.json:
        print_json({"model": model, "report": str(page), "runs": [asdict(row) for row in rows]})
    else:
        say(str(page))
    return 0


def _rows_of_workspace(arguments: argparse.Namespace) -> "tuple[Path, str, list[Row]]":
    from report import records
    from report.collect import collect
    from report.index import make_row
    from runners.local.report import about, find_sources

    known = _known(arguments)
    model = known[-1].workload
    rows = []
    for run in known:
        if run.workload != model:
            continue
        folder = runs.RunFolder(Path(arguments.workspace) / "runs" / run.id)
        facts = records.read(folder.path)
        if facts is None or facts.about.outcome != run.outcome:
            facts = collect(find_sources(folder), about(run, folder))
        linked = (folder.path / records.PAGE).is_file()
        rows.append(make_row(facts, f"{run.id}/{records.PAGE}" if linked else None))
    return Path(arguments.workspace).absolute() / "runs" / f"index-{model}.html", model, rows


def _rows_of_store(arguments: argparse.Namespace) -> "tuple[Path, str, list[Row]]":
    from report import records
    from report.index import make_row

    root, model = _records(arguments)

    def link(folder: Any, run: str) -> str | None:
        here = folder / records.PAGE if isinstance(folder, Path) else _brought(arguments, model, run)
        return here.absolute().as_uri() if here.is_file() else None

    rows = [make_row(facts, link(folder, facts.about.run)) for folder, facts in records.read_all(root)]
    return _brought(arguments, model, "index"), model, rows
