"""Telling each trouble once, and once that it is over; what could not be sent is kept for the next time.

State is one file, replaced as a whole: in the workspace, or on a cluster beside the records of the runs. It
is written before anything is sent: a process that is killed in between leaves that to the next one, which at
worst tells it a second time.
"""

import logging
import shlex
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from errors import EdgelineError
from journal import utc_now
from locations import Location, read_bytes
from pipeline.alert_settings import AlertSettings, Channel
from records.json_file import UNREADABLE, decode, encode
from release import store
from release.durable import only_writer
from release.releases import Release
from report import records
from report.facts import About, Facts
from runners.alerts import channels
from runners.alerts.message import Message
from runners.alerts.troubles import RUN, Situation, Trouble, find

_MOST_UNSENT = 20  # of a channel; the oldest are dropped first
_log = logging.getLogger("runners.alerts")


@dataclass(frozen=True)
class State:
    """What has been told and is not over, by the name of the trouble, and what waits to be sent."""

    open: Mapping[str, Trouble] = field(default_factory=dict)
    unsent: Mapping[Channel, list[Message]] = field(default_factory=dict)


def tell(settings: AlertSettings, look: Callable[[], Situation]) -> tuple[Mapping[str, Trouble], list[str]]:
    """Tells what is new and what is over; returns what is open, and what did not work, without secrets.

    Raises nothing, whatever goes wrong.
    """
    try:
        situation = look()
        with ExitStack() as held:
            with suppress(OSError):  # A disk on which nothing can be written is what may have to be told.
                if isinstance(situation.state, Path):
                    situation.state.parent.mkdir(parents=True, exist_ok=True)
                    lock = situation.state.with_suffix(".lock")
                    held.enter_context(only_writer(lock, channels.PATIENCE.bound_s))
            return _tell(settings, situation)
    except (Exception, KeyboardInterrupt) as error:
        said = error.found if isinstance(error, EdgelineError) else f"{type(error).__name__}."
        return {}, [f"Nobody could be told: {said}"]


def look_at_store(root: Location, now: About | None = None) -> Situation:
    """Of runs on a cluster, whose records are below `root`, `PUSH/runs/MODEL`.

    `now` is the run that ends, for where its record could not be left.
    """
    known, push = [facts for _, facts in records.read_all(root)], root.parent.parent
    if now is not None:
        ends = next(
            (f for f in known if (f.about.run, f.about.outcome) == (now.run, now.outcome)), Facts(now)
        )
        ends = replace(ends, about=replace(ends.about, number=records.number_of(now.run, known)))
        known = [*(facts for facts in known if facts.about.run != now.run), ends]
    history = [facts for facts in known if facts.about.outcome != "running"]
    return Situation(
        model=root.name,
        history=history,
        release=in_production(str(push), root.name),
        place=f"--workload {root.name} --store {shlex.quote(str(push))}",
        folders=(push,) if isinstance(push, Path) else (),
        state=root / "alerts.json",
        report=str(root / history[-1].about.run / records.PAGE) if history else "",
    )


def in_production(push: str, model: str) -> Release | None:
    """The release in production, where it can be read."""
    try:
        return store.current(push, model)
    except (EdgelineError, OSError) as error:
        _log.warning("What is in production cannot be read: %s", getattr(error, "found", error))
        return None


def _tell(settings: AlertSettings, situation: Situation) -> tuple[Mapping[str, Trouble], list[str]]:
    place, state = situation.state, State()
    try:
        state = decode(read_bytes(place), State)
    except FileNotFoundError:
        pass
    except UNREADABLE as error:
        _log.warning("%s cannot be read, so what was told is told again: %s", place, error)
    number = situation.history[-1].about.number if situation.history else 0
    found = find(situation, settings, datetime.now(timezone.utc))
    new, over, still = compare(state.open, found, number)
    fresh = [_message(situation, new, over)] if new or over else []
    queues = {name: [*state.unsent.get(name, ()), *fresh][-_MOST_UNSENT:] for name in settings.channels}
    warnings = _write(place, State(still, queues)) if fresh else []
    ended = channels.send(settings, {name: queue for name, queue in queues.items() if queue})
    warnings += _write(place, State(still, queues)) if ended and not warnings else []
    for name, failure in ended.items():
        if failure:
            warnings.append(f"The alert was not sent by {name}: {failure}. It is kept for the next run.")
    return still, warnings


def compare(
    known: Mapping[str, Trouble], found: Mapping[str, Trouble | None], number: int
) -> tuple[tuple[Trouble, ...], tuple[str, ...], dict[str, Trouble]]:
    """What is new or another trouble than before, what is over, and what is open now.

    `number` is that of the last run. One that could not begin has no record: what was told of it
    stays until a later one has ended.
    """
    still, new, over = dict(known), list[Trouble](), list[str]()
    for name, trouble in found.items():
        before = known.get(name)
        if before is not None and name == RUN and number < before.number:
            continue
        if trouble is not None and (before is None or before.same != trouble.same):
            new.append(trouble)
            still[name] = replace(trouble, number=number)
        elif trouble is None and before is not None:
            over.append(still.pop(name).what)
    return tuple(new), tuple(over), still


def _message(situation: Situation, new: tuple[Trouble, ...], over: tuple[str, ...]) -> Message:
    manifest = situation.release.manifest if situation.release else None
    runs = "nothing that can be seen from here"
    if manifest is not None:
        right = manifest.metrics.get("overall", {}).get("all", {}).get("accuracy")
        runs = f"version {manifest.version}, pushed {manifest.created}, expires {manifest.expires}"
        runs += f", eval accuracy {right:.3f}" if right is not None else ""
    facts = [f"In production: {runs}.", f"To look: edgeline report latest {situation.place}"]
    facts += [f"Report: {situation.report}"] if situation.report else []
    return Message(situation.model, written(), new, over, tuple(facts))


def written() -> str:
    """Where and when a message is written."""
    return f"Written on {socket.gethostname()} at {utc_now()}."


def _write(place: Location, state: State) -> list[str]:
    """Replaces the state; what keeps it from that is a warning."""
    try:
        records.write_file(place, encode(state) + b"\n")
    except (EdgelineError, OSError) as error:
        return [f"What was told could not be noted, so it is told again: {getattr(error, 'found', error)}"]
    return []
