"""`edgeline kubeflow schedule`: a recurring run on a cluster, one of each workload and experiment.

It is replaced by making the new one first and removing the old ones after. Killed in between, both fire until
the next call removes the old one: a run too many. The other way round a week would be lost.

Deleting a recurring run would end a run that it has fired and that is going on, in the middle of whatever it
does: Kubernetes removes what a recurring run owns, and the run stays RUNNING for good. So one with such a run
is disabled, and stays until a later call finds the run ended.
"""

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from errors import EdgelineError
from runners.kubeflow.cron import Cron
from runners.kubeflow.target import Target, upload
from runners.shared.stdout import print_json, say

# How ours are told from what others scheduled under the same name.
_MARK = "Made by `edgeline kubeflow schedule`"


def replace(where: Target, cron: Cron, package: Path | None, as_json: bool) -> int:
    """Makes the recurring run, instead of those before; returns the exit code."""
    cluster, name = where.cluster, where.workload.name
    experiment = cluster.experiment(where.experiment)
    if not all(_is_ours(each) for each in _named(where, experiment)):
        raise EdgelineError(
            f"The experiment {where.experiment} has a recurring run {name!r} already, which was not made"
            " by this command.",
            "Two of one name would both fire, and this one is not ours to replace.",
            "Delete or rename it, or name another experiment: --set kubeflow.experiment=NAME",
        )
    version = upload(where, package)
    description = f"{_MARK} from version {version.name}. {version.description}"
    made = cluster.schedule(
        version, name, experiment, where.settings.kubeflow, cron=cron.text, description=description
    )
    # Asked after the new one is there: also those that a killed call or somebody else made meanwhile.
    old = [each for each in _ours(where, experiment) if each.recurring_run_id != made]
    going = _remove(where, experiment, old)
    # A cron that never fires was refused when it was read.
    fires = cron.next(datetime.now(timezone.utc))
    lines = [
        f"Scheduled {name} at '{cron.text}', version {version.name}, in the experiment {where.experiment}.",
        f"Next: {fires:%A %Y-%m-%d %H:%M:%S} UTC (or the zone that the scheduler is set to).",
        "One run at a time; what was missed is not caught up on, since ingest reads all new weeks anyway.",
    ]
    if old:
        lines.append(f"It replaces what was scheduled before: {', '.join(_when(each) for each in old)}")
    more = {"cron": cron.text, "version": version.name, "replaced": len(old), "going_on": going}
    return _tell(where, "scheduled", made, [*lines, *_kept(going)], as_json, **more)


def _remove(where: Target, experiment: str, old: Sequence[Any]) -> list[str]:
    """Keeps recurring runs from firing, and deletes those without a run; returns the runs of the others."""
    if not old:
        return []
    try:
        for each in old:
            where.cluster.disable_schedule(each.recurring_run_id)
        # Asked after that, so that none of them can fire another.
        fired = where.cluster.fired(experiment)
        for each in old:
            if each.recurring_run_id not in fired:
                where.cluster.delete_schedule(each.recurring_run_id)
    except EdgelineError as error:
        raise EdgelineError(
            error.found,
            f"{error.why} The new recurring run is there, and one before it too.",
            "Run the same command again, which removes the older ones.",
        ) from error
    return [fired[each.recurring_run_id] for each in old if each.recurring_run_id in fired]


def _kept(going: Sequence[str]) -> list[str]:
    of_before = "of the one before goes on. That one is disabled, and the next call removes it."
    return [f"Run {run} {of_before}" for run in going]


def show_all(where: Target, as_json: bool) -> int:
    """Lists all recurring runs on the cluster that were made here; returns the exit code."""
    ours = [each for each in where.cluster.schedules() if _is_ours(each)]
    names = {each.experiment_id: where.cluster.experiment_name(each.experiment_id) for each in ours}
    records = [_record(each, names[each.experiment_id]) for each in ours]
    if as_json:
        print_json(records)
        return 0
    if not ours:
        say(f"No recurring run was made by edgeline on {where.cluster.host}.")
    for record in records:
        line = f"{record['name']:<16} {record['cron']:<20} {record['state']:<9} {record['experiment']:<24}"
        say(f"{line} since {record['created_at']}")
    twice = [(e.display_name, e.experiment_id) for e in ours if e.status == "ENABLED"]
    for name, experiment in sorted({pair for pair in twice if twice.count(pair) > 1}):
        say(f"{name} fires more than once in {names[experiment]}: `--cron` again leaves one of them.")
    return 0


def delete(where: Target, as_json: bool) -> int:
    """Removes the recurring run; returns the exit code.

    Raises:
        EdgelineError: There is none, or a run of it is going on.
    """
    ours = _found(where)
    if going := _remove(where, ours[0].experiment_id, ours):
        raise EdgelineError(
            f"{where.workload.name} does not fire any more; it is not deleted, since its run {going[0]} is"
            " going on.",
            "Kubernetes would end that run along with the recurring run, wherever it is.",
            f"Run the same command again when it has ended: `edgeline kubeflow watch {going[0]}`. Or"
            f" terminate it on its page first: {where.cluster.page_of(going[0])}",
        )
    gone = f"{where.workload.name} is no longer scheduled in the experiment {where.experiment}."
    return _tell(where, "deleted", ours[0].recurring_run_id, [gone], as_json)


def switch(where: Target, enable: bool, as_json: bool) -> int:
    """Lets the recurring run fire, or keeps it from that; returns the exit code."""
    newest, *older = _found(where)
    name = where.workload.name
    if enable:
        going = _remove(where, newest.experiment_id, older)
        where.cluster.enable_schedule(newest.recurring_run_id)
        lines = [f"{name} fires again: {_when(newest)}", *_kept(going)]
    else:
        for each in (newest, *older):
            where.cluster.disable_schedule(each.recurring_run_id)
        lines = [f"{name} does not fire any more; `edgeline kubeflow schedule --enable` undoes it."]
    return _tell(where, "enabled" if enable else "disabled", newest.recurring_run_id, lines, as_json)


def _found(where: Target) -> list[Any]:
    """What is scheduled of the workload, the newest first; an EdgelineError where nothing is."""
    experiment = where.cluster.find_experiment(where.experiment)
    ours = _ours(where, experiment) if experiment is not None else []
    if not ours:
        no = "has no recurring run of it" if experiment is not None else "does not exist"
        raise EdgelineError(
            f"{where.workload.name} is not scheduled: the experiment {where.experiment} on"
            f" {where.cluster.host} {no}.",
            "A recurring run is known by the workload's name and its experiment.",
            "See all of them with `edgeline kubeflow schedule --list`.",
        )
    return ours


def _ours(where: Target, experiment: str) -> list[Any]:
    return [each for each in _named(where, experiment) if _is_ours(each)]


def _named(where: Target, experiment: str) -> list[Any]:
    """What is scheduled under the workload's name in an experiment, whoever made it."""
    name = (where.workload.name, experiment)
    return [each for each in where.cluster.schedules() if (each.display_name, each.experiment_id) == name]


def _is_ours(each: Any) -> bool:
    return str(each.description).startswith(_MARK)


def _when(each: Any) -> str:
    schedule = each.trigger.cron_schedule if each.trigger else None
    return f"'{schedule.cron}'" if schedule else "by an interval"


def _record(each: Any, experiment: str) -> dict[str, Any]:
    return {
        "id": each.recurring_run_id,
        "name": each.display_name,
        "cron": _when(each).strip("'"),
        "state": "enabled" if each.status == "ENABLED" else "disabled",
        "experiment": experiment,
        "created_at": f"{each.created_at:%Y-%m-%d %H:%M}" if each.created_at else None,
    }


def _tell(where: Target, what: str, identity: str, lines: Sequence[str], as_json: bool, **more: Any) -> int:
    if as_json:
        print_json({"workload": where.workload.name, "outcome": what, "recurring_run": identity, **more})
    else:
        say("\n".join(lines))
    return 0
