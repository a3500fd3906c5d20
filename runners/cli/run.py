"""`edgeline run` and `edgeline plan`: run the DAG on this machine, or say what a run would do."""

import click

from edgeline.cli.commands import Command
from edgeline.cli.options import EXIT_CODES, as_json, gather
from runners.cli.options import RUN
from runners.shared.end_signals import handle_end_signals
from runners.shared.run_options import RunOptions

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


@click.command(cls=Command, epilog=EXIT_CODES)
@gather("wanted", RunOptions, *RUN, _sample, _if_changed, _wait, _as_json)
def run(wanted: RunOptions) -> int:
    """Runs the DAG once: from labelled data to a pushed model, or to the reasons against it."""
    from runners.local import run as local

    with handle_end_signals():
        return local.run(wanted)


@click.command(cls=Command)
@gather("wanted", RunOptions, *RUN, as_json)
def plan(wanted: RunOptions) -> int:
    """Shows which steps a run would take from the cache, which it would run, and why."""
    from runners.local import plan as local

    return local.plan(wanted)
