"""`edgeline step`: one step of a past run again."""

from pathlib import Path

import click

from edgeline.cli.commands import Command
from edgeline.cli.options import EXIT_CODES, as_json, gather, overrides, workspace
from runners.local.one_step import StepOptions
from runners.shared.end_signals import handle_end_signals

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
@gather("wanted", StepOptions, _step, _run, overrides, _out, workspace, as_json)
def step(wanted: StepOptions) -> int:
    """Runs one step of a past run again, with other settings; records nothing."""
    from runners.local.one_step import print_step

    with handle_end_signals():
        return print_step(wanted)
