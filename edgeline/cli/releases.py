"""`edgeline status, runs, show, rollout, promote, rollback, renew`: runs, releases, production."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import get_args

import click
from msgspec import to_builtins

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import find_terminal_width, note, print_json, say
from edgeline.errors import EdgelineError, UsageError
from edgeline.labels import format_count
from edgeline.records.outcome import Ending
from edgeline.records.run import Run
from edgeline.release import store
from edgeline.release.layout import Damaged, PushFolder
from edgeline.release.reader import foresee
from edgeline.release.releases import make_missing_model_error
from edgeline.report.facts import ServedSlice
from edgeline.report.sources import Sources
from edgeline.store.locations import locate
from edgeline.workspace import closing
from edgeline.workspace.closing import STYLES, format_duration
from edgeline.workspace.known_runs import Place, resolve_place
from edgeline.workspace.owner import find_public_keys, load_keys
from edgeline.workspace.runs import find_push, find_registry, find_run, read_runs

# The fields of a manifest that `acceptance.list_terms` puts into words.
TERMS = ("expires", "min_app_version", "rollback_epoch")
_DAY = click.DateTime(["%Y-%m-%d"])
_reason = click.option("--reason", required=True, metavar="R", help="the reason, for the audit log")


@click.command(cls=Command)
@options.releases_of
@options.as_json
def status(place: Place, as_json: bool) -> int:
    """Shows what is in production, and how the last run ended."""
    last, root, model = resolve_place(place)
    where = PushFolder(locate(root))
    if place.store and isinstance(where.root, Path) and not where.root.is_dir():
        raise make_missing_model_error(where, model)
    release, rollout, damage = None, store.find_rollout(root, model), None
    try:
        release = store.current(root, model)
    except Damaged as error:
        if error.may_be_intact:
            raise
        damage = error
    chosen = _find_own(last, root, place)
    if chosen and not Sources.of(chosen).quarantine:  # one that never read the data says nothing of phones
        earlier = reversed(read_runs(place.workspace, model))
        chosen = next((run for run in earlier if Sources.of(run).quarantine), None)
    served = closing.find_served(chosen, release.version) if chosen and release else None
    tried = rollout and rollout.candidate
    tried_served = closing.find_served(chosen, tried.version, tried.version) if chosen and tried else None
    promised = last.settings.get("alerts", {}).get("stale_days") if last else None
    old, now = "", datetime.now(timezone.utc)
    outlook = None
    if release or model in store.models(root):
        outlook = foresee(where, model, find_public_keys(last, root, place.workspace), now)
    if release and isinstance(promised, int):
        old = closing.describe_age(release.manifest.created, promised, now)
    if as_json:
        # All keys are always present, so that a reader needs no special case for the first week.
        manifest = release.manifest if release else None
        production = {
            "model": model,
            "version": manifest.version if manifest else None,
            "pushed_at": manifest.created if manifest else None,
            "metrics": manifest.metrics if manifest else None,
            "default_variant": manifest.default_variant if manifest else None,
            **{key: getattr(manifest, key, None) for key in TERMS},
            "signed_by": outlook.key if outlook else None,
            "served": _describe_served(served),
            "older_than_promised": bool(old),
            "pointer_expires": outlook.pointer.expires if outlook and outlook.pointer else None,
            "pointer_problem": outlook.sentence if outlook and outlook.reason else None,
        }
        keys = ("id", "outcome", "reasons", "warnings", "started_at", "seconds")
        last_run = {key: getattr(last, key) if last else None for key in keys}
        candidate = {
            "version": tried.version if tried else None,
            "percent": tried.percent if tried else None,
            **{key: getattr(rollout, key, None) for key in ("when", "who", "reason")},
            "served": _describe_served(tried_served),
        }
        print_json({"production": production, "candidate": candidate, "last_run": last_run})
        return 0
    if damage:
        say(f"{model}: {damage.found} {damage.why} {damage.do}", "bold yellow")
        for line, style in closing.describe_outlook(outlook, now) if outlook else ():
            say(f"  {line}", style)
    elif release is None:
        others = ", ".join(store.models(root))
        say(f"No release of {model} is in production in {root}{f', which has {others}' if others else ''}.")
    else:
        say(f"{model}: version {release.version} is in production, pushed {release.manifest.created}")
        for line in closing.describe_release(release):
            say(f"  {line}")
        if served:
            say(f"  {served.sentence}")
        if old:
            say(f"  {old}", "bold yellow")
        if outlook:
            for line, style in closing.describe_outlook(outlook, now):
                say(f"  {line}", style)
    if rollout:
        say(f"{rollout.tried} Since {rollout.when}, by {rollout.who}: {rollout.reason}")
        if tried_served:
            say(f"  {tried_served.sentence}")
    if last is None:
        say(_describe_none(place))
    else:
        # Another version may have taken the place of that which stayed then.
        if last.outcome != "pushed" and not last.has_pushed:
            last = replace(last, version=release.version if release else None)
        say(f"Last run {last.id}, on {last.data}: {closing.summarise(last)}", STYLES[last.outcome])
        for reason in last.reasons:
            say(f"  - {reason}")
        if last.warnings:
            say("Warnings", "bold yellow")
        for warning in last.warnings:
            say(f"  - {warning}", "yellow")
    return 0


def _describe_none(place: Place) -> str:
    """Returns a sentence on a workspace without a run, or without one of the model that was named."""
    return f"No run{f' of {place.workload}' if place.workload else ''} in {place.workspace} yet."


def _describe_served(served: ServedSlice | None) -> dict[str, object] | None:
    """Returns the counts of a version's answers for JSON."""
    return {"version": served.version, **to_builtins(served.tally)} if served else None


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
        print_json([{key: getattr(run, key) for key in keys} for run in selected])
        return 0
    if not selected:
        say(f"None of {format_count(len(every), 'run')} matches." if every else _describe_none(place))
    for run in selected:
        took = format_duration(run.seconds) if run.seconds is not None else ""
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
        print_json({**document.pop("run"), "facts": document})
        return 0
    width = find_terminal_width()
    say(f"Run {run.id}: {run.workload} from {run.data}, started {run.started_at}")
    if run.resumes:
        say(f"It resumed run {run.resumes}.")
    if run.steps:
        for line in closing.format_times(run, width):
            say(line)
    for line, style in closing.describe_end(run, folder, None):
        if not line.startswith(closing.DETAILS):
            say(line, style)
    for verdict in facts.gates:
        say(f"Gate {verdict.gate}: {verdict.result.replace('_', ' ')}")
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


def _find_own(last: Run | None, root: str, place: Place) -> Run | None:
    """Returns the last run if it pushed to that place: it says nothing of releases in another one."""
    return last if find_push(last, place.workspace) == root else None


def _start_mirror(last: Run | None, root: str, place: Place) -> None:
    """Starts a process that updates MLflow's aliases; nothing waits for it, since production has changed."""
    last, registry = _find_own(last, root, place), find_registry(last, place.workspace)
    if last is not None and registry:
        from edgeline.mlflow import updates

        last = replace(last, registry=registry, push=root)
        log = updates.locate_log(place.workspace)
        try:
            updates.start(last, place.workspace)
        except OSError as error:  # Production has changed all the same.
            note(f"The next run or `edgeline ui` updates MLflow: {error.strerror}: {error.filename}.")
        else:
            say(f"MLflow is updated within seconds; if that fails, {log} has the reason.")
