"""The alert rules, one function each, on the records of runs and on the release in production.

A rule yields its troubles by name: None for one that is not there, and nothing if it cannot tell, as for a
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

from edgeline.alerts.settings import AlertSettings
from edgeline.errors import Problem
from edgeline.gates.served import judge_served
from edgeline.gates.settings import ServedBound
from edgeline.journal import parse_time
from edgeline.labels import join_names
from edgeline.records.outcome import Outcome
from edgeline.records.served import PushedVersion, Served
from edgeline.records.verdict import Verdict
from edgeline.release.pointer import Pointer
from edgeline.release.releases import Release
from edgeline.report.changes import find_changed_libraries
from edgeline.report.facts import Facts
from edgeline.report.words import duration, percent
from edgeline.store.locations import Location
from edgeline.workspace.closing import describe_age, summarise

RUN = "run"
COMPARED = 20  # number of runs before the last
# A median needs this many runs or spans; differences of fewer seconds or examples may be chance.
_FEWEST, _LEAST_SECONDS, _LEAST_EXAMPLES = 3, 30.0, 5


@dataclass(frozen=True)
class Trouble:
    """One trouble, described for a person."""

    what: str  # a sentence
    why: tuple[str, ...] = ()  # a sentence each
    do: str = ""  # beside looking at the report
    same: str = ""  # it is sent again under its name only if this differs
    number: int = 0  # of the run that it was found after, as `Run.number` has it


Findings = Iterator[tuple[str, Trouble | None]]


@dataclass(frozen=True)
class Situation:
    """The facts that the rules check, and those that a message gives beside the troubles."""

    model: str
    history: Sequence[Facts]  # the runs that have ended, oldest first
    release: Release | None  # in production
    place: str  # the options of `edgeline` that name model, and workspace or store
    folders: tuple[Path, ...]  # their disks must not be full
    state: Location  # the file of the alerts' state
    report: str  # the page of the last run
    number: int | None = None  # of the run that just found nothing new, and has no record
    begun: str = ""  # the time of the first run
    unreadable: str = ""  # why it is not known what is in production
    pointer: Pointer | None = None  # to the release in production
    refused: Problem | None = None  # why phones refuse the pointer
    served: Served | None = None  # what phones answered, counted since the last run; None for its own count


def find_troubles(situation: Situation, settings: AlertSettings, now: datetime) -> dict[str, Trouble | None]:
    """Applies every rule; returns the troubles by name, None for one that is not there.

    Args:
        situation: Without runs in its history, only releases, disks and the store are checked.
        settings: The bounds of the rules.
        now: The time to which ages and expiries are compared, with its zone.
    """
    findings = [_check_releases(situation, settings, now), _check_disks(situation, settings.min_free_gb)]
    if situation.history:
        last, before = situation.history[-1], situation.history[-1 - COMPARED : -1]
        findings += [
            _check_end(last, situation),
            _check_accuracy(last, situation.place, settings.max_drop),
            _check_quarantine(last, before, settings.max_quarantine_rise),
            _check_durations(last, before, settings.slow_factor),
            _check_libraries(last, before, situation.place),
            _check_served(last, situation),
        ]
    return dict(chain(*findings, _check_store(situation)))


def _identify(gate: Verdict) -> tuple[str | tuple[str, ...], ...]:
    """Returns the gate, and the rules, slices, features and spans for which it failed."""
    codes = tuple(dict.fromkeys(finding.code for finding in gate.blocking if finding.code))
    return gate.gate, codes, gate.slices, gate.features, gate.spans


def _check_end(last: Facts, situation: Situation) -> Findings:
    """Checks how the last run ended; an interrupted run tells nothing about the next."""
    run = last.run
    problem = last.run.error or Problem("")
    if run.outcome in ("pushed", "unchanged"):
        yield RUN, None
    elif run.outcome != "interrupted":
        stays = "production is unchanged" if situation.unreadable else "nothing was in production"
        if situation.release:
            stays = f"version {situation.release.version} stays in production"
        reasons = run.reasons or (problem.found,)
        # A gate's numbers differ each week, but its rules, slices, features and spans identify the trouble.
        failed = [_identify(gate) for gate in last.gates if not gate.passed]
        same = failed if any(any(verdict[1:]) for verdict in failed) else reasons
        what = summarise(run) if run.has_pushed else Outcome(run.outcome).headline(run.workload, None, stays)
        why = tuple(filter(None, (*reasons, problem.why)))
        # The step that says it does not know the workspace.
        command = "edgeline show latest "
        do = problem.do.replace(f"{command}--workload {run.workload}", f"{command}{situation.place}")
        yield RUN, Trouble(what, why, do, same=f"{run.outcome} {same}")


def _check_accuracy(last: Facts, place: str, max_drop: float) -> Findings:
    """Checks a pushed model's accuracy and recalls against those of production before it."""
    if last.run.outcome != "pushed" or last.evaluation is None:
        return
    why = tuple(
        f"{'Accuracy' if item.kind == 'overall' else f'Recall of {item.name}'} {item.accuracy:.3f},"
        f" in production {item.before:.3f}, on {item.examples:,} examples."
        for item in (*last.evaluation.of("overall"), *last.evaluation.of("class"))
        if item.accuracy is not None and item.before is not None
        if (drop := item.before - item.accuracy) > max_drop and drop * item.examples >= _LEAST_EXAMPLES
    )
    what = f"Version {last.run.version} was pushed, but is worse than the release before it."
    do = f'edgeline rollback --reason "WHY" {place}'
    yield "degraded", Trouble(what, why, do, same=str(last.run.version)) if why else None


def _check_quarantine(last: Facts, before: Sequence[Facts], max_rise: float) -> Findings:
    """Compares the newest span with the spans before it, as this run and earlier runs counted them."""
    data = [facts.data for facts in (*before, last) if facts.data]
    spans = [span for span in chain.from_iterable(each.spans for each in data) if span.rows]
    newest = spans[-1] if spans and last.data and spans[-1] in last.data.spans else None
    shares = {span.name: span.quarantined_share for span in spans}
    if newest is None or len(shares) <= _FEWEST:
        return
    share = shares.pop(newest.name)
    rise = share - (usual := median(shares.values()))
    what = f"{percent(share)} of {newest.name} is in quarantine, usually {percent(usual)} of a span."
    why = tuple(f"{count} {reason}." for reason, count in newest.rejected.items())
    is_high = rise > max_rise and rise * newest.rows >= _LEAST_EXAMPLES
    yield "quarantine", Trouble(what, why, same=newest.name) if is_high else None


def _check_durations(last: Facts, before: Sequence[Facts], factor: float) -> Findings:
    """Compares the time of each step that ran with earlier runs in which it ran; skips cached steps."""
    steps = list(chain.from_iterable(facts.run.steps for facts in before))
    ran = [(step.name, step.seconds) for step in steps if step.state == "done" and step.seconds]
    for step in last.run.steps:
        took = [seconds for name, seconds in ran if name == step.name]
        if step.state == "done" and step.seconds is not None and len(took) >= _FEWEST:
            usual = median(took)
            is_slow = step.seconds >= factor * usual and step.seconds - usual >= _LEAST_SECONDS
            usually = f"the median of {len(took)} earlier runs is {duration(usual)}"
            what = f"{step.name} took {duration(step.seconds)}; {usually}."
            yield f"slow {step.name}", Trouble(what) if is_slow else None


def _check_libraries(last: Facts, before: Sequence[Facts], place: str) -> Findings:
    """Compares the libraries of the last run with those of the run before it; some runs name none."""
    earlier = next((facts.run for facts in reversed(before) if facts.run.libraries), None)
    if earlier is None or not last.run.libraries:
        return
    changes = find_changed_libraries(last.run, earlier)
    what = f"Libraries changed since run {earlier.id}: {join_names(changes, 8)}."
    why = ("The same data and settings may give another model.",)
    do = f"edgeline diff {earlier.id} latest {place}"
    yield "libraries", Trouble(what, why, do, same=what) if changes else None


def _check_served(last: Facts, situation: Situation) -> Findings:
    """Judges what phones answered with production by the bounds of the last run, those that only warn too."""
    served, release = situation.served or last.served, situation.release
    bounds = last.run.settings.get("evaluation", {}).get("served", ())
    if release is None or served is None or not bounds:
        return

    answers = served.of(release.version)
    pushed = PushedVersion.of(release.manifest.created, release.manifest.metrics)
    group = last.evaluation.group if last.evaluation else "group"
    parsed = [ServedBound.model_validate(bound) for bound in bounds]
    judged = judge_served(release.version, answers, parsed, pushed, group)
    what = f"Version {release.version}, in production, is worse on phones than evaluation.served allows."
    do = f'Label more of what came back, or go back: edgeline rollback --reason "WHY" {situation.place}'
    if judged.result == "bad":
        yield "served", Trouble(what, judged.sentences, do, same=str(release.version))
    elif judged.result == "good" or answers is None or answers.total.checked is None:
        yield "served", None


def _check_releases(situation: Situation, settings: AlertSettings, now: datetime) -> Findings:
    """Checks the age and expiry of the release in production, or the time that runs have pushed none."""
    if situation.unreadable:
        return
    manifest = situation.release.manifest if situation.release else None
    since = manifest.created if manifest else situation.begun
    with suppress(ValueError):
        age = (now - parse_time(since)).days
        old = describe_age(since, settings.stale_days, now)
        if not manifest:
            old = old and f"{situation.model}: nothing has been pushed for {age} days."
        do = "Check that new data arrives, and that the timer still starts runs."
        yield "stale", Trouble(old, do=do, same=since) if old else None
    if manifest:
        remaining = parse_time(manifest.expires) - now
        word = "expires" if remaining > timedelta() else "expired"
        what = f"Version {manifest.version}, in production, {word} at {manifest.expires}."
        why = ("After that, phones should no longer trust it. Push a new version.",)
        is_soon = remaining <= timedelta(days=settings.expiry_days)
        yield "expiry", Trouble(what, why, same=f"{manifest.version} {word}") if is_soon else None

    do = f"edgeline renew {situation.place}"
    if refused := situation.refused:
        yield (
            "pointer",
            Trouble(refused.found, (refused.why,), f"{refused.do} {situation.place}", same=refused.found),
        )
    elif situation.pointer:
        what = situation.pointer.warn(now)
        why = ("After that, phones refuse it, and get no newer release. Every run renews it.",)
        yield "pointer", Trouble(what, why, do, same=what) if what else None


def _check_store(situation: Situation) -> Findings:
    """Checks whether the release in production can be read."""
    what = f"It is not known which version of {situation.model} is in production."
    yield "unreadable", Trouble(what, (situation.unreadable,)) if situation.unreadable else None


def _check_disks(situation: Situation, min_gb: float) -> Findings:
    """Checks the disk with the least free space."""
    folders = [folder for folder in situation.folders if folder.is_dir()]
    if folders:
        free, folder = min((shutil.disk_usage(folder).free / 1e9, folder) for folder in folders)
        what = f"{free:.1f} GB are free on the disk of {folder}."
        do = f"edgeline gc --keep 8 --dry-run {situation.place}"
        yield "disk", Trouble(what, do=do) if free < min_gb else None
