"""`edgeline keys new`: the key pair that releases are signed and checked with."""

import shlex
from pathlib import Path

import click

from edgeline.cli.commands import Group
from edgeline.cli.stdout import say
from edgeline.release import signing


@click.group(cls=Group, no_args_is_help=False, subcommand_metavar="ACTION ...")
def keys() -> None:
    """Makes and shows the keys that releases are signed and checked with."""


@keys.command()
@click.option("--out", metavar="DIR", help="folder of the keys (edgeline/ in this user's folder of settings)")
def new(out: str | None) -> int:
    """Makes a key pair; never replaces one."""
    folder = Path(out or click.get_app_dir("edgeline")).absolute()
    say(f"Public key {signing.make_pair(folder)}")
    private, public = (shlex.quote(str(folder / name)) for name in (signing.PRIVATE, signing.PUBLIC))
    say(f"  {public}: goes into the app, and to everyone who verifies releases.")
    say(f"  {private}: signs releases. Keep a copy offline; whoever has it can release in your name.")
    say(f"Next: `edgeline run --set push.key={private}`, then `edgeline verify --key {public}`")
    return 0
