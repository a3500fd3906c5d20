"""What somebody on call has to know: a rule a function, of the records of runs and of what is in production.

A rule yields its troubles by name: None for what is in order, and nothing where nothing can be said, as of a
model that was not evaluated.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from statistics import median

from journal import parse_time
from locations import Location
from pipeline.alert_settings import AlertSettings
from records.outcome import Outcome
from records.run import Problem
from release.releases import Release
from report.facts import Facts
from report.words import percent
from runners.shared.progress_text import duration

RUN = "run"
COMPARED = 20  # so many runs before the last
# Of fewer runs or spans there is no median; fewer seconds or examples may be chance.
_FEWEST, _LEAST_SECONDS, _LEAST_EXAMPLES = 3, 30.0, 5


@dataclass(frozen=True)
class Trouble:
    """One trouble, in a person's words."""

    what: str  # a sentence
    why: tuple[str, ...] = ()  # a sentence each
    do: str = ""  # beside looking at the report
    same: str = ""  # told again under its name only where this differs
    number: int = 0  # of the run that it was found after, as `Course.number` has it


Found = Iterator[tuple[str, Trouble | None]]


@dataclass(frozen=True)
class Situation:
    """What the rules look at, and what a message says beside the troubles."""

    model: str
    history: Sequence[Facts]  # the runs that have ended, oldest first
    release: Release | None  # in production
    place: str  # the options of `edgeline` that name model, and workspace or store
    folders: tuple[Path, ...]  # whose disks must not be full
    state: Location  # the file of what has been told
    report: str  # the page of the last run


def find(situation: Situation, settings: AlertSettings, now: datetime) -> dict[str, Trouble | None]:
    """What every rule says."""
    found = [_releases(situation, settings, now), _disks(situation, settings.min_free_gb)]
    if situation.history:
        last, before = situation.history[-1], situation.history[-1 - COMPARED : -1]
        found += [_end(last, situation.release), _degraded(last, situation.place, settings.max_drop)]
        found += [
            _quarantine(last, before, settings.max_quarantine_rise),
            _slow(last, before, settings.slow_factor),
        ]
    return dict(chain(*found))


def _end(last: Facts, release: Release | None) -> Found:
    """A run that somebody asked to end says nothing of how the next will."""
    about, problem = last.about, last.about.problem or Problem("")
    if about.outcome in ("pushed", "unchanged"):
        yield RUN, None
    elif about.outcome != "interrupted":
        stays = f"version {release.version} stays in production" if release else "nothing was in production"
        reasons = about.reasons or (problem.found,)
        # The numbers of a gate differ each week, what it is about does not.
        failed = [
            (gate.gate, gate.slices, gate.features, gate.spans) for gate in last.gates if not gate.passed
        ]
        same = failed if any(each[1:] != ((), (), ()) for each in failed) else reasons
        what = Outcome(about.outcome).headline(about.model, None, stays)
        why = tuple(filter(None, (*reasons, problem.why)))
        yield RUN, Trouble(what, why, problem.do, same=f"{about.outcome} {same}")


def _degraded(last: Facts, place: str, most: float) -> Found:
    if last.about.outcome != "pushed" or last.evaluation is None:
        return
    why = tuple(
        f"{'Accuracy' if item.kind == 'overall' else f'Recall of {item.name}'} {item.accuracy:.3f},"
        f" of production {item.before:.3f}, on {item.examples} examples."
        for item in (*last.evaluation.of("overall"), *last.evaluation.of("class"))
        if item.accuracy is not None and item.before is not None
        if (drop := item.before - item.accuracy) > most and drop * item.examples >= _LEAST_EXAMPLES
    )
    what = f"Version {last.about.version} was pushed, and is worse than what was in production before."
    do = f'edgeline rollback --reason "WHY" {place}'
    yield "degraded", Trouble(what, why, do, same=str(last.about.version)) if why else None


def _quarantine(last: Facts, before: Sequence[Facts], most: float) -> Found:
    """The newest span against the spans before it, as this run and those before it counted them."""
    spans = [span for facts in (*before, last) if facts.data for span in facts.data.spans if span.rows]
    newest = spans[-1] if spans and last.data and spans[-1] in last.data.spans else None
    shares = {span.name: span.quarantined / span.rows for span in spans}
    if newest is None or len(shares) <= _FEWEST:
        return
    share = shares.pop(newest.name)
    rise = share - (usual := median(shares.values()))
    what = f"{percent(share)} of {newest.name} is in quarantine, of the spans before it {percent(usual)}."
    why = tuple(f"{count} {reason}." for reason, count in newest.rejected.items())
    high = rise > most and rise * newest.rows >= _LEAST_EXAMPLES
    yield "quarantine", Trouble(what, why, same=newest.name) if high else None


def _slow(last: Facts, before: Sequence[Facts], factor: float) -> Found:
    """A step that ran, against the runs in which it did too; one from the cache says nothing."""
    ran = [
        (s.name, s.seconds) for facts in before for s in facts.about.steps if s.state == "done" and s.seconds
    ]
    for step in last.about.steps:
        took = [seconds for name, seconds in ran if name == step.name]
        if step.state == "done" and step.seconds is not None and len(took) >= _FEWEST:
            usual = median(took)
            slow = step.seconds >= factor * usual and step.seconds - usual >= _LEAST_SECONDS
            what = f"{step.name} took {duration(step.seconds)}, in {len(took)} runs before {duration(usual)}."
            yield f"slow {step.name}", Trouble(what) if slow else None


def _releases(situation: Situation, settings: AlertSettings, now: datetime) -> Found:
    """How old what phones run is; before the first release, how long runs have pushed nothing."""
    manifest = situation.release.manifest if situation.release else None
    since = (
        manifest.created if manifest else next((facts.about.started_at for facts in situation.history), "")
    )
    with suppress(ValueError):
        age = now - parse_time(since)
        stale = Trouble(
            f"{situation.model}: nothing was pushed for {age.days} days.",
            do="Is there new data, and does the timer still start runs?",
            same=since,
        )
        yield "stale", stale if age > timedelta(days=settings.stale_days) else None
    if manifest:
        left = parse_time(manifest.expires) - now
        word = "expires" if left > timedelta() else "expired"
        what = f"Version {manifest.version}, in production, {word} at {manifest.expires}."
        why = ("From then on phones should no longer trust it; a new push is what helps.",)
        soon = left <= timedelta(days=settings.expiry_days)
        yield "expiry", Trouble(what, why, same=f"{manifest.version} {word}") if soon else None


def _disks(situation: Situation, least_gb: float) -> Found:
    folders = (folder for folder in situation.folders if folder.is_dir())
    for free, folder in sorted((shutil.disk_usage(each).free / 1e9, each) for each in folders)[:1]:
        what = f"{free:.1f} GB are free on the disk of {folder}."
        do = f"edgeline gc --keep 8 --dry-run {situation.place}"
        yield "disk", Trouble(what, do=do) if free < least_gb else None
