"""How a run ended: its outcome, read from what the steps put out, and the last lines that a person sees."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from errors import EdgelineError
from records.push import PUSH
from records.run import Outcome, Problem, Run
from records.verdict import VERDICT, Verdict
from release import store
from release.releases import Release
from runners.local import artifact_records
from runners.local.catch_up import span_lines
from runners.shared.progress_text import duration
from runners.shared.release_text import release_lines
from runners.shared.runs import OUTCOME_OF_ERROR, RunFolder

DETAILS = "Details: "
_SHOW = "edgeline show latest"
_NEXT = {"pushed": "edgeline status", "unchanged": "edgeline status"}


@dataclass(frozen=True)
class Findings:
    """What the output artifacts of a run say.

    Attributes:
        outcome: The Pusher's `pushed`, `unchanged` or `held`; None where no Pusher ran.
        version: That was pushed; None where none was.
        failed: Reasons of each verdict that is a fail.
        notes: Reasons of the Pusher, and of each verdict that is no fail.
        warnings: Of all verdicts.
        spans: That the failed verdicts blame.
    """

    outcome: Outcome | None
    version: int | None
    failed: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    spans: tuple[str, ...]


def read_findings(folder: RunFolder) -> Findings:
    """Reads verdicts and the Pusher's outcome from the artifacts that a run recorded."""
    outcome: Outcome | None = None
    version: int | None = None
    spans: list[str] = []
    failed: list[str] = []
    notes: list[str] = []
    warnings: list[str] = []
    for verdict in read_verdicts(folder):
        if verdict.passed:
            notes += verdict.reasons
        else:
            failed += verdict.reasons
            spans += verdict.spans
        warnings += verdict.warnings
    for record in artifact_records.read(folder.artifacts):
        if record.properties.get("outcome") in ("pushed", "unchanged", "held"):
            outcome = record.properties["outcome"]
            push = PUSH.find_readable(Path(record.uri))
            version = push.version if push and outcome == "pushed" else None
            notes = [*(push.reasons if push else ()), *notes]
    return Findings(outcome, version, _once(failed), _once(notes), _once(warnings), _once(spans))


def read_verdicts(folder: RunFolder) -> list[Verdict]:
    """The verdicts of a run, in the order of its steps."""
    places = (Path(record.uri) for record in artifact_records.read(folder.artifacts))
    return [found for place in places if (found := VERDICT.find_readable(place)) is not None]


def _once(sentences: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentences))


def conclude(run: Run, folder: RunFolder, error: Mapping[str, Any] | None, warnings: Sequence[str]) -> Run:
    """The record of a run whose worker ended: outcome, exit code, reasons.

    Args:
        run: The record so far.
        folder: Where it lies.
        error: The event that ended it before its last step; None where every step ended well.
        warnings: What was warned of on the way.
    """
    findings = read_findings(folder)
    if error is None and findings.outcome is None:
        error = {
            "exit_code": 1,
            "found": "Every step ended, and none said whether a model was pushed.",
            "why": "The last step of the DAG puts that out.",
            "do": "Read the log of the run.",
        }
    if error is not None:
        outcome = OUTCOME_OF_ERROR.get(error["exit_code"], "failed")
        exit_code = int(error["exit_code"])
        reasons = findings.failed if outcome in ("held", "refused") and findings.failed else (error["found"],)
    else:
        assert findings.outcome is not None
        outcome, exit_code, reasons = findings.outcome, 0, findings.notes
    return replace(
        run,
        outcome=outcome,
        exit_code=exit_code,
        # A worker that died could not say that its step failed.
        steps=tuple(replace(s, state="failed") if s.state == "running" else s for s in folder.read_steps()),
        version=findings.version or _production_version(run),
        reasons=tuple(reasons),
        warnings=_once([*warnings, *findings.warnings]),
        blamed_spans=findings.spans or tuple(error.get("spans", ()) if error is not None else ()),
        details=_SHOW if findings.failed else None,
        error=Problem(error["found"], error["why"], error["do"]) if error is not None else None,
    )


def _production_version(run: Run) -> int | None:
    try:
        release = store.current(run.push, run.workload)
    except EdgelineError:
        return None
    return release.version if release else None


def headline(run: Run) -> str:
    """The outcome of a run in one sentence."""
    stays = f"version {run.version} stays in production" if run.version else "nothing is in production"
    return {
        "running": f"Run {run.id} is running.",
        "pushed": f"Pushed version {run.version} of {run.workload} to {run.push}",
        "unchanged": f"Nothing new to push: {stays}.",
        "held": f"Held back: the model was trained and not pushed; {stays}.",
        "refused": f"Data refused: nothing was trained or pushed; {stays}.",
        "failed": f"Failed: nothing was pushed; {stays}.",
        "interrupted": "Interrupted: the same command goes on from the steps that are done.",
        "killed": "Killed: the same command goes on from the steps that are done.",
    }[run.outcome]


def time_table(run: Run, width: int) -> Iterator[str]:
    """Where the time of a run went, a line a step, in at most `width` columns."""
    total = run.seconds or 0.0
    rows = [("start (imports)", run.start_seconds or 0.0, "")]
    rows += [(step.name, step.seconds or 0.0, step.state) for step in run.steps if step.seconds is not None]
    rest = total - sum(seconds for _, seconds, _ in rows)
    rows += [("between and after", rest, "")] if rest >= 0.05 * total else []
    name_width = min(24, max(8, width - 24))
    yield "Where the time went"
    for name, seconds, state in rows:
        share = f"{100 * seconds / total:4.0f} %" if total else ""
        line = f"  {name[:name_width]:<{name_width}} {duration(seconds):>11} {share:>6}"
        bar = "#" * round(24 * min(1, seconds / total)) if total and width >= 80 else ""
        tail = f"  {'cached' if state == 'cached' else bar}"
        yield (line + tail if len(line + tail) <= width else line).rstrip()
    yield f"  {'in all':<{name_width}} {duration(total):>11}"


def _with_workspace(command: str, workspace: Path) -> str:
    """A command of ours as it has to be typed here: gates do not know which workspace they run in."""
    if (
        not command.startswith(("edgeline show", "edgeline status"))
        or workspace == Path("workspace").absolute()
    ):
        return command
    return f"{command} --workspace {shlex.quote(str(workspace))}"


def way_on(run: Run) -> str | None:
    """How to go on without the span that stopped a run; None where none stands out."""
    if run.outcome not in ("refused", "failed") or len(run.spans) < 2:
        return None
    if len(run.blamed_spans) != 1 or run.blamed_spans[0] not in run.spans:
        return None
    data = shlex.quote(run.data)
    return f"To go on without a week: edgeline data exclude {run.blamed_spans[0]} --reason R --data {data}"


def last_lines(run: Run, folder: RunFolder, release: Release | None) -> Iterator[tuple[str, str]]:
    """What is said when a run has ended, each line with its style: verdict, reasons, what to do next.

    Args:
        run: Its record.
        folder: Where it lies.
        release: What is in production.
    """
    if run.warnings:
        yield "Warnings", "bold yellow"
        yield from ((f"  - {warning}", "yellow") for warning in run.warnings)
    style = {
        "pushed": "bold green",
        "unchanged": "bold green",
        "held": "bold yellow",
        "refused": "bold yellow",
    }
    yield headline(run), style.get(run.outcome, "bold red")
    yield from ((f"  - {reason}", "") for reason in run.reasons)
    if run.outcome == "pushed" and release is not None and release.version == run.version:
        yield from ((f"  {line}", "") for line in release_lines(release))
    # A gate's verdict has a command that shows more instead.
    if run.details is None and run.error is not None:
        yield from ((f"  {part}", "") for part in (run.error.why, run.error.do) if part)
    yield from ((line, "") for line in span_lines(run))
    if (way := way_on(run)) is not None:
        yield way, ""
    if command := run.details or _NEXT.get(run.outcome):
        yield f"{DETAILS}{_with_workspace(command, folder.path.parent.parent)}", ""
    if folder.log.exists() and run.outcome not in ("pushed", "unchanged"):
        yield f"Log: {folder.log}", ""
