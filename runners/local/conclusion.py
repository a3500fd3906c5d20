"""The outcome of a run, read from the outputs of its steps."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain

from edgeline.errors import EdgelineError, Problem
from edgeline.records.outcome import Outcome
from edgeline.records.run import Run
from edgeline.records.training import SEARCH
from edgeline.records.verdict import PUSH, VERDICT, Push, Verdict, list_reasons
from edgeline.release import store
from edgeline.release.releases import Release
from edgeline.report.sources import Sources
from edgeline.workspace.runs import RunFolder, find_pushed_version

_NO_OUTCOME = Problem(
    "Every step ended, but none recorded whether a model was pushed.",
    "The last step of the DAG should record it.",
    "Read the log of the run.",
)


def _drop_repeats(sentences: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentences))


def conclude(run: Run, folder: RunFolder, problem: Problem | None, warnings: Sequence[str]) -> Run:
    """Returns the record of a run whose worker ended, with outcome, exit code and reasons.

    Args:
        run: The record as it was when the worker started.
        folder: Has the events of the worker, which are added to the record.
        problem: It ended the run before its last step; None if every step ended well.
        warnings: Those that were shown while it ran; the verdicts' own follow them.
    """
    run = folder.add_events(run)
    sources = Sources.of(run)
    verdicts = read_verdicts(sources)
    push = PUSH.find_readable(sources.pushed_model) if sources.pushed_model else None
    search = SEARCH.find_readable(sources.search) if sources.search else None
    version = find_pushed_version(run)

    if problem is None and push is not None:
        outcome, failed = _conclude_push(push, version, verdicts)
    else:
        problem = problem or _NO_OUTCOME
        outcome, failed = _conclude_problem(problem, verdicts)
    assert outcome.outcome != "done"

    release = None if version else find_release(run)
    in_production = release.version if release else None
    # A worker that was killed could not report that its step failed.
    steps = (replace(step, state="failed") if step.state == "running" else step for step in run.steps)
    blamed = _drop_repeats(chain.from_iterable(verdict.spans for verdict in failed))
    return replace(
        run,
        outcome=outcome.outcome,
        exit_code=outcome.exit_code,
        steps=tuple(steps),
        tuned=search.found.values if search else {},
        version=version or in_production,
        has_pushed=version is not None and outcome.outcome in ("failed", "interrupted"),
        reasons=outcome.reasons,
        warnings=_drop_repeats(chain(warnings, *(verdict.warnings for verdict in verdicts))),
        blamed_spans=blamed or (problem.spans if problem else ()),
        error=problem,
    )


def read_verdicts(sources: Sources) -> list[Verdict]:
    """Returns the verdicts on data, model and edge files, as far as there are any."""
    folders = filter(None, (sources.data_verdict, sources.blessing, sources.edge_verdict))
    verdicts = map(VERDICT.find_readable, folders)
    return [verdict for verdict in verdicts if verdict is not None]


def _conclude_push(
    push: Push, version: int | None, verdicts: Iterable[Verdict]
) -> tuple[Outcome, list[Verdict]]:
    """Returns the outcome of a run whose last step recorded it, and the verdicts that did not pass."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    notes = chain.from_iterable(verdict.reasons for verdict in verdicts if verdict.passed)
    return Outcome(push.outcome, version, _drop_repeats([*push.reasons, *notes])), failed


def _conclude_problem(problem: Problem, verdicts: Iterable[Verdict]) -> tuple[Outcome, list[Verdict]]:
    """Returns the outcome of a run that a problem ended, and the verdicts that did, if any."""
    outcome = Outcome.of_problem(problem)
    if outcome.outcome not in ("held", "refused"):
        return outcome, []
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if failed:
        outcome = replace(outcome, reasons=list_reasons(failed))
    return outcome, failed


def find_release(run: Run) -> Release | None:
    """Returns the release in production after a run; None also where the store cannot be read."""
    with suppress(EdgelineError, OSError):
        return store.current(run.push, run.workload)
    return None
