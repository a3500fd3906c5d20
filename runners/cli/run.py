"""`edgeline run, plan, step`: run the DAG on this machine, say what a run would do, or run one step again."""

from pathlib import Path

import click

from edgeline.cli.commands import Command
from edgeline.cli.options import EXIT_CODES, as_json, gather, overrides, workspace
from runners.cli.options import RUN
from runners.shared.run_options import RunOptions, StepOptions

_if_changed = click.option(
    "--if-changed", is_flag=True, help="exit at once if nothing changed since the last run"
)
_wait = click.option(
    "--wait", is_flag=True, help="wait for another run of the workspace, for 12 hours at most"
)
_sample = click.option(
    "--sample", is_flag=True, help="without --data, make the sample and train on it, and do not ask before"
)
_as_json = click.option(
    "--json", "as_json", is_flag=True, help="the result on stdout as JSON, progress on stderr"
)
_step = click.argument("step", metavar="STEP")
_run = click.option(
    "--of",
    "run",
    metavar="RUN",
    default="latest",
    help="id of the run, or the beginning of one, production, or latest (latest)",
)
_out = click.option(
    "--out", metavar="DIR", type=Path, help="an empty or new folder for the outputs (./STEP-of-RUN)"
)


@click.command(cls=Command, epilog=EXIT_CODES)
@gather("wanted", RunOptions, *RUN, _sample, _if_changed, _wait, _as_json)
def run(wanted: RunOptions) -> int:
    """Runs the DAG once: from labelled data to a pushed model, or to the reasons against it."""
    from runners.local import run as local

    return local.run(wanted)


@click.command(cls=Command)
@gather("wanted", RunOptions, *RUN, as_json)
def plan(wanted: RunOptions) -> int:
    """Shows which steps a run would take from the cache, which it would run, and why."""
    from runners.local import plan as local

    return local.plan(wanted)


@click.command(cls=Command, epilog=EXIT_CODES)
@gather("wanted", StepOptions, _step, _run, overrides, _out, workspace, as_json)
def step(wanted: StepOptions) -> int:
    """Runs one step of a past run again, with other settings; records nothing."""
    from runners.local.one_step import print_step

    return print_step(wanted)
