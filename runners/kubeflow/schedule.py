"""`edgeline kubeflow schedule`: a recurring run on a cluster, one for each workload and experiment.

To replace it, the new one is created first, and the old ones are removed afterwards. If the command is killed
in between, both fire until the next call removes the old one: one run too many. The other order could lose a
week.

Deleting a recurring run would also end a run that it has fired and that is still going on: Kubernetes removes
what a recurring run owns, and the state of the run stays RUNNING. So a recurring run with such a run is only
disabled, and is deleted by a later call, after the run has ended.
"""

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeline.cli.stdout import print_json, say
from edgeline.errors import EdgelineError
from runners.kubeflow.cron import Cron
from runners.kubeflow.target import Target, upload

# The description of our recurring runs begins so; others may have scheduled theirs under the same name.
_MARK = "Made by `edgeline kubeflow schedule`"


def replace(target: Target, cron: Cron, package: Path | None, as_json: bool) -> int:
    """Creates the recurring run in place of earlier ones; returns the exit code.

    Args:
        target: The workload and the experiment identify the recurring run.
        cron: When it fires.
        package: A compiled pipeline; None compiles the DAG with the target's settings.
        as_json: Prints JSON in place of sentences.

    Raises:
        EdgelineError: There is one of the same name that somebody else made, or an earlier one could not be
            removed.
    """
    cluster, name = target.cluster, target.workload.name
    experiment = cluster.ensure_experiment(target.experiment)
    if not all(map(_is_ours, _list_named(target, experiment))):
        raise EdgelineError(
            f"The experiment {target.experiment} already has a recurring run {name!r}, which this"
            " command did not create.",
            "Both would fire, and this command replaces only those that it created.",
            "Delete or rename it, or set another experiment: --set kubeflow.experiment=NAME",
        )
    version = upload(target, package)
    description = f"{_MARK} from version {version.name}. {version.description}"
    identity = cluster.create_schedule(
        version, name, experiment, target.settings.kubeflow, cron=cron.text, description=description
    )
    # The list is read after the new one exists, so it has all that a killed call or another user created.
    ours = filter(_is_ours, _list_named(target, experiment))
    old = [other for other in ours if other.recurring_run_id != identity]
    active = _remove(target, experiment, old)
    # A cron that never fires was refused when it was parsed.
    fires = cron.next(datetime.now(timezone.utc))
    lines = [
        f"Scheduled {name} at '{cron.text}', version {version.name}, in the experiment {target.experiment}.",
        f"Next: {fires:%A %Y-%m-%d %H:%M:%S} UTC (or the time zone of the cluster's scheduler).",
        "One run at a time. A missed run is not repeated: the next one reads all new spans anyway.",
    ]
    if old:
        lines.append(f"It replaces the earlier schedule: {', '.join(_format_trigger(item) for item in old)}")
    more = {"cron": cron.text, "version": version.name, "replaced": len(old), "going_on": active}
    return _print_result(target, "scheduled", identity, [*lines, *_describe_kept(active)], as_json, **more)


def _remove(target: Target, experiment: str, old: Sequence[Any]) -> list[str]:
    """Disables recurring runs, and deletes those without an active run; returns the active runs' ids."""
    if not old:
        return []
    try:
        for item in old:
            target.cluster.stop_schedule(item.recurring_run_id)
        # The runs are listed afterwards, when none of the recurring runs can fire another.
        active = target.cluster.find_fired_runs(experiment)
        for item in old:
            if item.recurring_run_id not in active:
                target.cluster.stop_schedule(item.recurring_run_id, delete=True)
    except EdgelineError as error:
        raise EdgelineError(
            error.found,
            f"{error.why} So an earlier recurring run is still there.",
            "Run the same command again.",
        ) from error
    return [active[item.recurring_run_id] for item in old if item.recurring_run_id in active]


def _describe_kept(active: Sequence[str]) -> list[str]:
    ending = "of the earlier schedule goes on. That schedule is disabled, and the next call removes it."
    return [f"Run {run} {ending}" for run in active]


def show_all(target: Target, as_json: bool) -> int:
    """Prints all recurring runs on the cluster that Edgeline created; returns the exit code."""
    ours = [item for item in target.cluster.list_schedules() if _is_ours(item)]
    names = {item.experiment_id: target.cluster.get_experiment_name(item.experiment_id) for item in ours}
    records = [_describe(item, names[item.experiment_id]) for item in ours]
    if as_json:
        return print_json(records)
    if not ours:
        say(f"Edgeline has created no recurring run on {target.cluster.host}.")
    for record in records:
        line = f"{record['name']:<16} {record['cron']:<20} {record['state']:<9} {record['experiment']:<24}"
        say(f"{line} since {record['created_at']}")
    enabled = [(item.display_name, item.experiment_id) for item in ours if item.status == "ENABLED"]
    for name, experiment in sorted({pair for pair in enabled if enabled.count(pair) > 1}):
        say(f"{name} fires more than once in {names[experiment]}: `--cron` again keeps only one.")
    return 0


def delete(target: Target, as_json: bool) -> int:
    """Removes the recurring run; returns the exit code.

    Raises EdgelineError if there is none, or a run of it is going on.
    """
    ours = _find_schedules(target)
    if active := _remove(target, ours[0].experiment_id, ours):
        raise EdgelineError(
            f"{target.workload.name} no longer fires, but was not deleted: its run {active[0]} is going on.",
            "Kubernetes would end that run together with the recurring run.",
            f"Run the same command again when it has ended: `edgeline kubeflow watch {active[0]}`. Or"
            f" terminate it on its page first: {target.cluster.describe_page(active[0])}",
        )
    line = f"{target.workload.name} is no longer scheduled in the experiment {target.experiment}."
    return _print_result(target, "deleted", ours[0].recurring_run_id, [line], as_json)


def switch(target: Target, enable: bool, as_json: bool) -> int:
    """Enables or disables the recurring run; returns the exit code.

    Args:
        target: The workload and the experiment identify the recurring run.
        enable: True enables the newest one and removes older ones; false disables all of them.
        as_json: Prints JSON in place of sentences.

    Raises:
        EdgelineError: There is none.
    """
    newest, *older = _find_schedules(target)
    name = target.workload.name
    if enable:
        active = _remove(target, newest.experiment_id, older)
        target.cluster.enable_schedule(newest.recurring_run_id)
        lines = [f"{name} fires again: {_format_trigger(newest)}", *_describe_kept(active)]
    else:
        for item in (newest, *older):
            target.cluster.stop_schedule(item.recurring_run_id)
        lines = [f"{name} no longer fires; `edgeline kubeflow schedule --enable` undoes it."]
    return _print_result(target, "enabled" if enable else "disabled", newest.recurring_run_id, lines, as_json)


def _find_schedules(target: Target) -> list[Any]:
    """Returns the recurring runs of the workload, the newest first; raises EdgelineError if there is none."""
    experiment = target.cluster.find_experiment(target.experiment)
    ours = [*filter(_is_ours, _list_named(target, experiment))] if experiment is not None else []
    if not ours:
        problem = "has no recurring run of it" if experiment is not None else "does not exist"
        raise EdgelineError(
            f"{target.workload.name} is not scheduled: the experiment {target.experiment} on"
            f" {target.cluster.host} {problem}.",
            "A recurring run is identified by the workload's name and the experiment.",
            "List all of them with `edgeline kubeflow schedule --list`.",
        )
    return ours


def _list_named(target: Target, experiment: str) -> list[Any]:
    """Returns the recurring runs with the workload's name in an experiment, whoever created them."""
    name = (target.workload.name, experiment)
    schedules = target.cluster.list_schedules()
    return [item for item in schedules if (item.display_name, item.experiment_id) == name]


def _is_ours(schedule: Any) -> bool:
    return str(schedule.description).startswith(_MARK)


def _format_trigger(run: Any) -> str:
    schedule = run.trigger.cron_schedule if run.trigger else None
    return f"'{schedule.cron}'" if schedule else "by an interval"


def _describe(schedule: Any, experiment: str) -> dict[str, Any]:
    return {
        "id": schedule.recurring_run_id,
        "name": schedule.display_name,
        "cron": _format_trigger(schedule).strip("'"),
        "state": "enabled" if schedule.status == "ENABLED" else "disabled",
        "experiment": experiment,
        "created_at": f"{schedule.created_at:%Y-%m-%d %H:%M}" if schedule.created_at else None,
    }


def _print_result(
    target: Target, outcome: str, identity: str, lines: Sequence[str], as_json: bool, **more: Any
) -> int:
    if as_json:
        print_json({"workload": target.workload.name, "outcome": outcome, "recurring_run": identity, **more})
    else:
        for line in lines:
            say(line)
    return 0
