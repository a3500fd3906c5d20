"""`edgeline gc`: removes what past runs left, and reports the freed space."""

from contextlib import nullcontext
from dataclasses import replace

import click

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import print_json, say
from edgeline.workspace.known_runs import resolve_known_place
from edgeline.workspace.owner import load_keys
from edgeline.workspace.place import Place
from edgeline.workspace.runs import read_runs
from runners.local.gc import collect_garbage
from runners.local.lock import hold

_keep = click.option(
    "--keep",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="number of runs and releases of each model to keep",
)
_dry_run = click.option("--dry-run", is_flag=True, help="print what would be removed, and remove nothing")


@click.command(
    cls=Command,
    epilog="It keeps the release in production and the one that a rollback restores, the run that pushed"
    " last, and what the next run would take from the cache. MLflow keeps the metrics of all runs.",
)
@_keep
@options.all_models_of
@options.key
@_dry_run
@options.as_json
def gc(keep: int, place: Place, key: str | None, dry_run: bool, as_json: bool) -> int:
    """Removes old releases, run folders, artifacts and records; never what is in use."""
    with hold(place.workspace) if place.workspace.is_dir() else nullcontext():
        newest = place.workload or next((run.workload for run in read_runs(place.workspace)[::-1]), None)
        known = replace(place, workload=newest)
        last, root, _ = resolve_known_place(known, "There is nothing to remove.")
        keys = load_keys(last, root, place.workspace, key)
        waste = collect_garbage(place.workspace.absolute(), root, keep, place.workload, dry_run, keys=keys)

    if as_json:
        sizes_by_part = {
            name: {str(item): size for item, size in sizes.items()} for name, sizes in waste.parts.items()
        }
        return print_json(
            {"dry_run": dry_run, "freed_bytes": waste.size, "rows": waste.rows, **sizes_by_part}
        )

    for name, sizes in waste.parts.items():
        listed = f"  {', '.join(map(str, sizes))}" if name.startswith("releases") else ""
        say(f"{name:<20} {len(sizes):>6} {sum(sizes.values()) / 1e6:>10.1f} MB{listed}")
    say(f"{'rows of ML Metadata':<20} {waste.rows:>6}")
    say(f"{'Would free' if dry_run else 'Freed'} {waste.size / 1e6:.1f} MB.")
    return 0
