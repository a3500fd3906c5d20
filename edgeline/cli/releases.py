"""`edgeline runs, show, rollout, promote, rollback, renew`: runs, releases, production."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import get_args

import click
from msgspec import to_builtins

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import find_terminal_width, name_model, note, print_json, say
from edgeline.errors import EdgelineError, UsageError
from edgeline.labels import format_count
from edgeline.records.outcome import Ending
from edgeline.records.run import Run
from edgeline.release import store
from edgeline.release.layout import PushFolder
from edgeline.release.releases import make_missing_model_error
from edgeline.report.words import duration
from edgeline.store.locations import locate
from edgeline.workspace import closing
from edgeline.workspace.closing import STYLES
from edgeline.workspace.known_runs import describe_none, list_models, resolve_place
from edgeline.workspace.owner import load_keys
from edgeline.workspace.place import Place
from edgeline.workspace.runs import find_push, find_registry, find_run, read_runs

_DAY = click.DateTime(["%Y-%m-%d"])
_reason = click.option("--reason", required=True, metavar="R", help="the reason, for the audit log")


@click.command(cls=Command)
@options.runs_of
@click.option(
    "--outcome",
    "outcomes",
    type=click.Choice(get_args(Ending)),
    multiple=True,
    metavar="OUTCOME",
    help=f"only runs with this outcome: {', '.join(get_args(Ending))}; may be repeated",
)
@click.option(
    "--since", type=_DAY, metavar="DAY", help="only runs that started on this day (UTC, 2026-01-31) or later"
)
@click.option("--until", type=_DAY, metavar="DAY", help="only runs that started on this day or earlier")
@options.as_json
def runs(
    place: Place, outcomes: Sequence[str], since: datetime | None, until: datetime | None, as_json: bool
) -> int:
    """Lists all runs, newest first."""
    first, last = (f"{day:%Y-%m-%d}" if day else "" for day in (since, until))
    if last and first > last:
        raise UsageError(
            f"--since {first} is after --until {last}.", "No run can match both.", "Swap the two days."
        )

    every = read_runs(place.workspace, place.workload)[::-1]
    selected = [
        run
        for run in every
        if run.outcome in (outcomes or (run.outcome,))
        and first <= run.started_at[:10] <= (last or run.started_at[:10])
    ]

    if as_json:
        keys = ("id", "workload", "outcome", "exit_code", "started_at", "seconds", "version", "reasons")
        return print_json([{key: getattr(run, key) for key in keys} for run in selected])

    if not selected:
        say(f"None of {format_count(len(every), 'run')} matches." if every else describe_none(place))
    for run in selected:
        took = duration(run.seconds) if run.seconds is not None else ""
        version = f"version {run.version}" if run.outcome == "pushed" else ""
        reason = run.reasons[0] if run.reasons and run.outcome not in ("pushed", "unchanged") else version
        start = f"{run.id:<18} {run.workload:<12} "
        row = f"{start}{run.outcome:<12} {took:>12}  {reason}".rstrip()
        say(row, STYLES[run.outcome], slice(len(start), len(start) + len(run.outcome)))
    return 0


@click.command(cls=Command)
@click.argument(
    "run_id", default="latest", metavar="[RUN]", help="the id of a run, latest, or production (latest)"
)
@options.runs_of
@options.as_json
def show(run_id: str, place: Place, as_json: bool) -> int:
    """Shows one run: steps, verdicts, reasons."""
    from edgeline.workspace.details import describe_details, read_details

    folder, run = find_run(place.workspace, run_id, place.workload)
    facts = read_details(folder, run)
    if as_json:
        document = to_builtins(facts)
        return print_json({**document.pop("run"), "facts": document})
    width = find_terminal_width()
    say(f"Run {run.id}: {run.workload} from {run.data}, started {run.started_at}")
    say(run.source.sentence)
    if run.resumes:
        say(f"It resumed run {run.resumes}.")
    if run.steps:
        for line in closing.format_times(run, width):
            say(line)
    with name_model(run.workload, list_models(Place(place.workspace, None))):
        for line, style in closing.describe_end(run, folder, facts):
            say(line, style)
    for verdict in facts.gates:
        say(f"Gate {verdict.gate}: {verdict.result.replace('_', ' ')}")
        # Those of a gate that stopped the run are above, where gates may share one.
        if run.outcome in ("held", "refused") and not verdict.passed:
            continue
        for reason in verdict.reasons:
            if reason not in run.reasons:
                say(f"  - {reason}")
    if run.outcome == "pushed" and run.push:
        with suppress(EdgelineError, OSError):  # a store that is away hides no run
            rollout = store.find_rollout(find_push(run, place.workspace), run.workload)
            if rollout and run.version in rollout.versions:
                say(rollout.tried)
    for line in describe_details(facts, width):
        say(line)
    say(f"Files: {folder.path}")
    return 0


@click.command(cls=Command)
@options.releases_of
@click.option("--to", type=int, metavar="V", help="the version to restore (the previous one)")
@options.key
@_reason
def rollback(place: Place, to: int | None, key: str | None, reason: str) -> int:
    """Puts an earlier release back in production, or withdraws a candidate."""
    last, root, model = resolve_place(place)
    rollout = store.find_rollout(root, model)
    release = store.rollback(root, model, reason, to, **load_keys(last, root, place.workspace, key))
    withdrawn = f" on all phones; version {rollout.versions[1]} was withdrawn" if rollout else " again"
    say(f"Version {release.version} of {model} is in production{withdrawn}.")
    _start_mirror(last, root, place)
    return 0


@click.command(cls=Command)
@click.argument("version", type=int, metavar="V", help="the version to try")
@click.option("--percent", type=float, required=True, metavar="P", help="the share of phones, 0.01 to 99.99")
@options.releases_of
@options.key
@_reason
def rollout(version: int, percent: float, place: Place, key: str | None, reason: str) -> int:
    """Lets a share of phones run a given release, until `promote` or `rollback`."""
    last, root, model = resolve_place(place)
    keys = load_keys(last, root, place.workspace, key)
    release = store.rollout(root, model, version, percent, reason, **keys)
    say(f"{percent:g} % of phones run version {release.version} of {model} from now on.")
    _start_mirror(last, root, place)
    return 0


@click.command(cls=Command)
@click.argument("version", type=int, metavar="V", help="the version to put in production")
@options.releases_of
@options.key
@_reason
def promote(version: int, place: Place, key: str | None, reason: str) -> int:
    """Puts a given release in production."""
    last, root, model = resolve_place(place)
    release = store.promote(root, model, version, reason, **load_keys(last, root, place.workspace, key))
    say(f"Version {release.version} of {model} is in production.")
    _start_mirror(last, root, place)
    return 0


@click.command(cls=Command)
@options.releases_of
@options.key
def renew(place: Place, key: str | None) -> int:
    """Signs the pointer to production again, as every run does."""
    last, root, model = resolve_place(place)
    pointer = store.renew(root, model, **load_keys(last, root, place.workspace, key))
    if pointer is None:
        raise make_missing_model_error(PushFolder(locate(root)), model)
    version = pointer.production.version
    say(f"The pointer to version {version} of {model} is valid until {pointer.expires}.")
    return 0


def _start_mirror(last: Run | None, root: str, place: Place) -> None:
    """Starts a process that updates MLflow's aliases; nothing waits for it, since production has changed."""
    registry = find_registry(last, place.workspace)
    # A run that pushed elsewhere says nothing of these releases.
    if last is None or not registry or find_push(last, place.workspace) != root:
        return
    from edgeline.mlflow import updates

    try:
        updates.start(replace(last, registry=registry, push=root), place.workspace)
    except OSError as error:  # Production has changed all the same.
        note(f"The next run or `edgeline ui` updates MLflow: {error.strerror}: {error.filename}.")
    else:
        log = updates.locate_log(place.workspace)
        say(f"MLflow is updated within seconds; if that fails, {log} has the reason.")
