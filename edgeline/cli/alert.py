"""`edgeline alert`: reports trouble between runs, and tests the channels."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeline.cli.commands import Command
from edgeline.cli.stdout import note, say
from edgeline.errors import EdgelineError, UsageError
from edgeline.store.locations import locate
from runners.cli import options
from runners.shared.run_options import NamedSettings

if TYPE_CHECKING:
    from edgeline.records.workload import Workload
    from pipeline.settings import Settings


@click.command(
    cls=Command,
    epilog="With --store and kubeflow.host, it also checks the cluster: a lost pod cannot send an alert.",
)
@options.cluster_settings
@options.workspace
@options.store
@click.option(
    "--test", is_flag=True, help="send a test message through each channel, and print whether it worked"
)
def alert(named: NamedSettings, workspace: Path, store: str | None, test: bool) -> int:
    """Sends alerts about failed runs, old releases and full disks; run it from a timer of your own."""
    from edgeline.alerts.channels import send
    from edgeline.alerts.message import Message
    from edgeline.alerts.telling import look_at_store, tell, written
    from edgeline.workspace.situation import look_at_workspace

    workload, settings = named.load()
    if not settings.alerts.channels:
        raise UsageError(
            "Neither alerts.webhook nor alerts.email nor alerts.command is set.",
            "There is no channel to send alerts through.",
            "Set one in the workload's file, a profile, or here: --set 'alerts.webhook=$EDGELINE_WEBHOOK'.",
        )
    if test:
        message = Message(workload.name, written())
        failures = send(settings.alerts, {channel: [message] for channel in settings.alerts.channels})
        for channel, failure in failures.items():
            say(f"{channel}: {f'not sent: {failure}' if failure else 'sent'}")
        return 1 if any(failures.values()) else 0
    if store is None and not workspace.is_dir():
        why, do = "It has no runs to check.", "Pass another --workspace DIR, or a --store DIR_OR_URL."
        raise UsageError(f"There is no workspace {workspace}.", why, do)
    push = settings.push.root(workspace.absolute())
    look, cluster_warnings = partial(look_at_workspace, workspace, workload.name, push), []
    if store is not None:
        look = partial(look_at_store, locate(store) / "runs" / workload.name)
        if settings.kubeflow.host is not None:
            cluster_warnings = _look_at_cluster(workload, settings, store)
    troubles, warnings = tell(settings.alerts, look)
    warnings += cluster_warnings
    for trouble in troubles.values():
        say(trouble.what)
    for warning in warnings:
        note(warning)
    if not troubles:
        say("No problems found.")
    return 1 if warnings else 0


def _look_at_cluster(workload: "Workload", settings: "Settings", store: str) -> list[str]:
    """Alerts on a run whose pod was lost, so that no step of it could; returns warnings where that failed."""
    from runners.kubeflow.access import connect
    from runners.kubeflow.runs import tell_of_last
    from runners.kubeflow.target import Target

    try:
        tell_of_last(Target(workload, settings, connect(settings.kubeflow, None, os.environ)), store)
    except (EdgelineError, OSError) as error:
        return [f"The outcome of the last run on the cluster is not known: {error}"]
    return []
