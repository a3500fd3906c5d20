"""`edgeline ui`: MLflow's pages of runs and releases."""

import os
import sys

import click

from runners.cli import options
from runners.cli.commands import Command
from runners.cli.options import Place
from runners.cli.releases import settle
from runners.shared.stdout import say


@click.command(cls=Command)
@options.releases_of
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5000, metavar="N", help="0 picks a free one (5000)"
)
def ui(place: Place, port: int) -> int:
    """MLflow's pages of all runs and releases, brought up to date first; Ctrl-C ends them."""
    from pipeline.settings import RegistrySettings
    from runners.local.mirror import mirror
    from runners.shared.registry import ENVIRONMENT

    last, root, model = settle(place)
    uri = (last.registry if last else None) or RegistrySettings().of(place.workspace)
    assert uri is not None
    mirror(uri, place.workspace, model, root)
    say(f"Runs and releases of {model} are in {uri}")
    if uri.startswith("http"):
        return 0  # A server, which has pages of its own.
    sys.stdout.flush()
    os.chdir(place.workspace / "mlflow")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--port", str(port)]
    os.execve(sys.executable, [*command, "--workers", "1"], ENVIRONMENT | os.environ)
