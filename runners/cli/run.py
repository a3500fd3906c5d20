"""`edgeline run`: one run of the DAG on this machine."""

from pathlib import Path

import click

from locations import Location
from runners.cli import options
from runners.cli.commands import Command
from runners.shared.named_settings import NamedSettings


@click.command(cls=Command, epilog=options.EXIT_CODES)
@options.settings
@options.data
@options.workspace
@click.option("--if-changed", is_flag=True, help="end at once when nothing changed")
@click.option("--json", "as_json", is_flag=True, help="the result on stdout as JSON, progress on stderr")
def run(named: NamedSettings, data: Location | None, workspace: Path, if_changed: bool, as_json: bool) -> int:
    """One run of the DAG: from labelled photos to a pushed model, or to why not."""
    from runners.local import run as local

    return local.run(local.RunOptions(named, data, workspace, if_changed, as_json))
