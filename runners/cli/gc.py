"""`edgeline gc`: removes what past runs left, and says what that frees."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import click

from errors import UsageError
from release import store
from runners.cli import options
from runners.cli.commands import Command
from runners.cli.options import Place
from runners.cli.releases import settle
from runners.local import gc as local
from runners.local.lock import hold
from runners.shared.runs import read_runs
from runners.shared.stdout import print_json, say

_keep = click.option(
    "--keep",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="how many runs and releases of each model stay",
)
_dry_run = click.option("--dry-run", is_flag=True, help="say what would go, and remove nothing")


@click.command(
    cls=Command,
    epilog="The release in production stays, and the one that a rollback goes to; so do the run that pushed"
    " last, and what the next run would take from the cache.",
)
@_keep
@options.all_models_of
@_dry_run
@options.as_json
def gc(keep: int, place: Place, dry_run: bool, as_json: bool) -> int:
    """Removes old releases, run folders and artifacts; never what is in use."""
    _, root, _ = settle(place)
    known = {run.workload for run in read_runs(place.workspace)}
    models = (place.workload,) if place.workload else sorted(known) or store.models(root)
    if not place.workspace.is_dir() and place.store is None:
        raise UsageError(
            f"There is no workspace {place.workspace}.",
            "Nothing has been run there.",
            "Name another one with --workspace DIR, or where releases lie with --store DIR_OR_URL.",
        )
    with hold(place.workspace) if place.workspace.is_dir() else nullcontext():
        waste = local.collect(place.workspace.absolute(), keep, place.workload, dry_run)
        # Last: a change in the store needs some room, which is there now on a disk that was full.
        releases = {model: store.collect(root, model, keep, dry_run) for model in models}
    parts: dict[str, Mapping[Any, int]] = {
        "artifacts": waste.artifacts,
        "runs": waste.runs,
        "leftovers": waste.leftovers,
        **{f"releases of {model}": sizes for model, sizes in releases.items()},
    }
    freed = sum(sum(sizes.values()) for sizes in parts.values())
    if as_json:
        found = {name: {str(item): size for item, size in sizes.items()} for name, sizes in parts.items()}
        print_json({"dry_run": dry_run, "freed_bytes": freed, "rows": waste.rows, **found})
        return 0
    for name, sizes in parts.items():
        listed = f"  {', '.join(map(str, sizes))}" if name.startswith("releases") else ""
        say(f"{name:<20} {len(sizes):>6} {sum(sizes.values()) / 1e6:>10.1f} MB{listed}")
    say(f"{'rows of ML Metadata':<20} {waste.rows:>6}")
    say(f"{'Would free' if dry_run else 'Freed'} {freed / 1e6:.1f} MB.")
    return 0
