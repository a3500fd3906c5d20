"""`edgeline alert` of the project, which reads the settings of a workload and also checks the cluster."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeline.cli import options as package
from edgeline.cli.commands import Command
from edgeline.cli.stdout import note
from edgeline.errors import EdgelineError
from edgeline.store.locations import locate
from edgeline.workspace.known_runs import resolve_place
from edgeline.workspace.place import Place
from runners.cli import options
from runners.shared.run_options import NamedSettings

if TYPE_CHECKING:
    from data.settings import DataSettings
    from edgeline.records.run import Run
    from edgeline.records.served import Served
    from edgeline.records.workload import Workload


@click.command(
    cls=Command,
    epilog="With --store and kubeflow.host, it also checks the cluster: a lost pod cannot send an alert.",
)
@options.cluster_settings
@package.workspace
@package.store
@package.test_message
def alert(named: NamedSettings, workspace: Path, store: str | None, test: bool) -> int:
    """Sends alerts about failed runs, old releases and full disks; run it from a timer of your own."""
    from edgeline.cli.alert import send_alerts

    named = named.within(workspace)
    workload, settings = named.load()
    push = settings.push.root(workspace.absolute())
    if store is None and settings.push.destination is None:  # the last run may have set it
        _, push, _ = resolve_place(Place(workspace.absolute(), workload.name))
    further: dict[str, Any] = {"count_served": partial(_count_served, workload, settings.data)}
    if store is not None and settings.kubeflow.host is not None:
        further["look_further"] = partial(_look_at_cluster, named, store)
    return send_alerts(settings.alerts, workload.name, push, workspace, store, test, **further)


def _count_served(workload: "Workload", settings: "DataSettings", last: "Run") -> "Served | None":
    """Counts what phones answered in the data of the last run; None where that is on another machine."""
    from data.spans.served import count_answers

    try:
        data = locate(last.data)
        if not last.data or (isinstance(data, Path) and not data.is_dir()):
            return None
        return count_answers(data, workload, settings)
    except Exception as error:  # A source may raise anything, and the other alerts are sent all the same.
        note(f"What phones answered since run {last.id} was not counted: {error}")
        return None


def _look_at_cluster(named: NamedSettings, store: str) -> list[str]:
    """Alerts on a run whose pod was lost, so that no step of it could; returns warnings where that failed."""
    from runners.kubeflow.runs import send_alerts_for_last_run
    from runners.kubeflow.target import load_target

    try:
        send_alerts_for_last_run(load_target(named, None), store)
    except (EdgelineError, OSError) as error:
        return [f"The outcome of the last run on the cluster is not known: {error}"]
    return []
