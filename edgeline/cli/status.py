"""`edgeline status`: what is in production, what phones do about it, and how the last run ended."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import click
from msgspec import to_builtins

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import name_model, print_json, say
from edgeline.records.run import Run
from edgeline.release import store
from edgeline.release.acceptance import list_terms
from edgeline.release.history import Change, read_history
from edgeline.release.layout import Damaged, PushFolder
from edgeline.release.reader import Outlook
from edgeline.release.releases import Release, make_missing_model_error
from edgeline.release.verify import foresee_phone
from edgeline.report.facts import ServedSlice
from edgeline.report.sources import Sources
from edgeline.store.locations import locate
from edgeline.workspace import closing
from edgeline.workspace.closing import STYLES
from edgeline.workspace.known_runs import describe_none, list_models, resolve_place
from edgeline.workspace.owner import find_public_keys
from edgeline.workspace.place import Place
from edgeline.workspace.runs import RunFolder, find_push, read_runs

# The fields of a manifest that `acceptance.list_terms` puts into words.
TERMS = ("expires", "min_app_version", "rollback_epoch")
_BY_HAND = {"rollback": "Rolled back", "promote": "Promoted"}
_LAST_RUN = ("id", "outcome", "reasons", "warnings", "started_at", "seconds")

Line = tuple[str, str]  # with its style


@dataclass(frozen=True)
class Status:
    """The releases of a model in a place, and its last run."""

    place: Place
    root: str
    model: str
    last: Run | None
    release: Release | None  # in production
    damage: Damaged | None  # that keeps it from being read
    outlook: Outlook | None  # of a phone; None where there is nothing to follow
    rollout: Change | None  # that opened the open canary
    moved: Change | None  # that put the release in production
    served: ServedSlice | None  # what phones answered with that release
    tried: ServedSlice | None  # and with the candidate of the canary
    now: datetime


@click.command(cls=Command)
@options.releases_of
@options.as_json
def status(place: Place, as_json: bool) -> int:
    """Shows what is in production, and how the last run ended."""
    if as_json:
        return print_json(describe_for_programs(read_status(place)))
    models = list_models(place)
    for number, model in enumerate(models or [None]):
        state = read_status(replace(place, workload=model))
        if number:
            say()
        with name_model(state.model, models):
            for line, style in (*list_production(state), *list_canary(state), *list_last_run(state)):
                say(line, style)
    return 0


def read_status(place: Place) -> Status:
    """Reads the status. Raises UsageError for a place that is not there, EdgelineError if it is away."""
    last, root, model = resolve_place(place)
    where = PushFolder(locate(root))
    if place.store and isinstance(where.root, Path) and not where.root.is_dir():
        raise make_missing_model_error(where, model)

    release, damage = None, None
    try:
        release = store.current(root, model)
    except Damaged as error:
        if error.may_be_intact:
            raise
        damage = error

    outlook = None
    if model in store.models(root):
        outlook = foresee_phone(root, model, find_public_keys(last, root, place.workspace))
    history = read_history(where, model)
    moved = next((change for change in history.changes[::-1] if change.moves_production), None)
    served, tried = None, None
    reader = _find_reader(last, root, place.workspace)
    if reader and release:
        served = closing.find_served(reader, release.version)
    if reader and history.rollout and (candidate := history.rollout.candidate):
        tried = closing.find_served(reader, candidate.version, candidate.version)
    now = datetime.now(timezone.utc)
    return Status(
        place, root, model, last, release, damage, outlook, history.rollout, moved, served, tried, now
    )


def _find_reader(last: Run | None, root: str, workspace: Path) -> Run | None:
    """Returns the newest run of this place that read the data: any other says nothing of phones."""
    if last is None or find_push(last, workspace) != root:
        return None
    earlier = [] if Sources.of(last).quarantine else reversed(read_runs(workspace, last.workload))
    return next((run for run in (last, *earlier) if Sources.of(run).quarantine), None)


def _describe_age(status: Status) -> str:
    """Returns a sentence if production is older than the settings of the last run promise; else ""."""
    promised = status.last.settings.get("alerts", {}).get("stale_days") if status.last else None
    if status.release is None or not isinstance(promised, int):
        return ""
    return closing.describe_age(status.release.manifest.created, promised, status.now)


def list_production(status: Status) -> Iterator[Line]:
    """Yields the lines on the release in production, and on what phones do."""
    release, damage = status.release, status.damage
    if damage:
        yield f"{status.model}: {damage.found} {damage.why} {damage.do}", "bold yellow"
    elif release is None:
        others = ", ".join(store.models(status.root))
        also = f", which has {others}" if others else ""
        yield f"No release of {status.model} is in production in {status.root}{also}.", ""
        return
    else:
        yield (
            f"{status.model}: version {release.version} is in production, pushed {release.manifest.created}",
            "",
        )
        if status.moved and status.moved.action in _BY_HAND and status.rollout is None:
            yield f"  {_describe_change(status.moved)}", ""
        for line in closing.describe_release(release):
            yield f"  {line}", ""
        if status.served:
            yield f"  {status.served.sentence}", ""
        if age := _describe_age(status):
            yield f"  {age}", "bold yellow"

    if status.outlook:
        for line, style in closing.describe_outlook(status.outlook, status.now):
            yield f"  {line}", style


def _describe_change(change: Change) -> str:
    """Returns a sentence on who changed production by hand, when and why."""
    since = f" from version {change.from_version}" if change.from_version else ""
    return f"{_BY_HAND[change.action]}{since} by {change.who} at {change.when}: {change.reason}"


def list_canary(status: Status) -> Iterator[Line]:
    """Yields the lines on the open canary."""
    if rollout := status.rollout:
        yield f"{rollout.tried} Since {rollout.when}, by {rollout.who}: {rollout.reason}", ""
        if status.tried:
            yield f"  {status.tried.sentence}", ""


def list_last_run(status: Status) -> Iterator[Line]:
    """Yields the lines on the last run."""
    run = status.last
    if run is None:
        yield describe_none(status.place), ""
        return
    yield f"Last run {run.id}, on {run.data}: {closing.summarise(run)}", STYLES[run.outcome]
    above = list_terms(status.release.manifest) if status.release else []
    if status.outlook:
        above.append(status.outlook.after_push)
    for reason in run.reasons:
        if reason not in above:
            yield f"  - {reason}", ""
    if run.warnings:
        yield "Warnings", "bold yellow"
    for warning in run.warnings:
        yield f"  - {warning}", "yellow"
    if run.settings.get("push", {}).get("require_clean"):
        yield "Only files as they were committed are run: push.require_clean.", ""
    if run.outcome in ("held", "refused"):
        from edgeline.workspace.details import read_details

        yield from closing.format_next_steps(
            read_details(RunFolder(status.place.workspace / "runs" / run.id), run)
        )


def describe_for_programs(status: Status) -> dict[str, object]:
    """Returns all of it for JSON. All keys are always present: the first week is no special case."""
    manifest = status.release.manifest if status.release else None
    outlook, rollout = status.outlook, status.rollout
    candidate = rollout.candidate if rollout else None
    production = {
        "model": status.model,
        "version": getattr(manifest, "version", None),
        "pushed_at": getattr(manifest, "created", None),
        "metrics": getattr(manifest, "metrics", None),
        "default_variant": getattr(manifest, "default_variant", None),
        **{key: getattr(manifest, key, None) for key in TERMS},
        "signed_by": outlook.key if outlook else None,
        "served": _describe_served(status.served),
        "older_than_promised": bool(_describe_age(status)),
        "pointer_expires": outlook.pointer.expires if outlook and outlook.pointer else None,
        "pointer_problem": outlook.sentence if outlook and outlook.reason else None,
    }

    tried = {
        "version": getattr(candidate, "version", None),
        "percent": getattr(candidate, "percent", None),
        **{key: getattr(rollout, key, None) for key in ("when", "who", "reason")},
        "served": _describe_served(status.tried),
    }
    last_run = {key: getattr(status.last, key, None) for key in _LAST_RUN}
    return {"production": production, "candidate": tried, "last_run": last_run}


def _describe_served(served: ServedSlice | None) -> dict[str, object] | None:
    """Returns the counts of a version's answers for JSON."""
    return {"version": served.version, **to_builtins(served.tally)} if served else None
