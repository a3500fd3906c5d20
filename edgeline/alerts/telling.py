"""Alerts: each trouble is sent once, and once when it is over. Unsent messages are kept for the next time.

The state is one file, replaced as a whole: in the workspace, or on a cluster beside the records of the runs.
It is written before anything is sent: if the process is killed in between, the next one sends the messages,
at worst a second time.
"""

import logging
import shlex
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeline.alerts import channels
from edgeline.alerts.channels import Message
from edgeline.alerts.settings import AlertSettings, Channel
from edgeline.alerts.troubles import COMPARED, RUN, Situation, Trouble, find_troubles
from edgeline.errors import EdgelineError, Problem
from edgeline.journal import utc_now
from edgeline.project import spell_commands
from edgeline.records.json_file import UNREADABLE, decode, encode
from edgeline.records.run import Run
from edgeline.release import store
from edgeline.release.durable import only_writer
from edgeline.release.verify import foresee_phone
from edgeline.report import archive
from edgeline.report.facts import Facts
from edgeline.store.locations import Location, locate, read_bytes
from edgeline.store.objects import write_bytes
from edgeline.workspace.known_runs import find_written_facts
from edgeline.workspace.owner import find_public_keys
from edgeline.workspace.runs import read_all

_MAX_UNSENT = 20  # of a channel; the oldest are dropped first
_log = logging.getLogger("edgeline.alerts")


@dataclass(frozen=True)
class State:
    """The troubles that were sent and are not over, by name, and the messages that wait to be sent."""

    open: Mapping[str, Trouble] = field(default_factory=dict)
    unsent: Mapping[Channel, list[Message]] = field(default_factory=dict)


def send_new_alerts(
    settings: AlertSettings, look: Callable[[], Situation]
) -> tuple[Mapping[str, Trouble], list[str]]:
    """Sends alerts about new and resolved troubles; returns the open troubles by name, and the failures.

    Failures contain no secrets. Raises nothing, whatever goes wrong.
    """
    try:
        situation = look()
        with ExitStack() as stack:
            with suppress(OSError):  # A disk that cannot be written to may be the trouble to send.
                if isinstance(situation.state, Path):
                    situation.state.parent.mkdir(parents=True, exist_ok=True)
                    lock = situation.state.with_suffix(".lock")
                    stack.enter_context(only_writer(lock, channels.PATIENCE.bound_s))
            return _send_changes(settings, situation)
    except (Exception, KeyboardInterrupt) as error:
        reason = error.found if isinstance(error, EdgelineError) else f"{type(error).__name__}."
        return {}, [f"No alert was sent: {reason}"]


def look_at_workspace(
    workspace: Path, model: str, push: str, not_begun: Problem | None = None, unchanged: bool = False
) -> Situation:
    """Returns the situation of a model: its runs in a workspace, and its releases below `push`.

    Args:
        workspace: It keeps the state of the alerts, too.
        model: The name of the workload, and of the model in the store.
        push: The store, a folder or a URL.
        not_begun: The problem that kept a run from beginning, which has no record; None if there is none.
        unchanged: True after a run that found nothing new, which has no record.
    """
    workspace, records = workspace.absolute(), read_all(workspace)
    runs = [item for item in records if item[1].workload == model and item[1].outcome != "running"]
    history = [find_written_facts(run, folder) or Facts(run) for folder, run in runs[-1 - COMPARED :]]
    page = runs[-1][0].path / archive.PAGE if runs else None
    unrecorded = 1 + max((run.number for _, run in records), default=0)
    if not_begun is not None:
        run = Run(id="", workload=model, number=unrecorded, outcome="failed", error=not_begun)
        history.append(Facts(run))
    return Situation(
        model=model,
        history=history,
        begun=next((run.started_at for _, run in runs), ""),
        **_find_production(push, model, find_public_keys(runs[-1][1] if runs else None, push, workspace)),
        place=f"--workload {model} --workspace {shlex.quote(str(workspace))}",
        folders=tuple(place for place in (workspace, locate(push)) if isinstance(place, Path)),
        state=workspace / "runs" / f"alerts-{model}.json",
        number=unrecorded if unchanged else None,
        report=str(page) if page and page.is_file() and not not_begun else "",
    )


def look_at_store(root: Location, now: Run | None = None) -> Situation:
    """Returns the situation of a model on a cluster, whose records are below `root`, `PUSH/runs/MODEL`.

    `now` is the run that ends, in case its record could not be written.
    """
    records = [facts for _, facts in archive.read_all(root)]
    push = root.parent.parent
    if now is not None:
        number = archive.choose_number(now.id, records)
        others = [f for f in records if f.run.id != now.id]
        own = (f for f in records if (f.run.id, f.run.outcome) == (now.id, now.outcome))
        current = next(own, Facts(now))
        records = [*others, replace(current, run=replace(current.run, number=number))]
    history = [facts for facts in records if facts.run.outcome != "running"]
    keys = find_public_keys(history[-1].run if history else None, str(push), Path())
    return Situation(
        model=root.name,
        history=history,
        begun=next((facts.run.started_at for facts in history), ""),
        **_find_production(str(push), root.name, keys),
        place=f"--workload {root.name} --store {shlex.quote(str(push))}",
        folders=(push,) if isinstance(push, Path) else (),
        state=root / "alerts.json",
        report=str(root / history[-1].run.id / archive.PAGE) if history else "",
    )


def _find_production(push: str, model: str, keys: Sequence[str]) -> dict[str, Any]:
    """Returns the fields of a situation that tell what is in production, and what phones do about it."""
    try:
        release = store.current(push, model)
        outlook = foresee_phone(push, model, keys) if release else None
        if outlook and outlook.reason and outlook.reason != "expired":  # of which there is a rule of its own
            why = "Phones stay with the release that they have, and get no new one."
            do = "edgeline renew" if outlook.reason == "stale" else "edgeline verify"
            return {"release": release, "refused": Problem(outlook.sentence, why, do)}
        return {"release": release, "pointer": outlook and outlook.pointer}
    except (EdgelineError, OSError) as error:
        return {"release": None, "unreadable": getattr(error, "found", None) or str(error)}


def _send_changes(settings: AlertSettings, situation: Situation) -> tuple[Mapping[str, Trouble], list[str]]:
    place = situation.state
    state = State()
    try:
        state = decode(read_bytes(place), State)
    except FileNotFoundError:
        pass
    except UNREADABLE as error:
        _log.warning("%s cannot be read, so earlier alerts are sent again: %s", place, error)

    number = situation.number or (situation.history[-1].run.number if situation.history else 0)
    troubles = find_troubles(situation, settings, datetime.now(timezone.utc))
    new, over, still_open = _compare(state.open, troubles, number)
    messages = [_compose_message(situation, new, over)] if new or over else []
    queues = {name: [*state.unsent.get(name, ()), *messages][-_MAX_UNSENT:] for name in settings.channels}
    warnings = _write_state(place, State(still_open, queues)) if messages else []
    failures = channels.send(settings, {name: queue for name, queue in queues.items() if queue})
    if failures and not warnings:
        warnings = _write_state(place, State(still_open, queues))
    is_kept = not warnings
    for name, failure in failures.items():
        if failure:
            note = " It is kept for the next run." if is_kept and queues[name] else ""
            warnings.append(f"The alert was not sent by {name}: {failure}.{note}")
    return still_open, warnings


def _compare(
    earlier: Mapping[str, Trouble], troubles: Mapping[str, Trouble | None], number: int
) -> tuple[tuple[Trouble, ...], tuple[str, ...], dict[str, Trouble]]:
    """Returns the troubles that are new or differ from before, those that are over, and those open now.

    `number` is that of the last run. A run that could not begin has no record: its trouble stays open
    until a later run has ended, also one that found nothing new.
    """
    still_open = dict(earlier)
    new = list[Trouble]()
    over = list[str]()
    for name, trouble in troubles.items():
        before = earlier.get(name)
        if before is not None and name == RUN and number < before.number:
            continue
        if trouble is not None and (before is None or before.same != trouble.same):
            new.append(trouble)
            still_open[name] = replace(trouble, number=number)
        elif trouble is None and before is not None:
            over.append(still_open.pop(name).what)
    return tuple(new), tuple(over), still_open


def _compose_message(situation: Situation, new: tuple[Trouble, ...], over: tuple[str, ...]) -> Message:
    manifest = situation.release.manifest if situation.release else None
    production = "no release that can be read from here" if situation.unreadable else "nothing"
    if manifest is not None:
        accuracy = manifest.metrics.get("overall", {}).get("all", {}).get("accuracy")
        production = f"version {manifest.version}, pushed {manifest.created}, expires {manifest.expires}"
        production += f", eval accuracy {accuracy:.3f}" if accuracy is not None else ""
    facts = [f"In production: {production}.", f"Details: edgeline report latest {situation.place}"]
    facts += [f"Report: {situation.report}"] if situation.report else []
    troubles = tuple(replace(trouble, do=spell_commands(trouble.do)) for trouble in new)
    return Message(situation.model, name_host(), troubles, over, tuple(map(spell_commands, facts)))


def name_host() -> str:
    """Returns a sentence that says on which host and when a message is written."""
    return f"Written on {socket.gethostname()} at {utc_now()}."


def _write_state(place: Location, state: State) -> list[str]:
    """Replaces the state's file; returns a warning if that fails."""
    try:
        write_bytes(place, encode(state) + b"\n")
    except (EdgelineError, OSError) as error:
        return [f"The alerts could not be recorded, so they are sent again: {getattr(error, 'found', error)}"]
    return []
