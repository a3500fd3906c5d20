"""`edgeline schema diff, accept`: compares the last window with the curated schema, and widens that."""

import shlex
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import click
from msgspec import to_builtins

from edgeline.cli import options
from edgeline.cli.commands import Group
from edgeline.cli.stdout import print_json, say
from edgeline.errors import UsageError
from edgeline.journal import get_user
from edgeline.records.ingest import describe_spans
from edgeline.records.run import Run
from edgeline.records.verdict import Difference
from edgeline.report.sources import Sources
from edgeline.report.statistics import find_differences
from edgeline.workspace.place import Place
from edgeline.workspace.runs import find_run


@click.group(cls=Group)
def schema() -> None:
    """Compares a window with the curated schema, and widens the schema."""


@schema.command()
@options.runs_of
@options.as_json
def diff(place: Place, as_json: bool) -> int:
    """Shows how the window of the last run differs from the curated schema."""
    run, differing = _read_differences(place)
    if as_json:
        return print_json(to_builtins(differing))
    spans = f", {describe_spans(run.spans)}" if run.spans else ""
    nothing = "" if differing else " nothing differs from the curated schema."
    say(f"Run {run.id} on {run.data}{spans}:{nothing}")
    for item in differing:
        mark = "!" if item.breaks else " "
        say(f"{mark} {item.feature:<20} schema {item.curated:<24} seen {item.seen}")
    breaking = [item.feature for item in differing if item.breaks]
    if breaking:
        names = shlex.join(dict.fromkeys(breaking))
        say("The schema does not allow the values marked with !. If they are right, run:")
        say(f"  edgeline schema accept {names} --reason R --workload {run.workload}")
    return 0


@schema.command()
@click.argument("features", nargs=-1, required=True, metavar="FEATURE...", help="names, as diff shows them")
@options.runs_of
@click.option("--reason", required=True, metavar="R", help="the reason, for the comment in the schema")
def accept(features: tuple[str, ...], place: Place, reason: str) -> int:
    """Widens the curated schema to accept the last run's window, with a comment."""
    from data.importers.curated_schema import widen_schema
    from data.spans.layout import replace_file
    from pipeline.workloads import find_workload, read_schema

    run, differing = _read_differences(place)
    breaking = {item.feature: item for item in differing if item.breaks}
    if unknown := [name for name in features if name not in breaking]:
        raise UsageError(
            f"Run {run.id} has nothing outside the curated schema in {', '.join(unknown)}.",
            f"Outside it are: {', '.join(breaking) or 'none'}.",
            "Run `edgeline schema diff` to see them.",
        )
    workload = find_workload(run.workload_source)
    path = Path(workload.schema)
    text = path.read_text(encoding="utf-8")
    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    comment = f"Widened {today} by {get_user()} for run {run.id}: {' '.join(reason.split())}"
    for name in features:
        text = widen_schema(text, breaking[name], comment)
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text, encoding="utf-8")
    try:
        read_schema(replace(workload, schema=str(scratch)))
    finally:
        scratch.unlink()
    replace_file(path, text.encode())
    names = ", ".join(features)
    say(f"{path} now accepts {names} as run {run.id} has them. Review the change, and commit it.")
    return 0


def _read_differences(place: Place) -> tuple[Run, tuple[Difference, ...]]:
    _, run = find_run(place.workspace, "latest", place.workload)
    sources = Sources.of(run)
    if sources.schema is None or sources.inferred is None or sources.statistics is None:
        raise UsageError(
            f"Run {run.id} did not reach SchemaGen, or its artifacts are gone.",
            "The schema of its window is not known.",
            "Run again: `edgeline run`.",
        )
    return run, find_differences(sources.schema, sources.inferred, sources.statistics)
