"""The end of a run: the lines that tell people of it."""

import shlex
from collections.abc import Iterator
from datetime import datetime

from edgeline.journal import parse_time
from edgeline.labels import format_count
from edgeline.records.outcome import Outcome
from edgeline.records.run import Run
from edgeline.records.served import PUSHED, SERVED
from edgeline.records.training import SEARCH, TUNED
from edgeline.release.acceptance import list_terms
from edgeline.release.reader import Outlook
from edgeline.release.releases import Release
from edgeline.report import words
from edgeline.report.facts import Facts, ServedSlice, list_served
from edgeline.report.next_steps import list_next_steps
from edgeline.report.sources import Sources
from edgeline.report.verdict import find_problem
from edgeline.report.words import setting
from edgeline.workspace.runs import RunFolder

# The style of each outcome on a terminal.
STYLES = {
    **dict.fromkeys(("pushed", "unchanged"), "bold green"),
    **dict.fromkeys(("held", "refused"), "bold yellow"),
    **dict.fromkeys(("failed", "interrupted", "killed"), "bold red"),
    "running": "",
}


def format_verdict(of: Outcome | Run, headline: str) -> Iterator[tuple[str, str]]:
    """Yields the headline of a run and its reasons, each with its style."""
    yield headline, STYLES.get(of.outcome, "bold red")
    yield from ((f"  - {reason}", "") for reason in of.reasons)


def summarise(run: Run) -> str:
    """Returns the outcome of a run as one sentence."""
    if run.outcome == "running":
        return f"Run {run.id} is running."
    if run.has_pushed:
        return f"{run.outcome.capitalize()} after version {run.version} of {run.workload} was pushed."
    return Outcome(run.outcome, run.version).headline(run.workload, run.push, run.production)


def format_times(run: Run, width: int) -> Iterator[str]:
    """Yields a table of the time that each step of a run took, in at most `width` columns."""
    total = run.seconds or 0.0
    timed = [("start (imports)", run.start_seconds, "")]
    timed += [(step.name, step.seconds, step.state) for step in run.steps]
    rows = [(name, seconds, state) for name, seconds, state in timed if seconds is not None]
    rest = total - sum(seconds for _, seconds, _ in rows)
    if rest >= 0.05 * total:
        rows.append(("between and after", rest, ""))
    name_width = min(24, max(8, width - 24))
    yield "Where the time went"
    for name, seconds, state in rows:
        share = f"{100 * seconds / total:4.0f} %" if total else ""
        line = f"  {name[:name_width]:<{name_width}} {words.duration(seconds):>11} {share:>6}"
        bar = "#" * round(24 * min(1, seconds / total)) if total and width >= 80 else ""
        tail = f"  {'cached' if state == 'cached' else bar}"
        yield (line + tail if len(line + tail) <= width else line).rstrip()
    if run.seconds is not None:  # not known of a run that goes on, or was killed
        yield f"  {'in all':<{name_width}} {words.duration(total):>11}"


def format_next_steps(facts: Facts | None) -> Iterator[tuple[str, str]]:
    """Yields what to do about a run, each line with its style; nothing for most runs."""
    steps = list_next_steps(facts) if facts else []
    if steps:
        yield "Next", "bold"
    yield from ((f"  - {step}".replace("\u00a0", " "), "") for step in steps)


def describe_release(release: Release) -> Iterator[str]:
    """Yields overall accuracy, recall by class, default variant and acceptance terms, as far as recorded."""
    for kind in ("overall", "class"):
        for name, values in release.manifest.metrics.get(kind, {}).items():
            if (accuracy := values.get("accuracy")) is not None:
                title = "eval accuracy" if kind == "overall" else f"  {name}"
                count = values.get("example_count")
                yield f"{title} {accuracy:.3f}{f' on {count:.0f} examples' if count is not None else ''}"
    file = release.manifest.default
    cost = f"{words.megabytes(file.size_bytes)}, {words.latency(file)}".replace("\u00a0", " ")
    yield f"phones run {file.name}, {cost} here: {release.default_file}"
    yield from list_terms(release.manifest)


def describe_outlook(outlook: Outlook, now: datetime) -> Iterator[tuple[str, str]]:
    """Yields lines, with their styles, on what phones do now, and who decides that."""
    if outlook.does == "refuses":
        yield outlook.sentence, "bold yellow"
        do = "`edgeline renew`, with the key" if outlook.reason == "stale" else "`edgeline verify`"
        yield f"Phones stay with the release that they have. Look with {do}.", "bold yellow"
        return
    yield outlook.sentence, ""
    if outlook.key is None:
        text = "Nobody signs this store: anyone who can write to it decides what phones run."
        yield f"{text} `edgeline keys new` makes a key.", ""
    if outlook.pointer and (expiry := outlook.pointer.warn(now)):
        yield f"{expiry} `edgeline renew` renews it.", "bold yellow"


def describe_age(created: str, promised: int, now: datetime) -> str:
    """Returns a sentence about a production that is older than promised; else an empty text.

    Args:
        created: The time of the release in ISO 8601; one that cannot be read gives an empty text.
        promised: The largest age in days.
        now: The time to count up to, with a time zone.
    """
    try:
        age = (now - parse_time(created)).days
    except ValueError:
        return ""
    return f"Production is {age} days old; {promised} were promised." if age > promised else ""


def find_served(run: Run, newest: int, oldest: int = 1) -> ServedSlice | None:
    """Returns the answers of the newest version in a range that a run read; None if it read none of these.

    Args:
        run: The run that read the answers of phones.
        newest: At most the newest version that exists: a phone can send any number.
        oldest: The first version of the range.
    """
    sources = Sources.of(run)
    served = SERVED.find_readable(sources.quarantine) if sources.quarantine else None
    pushed = PUSHED.find_readable(sources.evaluation) if sources.evaluation else None
    slices = list_served(served, pushed or {})
    return next((item for item in slices if oldest <= item.version <= newest), None)


def describe_end(
    run: Run, folder: RunFolder, facts: Facts | None, release: Release | None = None
) -> Iterator[tuple[str, str]]:
    """Yields the last lines of an ended run with their styles.

    Args:
        run: The record of the run.
        folder: That of the run.
        facts: Those of its page; None where they cannot be read.
        release: The one that the run pushed, which is described; None for no such line.
    """
    if run.warnings:
        yield "Warnings", "bold yellow"
        yield from ((f"  - {warning}", "yellow") for warning in run.warnings)
    yield from format_verdict(run, summarise(run))
    if run.outcome == "pushed" and release is not None and release.version == run.version:
        yield from ((f"  {line}", "") for line in describe_release(release) if line not in run.reasons)
    if problem := find_problem(facts) if facts else run.error:
        yield from ((f"  {part}", "") for part in (problem.why, problem.do) if part)
    trials = Sources.of(run).search
    if trials is not None and (search := SEARCH.find_readable(trials)) is not None:
        best = ", ".join(f"{name}={setting(value)}" for name, value in search.found.values.items())
        yield f"Best of {format_count(len(search.trials), 'trial')}: {best}", ""
        profile = shlex.quote(str(trials / TUNED))
        yield f"To train with these settings and without a search: --profile {profile}", ""
    yield from ((note, "") for note in run.notes)
    yield from format_next_steps(facts)
    if folder.log.exists() and run.outcome not in ("pushed", "unchanged"):
        yield f"Log: {folder.log}", ""
    if run.outcome == "pushed":
        yield f"Try it: edgeline predict FILE --workload {shlex.quote(run.workload)}", ""
