"""`edgeline ui`: MLflow's pages of runs and releases."""

import os
import sys

import click

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import say
from edgeline.workspace.known_runs import resolve_known_place
from edgeline.workspace.place import Place
from edgeline.workspace.runs import find_registry, locate_registry
from runners.cli.server import port, serve


@click.command(cls=Command)
@options.releases_of
@port(5000, "5000")
def ui(place: Place, port: int) -> int:
    """Updates MLflow, and serves its pages of all runs and releases."""
    from edgeline.mlflow.registry import ENVIRONMENT
    from edgeline.mlflow.updates import mirror_workspace

    last, root, model = resolve_known_place(place, "It has no runs to show.")
    uri = find_registry(last, place.workspace) or locate_registry(place.workspace)
    page = mirror_workspace(uri, place.workspace, model, root)
    if uri.startswith("http"):
        say(f"Runs and releases of {model}: {uri.rstrip('/')}{page}")
        return 0  # a server, which has its own pages
    say(f"Runs and releases of {model} are in {uri}")
    address = f"http://127.0.0.1:{port}" if port else "the address below, with "
    say(f"Their page: {address}{page}")
    sys.stdout.flush()
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--port", str(port)]
    command += ["--workers", "1"]
    # In its own process group: MLflow forwards signals to its worker, which fails where one arrives twice.
    folder, environment = place.workspace / "mlflow", ENVIRONMENT | os.environ
    return serve("MLflow", command, cwd=folder, env=environment, start_new_session=True)
