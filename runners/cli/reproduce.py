"""`edgeline reproduce V`: prints what makes a release again, or does it and compares the result."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import say
from edgeline.errors import UsageError
from edgeline.labels import join_names
from edgeline.records.ingest import describe_spans
from edgeline.store.locations import Location, locate
from edgeline.workspace.likeness import describe_likeness
from edgeline.workspace.place import Place
from edgeline.workspace.runs import read_runs
from runners.local.recipe import Recipe, read_recipe
from runners.shared import inputs
from runners.shared.run_options import NamedSettings, RunOptions
from runners.shared.source import find_repository, read_source


@click.command(cls=Command, epilog=options.EXIT_CODES)
@click.argument("version", metavar="[V]", type=int, required=False, help="a version (that in production)")
@click.option("--run", "runs", is_flag=True, help="make it here, and compare the result with V")
@click.option(
    "--data", metavar="DIR_OR_URL", type=locate, help="the spans of examples (where the run of V read them)"
)
@click.option(
    "--out", metavar="DIR", type=Path, help="the workspace of the run that makes it again (./MODEL-V-again)"
)
@options.releases_of
def reproduce(version: int | None, runs: bool, data: Location | None, out: Path | None, place: Place) -> int:
    """Prints the commit, settings and spans that make version V again, or runs them."""
    recipe = read_recipe(place, version, data)
    release = recipe.release

    workspace = (out or Path(f"{release.model}-{release.version}-again")).absolute()
    if workspace == place.workspace.absolute():
        raise UsageError(
            f"--out is the workspace {place.workspace}.",
            "What is made again would be pushed beside its releases.",
            "Name another folder with --out DIR.",
        )

    for line in _describe(recipe):
        say(line)
    if runs:
        recipe.check_source(read_source(recipe.workload))
        return _run(recipe, workspace)

    say("To make it again:")
    if recipe.source.commit:
        repository = shlex.quote(str(find_repository(recipe.workload)))
        say(f"  git -C {repository} checkout {recipe.source.commit}")
    say(f"  {recipe.make_command(workspace)}")
    again = f"edgeline reproduce {release.version} --run"
    say(f"`{again}` runs it and compares the result. Neither pushes into {release.root}.")
    return 0


def _describe(recipe: Recipe) -> Iterator[str]:
    manifest = recipe.release.manifest
    yield f"Version {manifest.version} of {manifest.model} comes from run {manifest.run}."
    yield recipe.source.sentence
    libraries = [f"{name} {version}" for name, version in manifest.versions.items()]
    same = "as here"
    if manifest.code.lock_digest != inputs.digest_lock():
        same = "others than here: `make setup` at that commit installs them"
    yield f"Libraries: {join_names(libraries)}; lock files {manifest.code.lock_digest[:12]}, {same}."
    yield f"Seed: {recipe.seed}."
    yield f"Spans: {describe_spans(manifest.data.spans)} of {recipe.data}."
    yield from recipe.describe_changed_spans()


def _run(recipe: Recipe, workspace: Path) -> int:
    """Makes the release again and says how like it the result is; returns the exit code."""
    from runners.local import run as local
    from runners.local.listeners import make_listeners

    overrides = tuple(f"{name}={value}" for name, value in recipe.overrides.items())
    named = NamedSettings(recipe.workload, None, overrides)
    code = local.run(RunOptions(named, recipe.data, workspace), make_listeners())
    *_, made = read_runs(workspace, recipe.release.model)
    lines = list(describe_likeness(recipe.release, recipe.run, made))
    for line in lines:
        say(line)
    return 0 if lines else code
