"""`edgeline kubeflow submit, watch, retry`: start a run on a cluster, follow it, and pick it up again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from errors import EdgelineError
from locations import locate
from records.outcome import Outcome
from records.run import Problem
from records.steps import STEPS
from report import records
from runners.kubeflow.outcome import PUSHER, StepLost, conclude
from runners.kubeflow.steps import ENDED, Step, plan, read_steps
from runners.kubeflow.target import Target, upload
from runners.kubeflow.watch import Follower, Patience
from runners.shared.progress_text import verdict_lines
from runners.shared.stdout import note, print_json, say

PATIENCE = Patience()
# States of a run that can go on from the steps that failed.
_RETRYABLE = ENDED - {"SUCCEEDED", "SKIPPED"}


@dataclass(frozen=True)
class Following:
    """Whether a run is followed to its end, and how that is told."""

    timeout: float | None  # after which waiting for its end is given up, in seconds
    as_json: bool
    wait: bool = True


def submit(where: Target, package: Path | None, following: Following) -> int:
    """Uploads the pipeline and starts a run; returns the exit code."""
    version = upload(where, package)
    experiment = where.cluster.experiment(where.experiment)
    run = where.cluster.start(version, _run_name(where), experiment, where.settings.kubeflow)
    if following.wait:
        return _watch(where, run, plan(where.cluster.spec(version.pipeline_id, version.id)), following)
    begins = f"Started run {run} of version {version.name}"
    return _tell(where, run, begins, following, pipeline_version=version.name)


def watch(where: Target, run_id: str, following: Following) -> int:
    """Follows a run to its end; returns its exit code."""
    return _watch(where, run_id, _names(where, where.cluster.run(run_id)), following)


def retry(where: Target, run_id: str, following: Following) -> int:
    """Picks a run up again at the steps that failed; returns the exit code.

    Behind a step that counts as done and left nothing a run cannot go on, and the API starts no such step
    again: another run with the same pipeline and settings takes its place.

    Raises:
        EdgelineError: There is no such run, or nothing of it is to be made again.
    """
    run = where.cluster.run(run_id)
    names = _names(where, run)
    outcome = _conclude(where, run, read_steps(run, names)) if run.state in ENDED else None
    if isinstance(outcome, StepLost):
        again = where.cluster.start_again(run, _run_name(where))
        begins = f"Run {again} takes its place, with the same pipeline and settings"
        note(f"{outcome.reasons[0]} Kubeflow Pipelines starts no step again that counts as done.")
        if following.wait:
            note(f"{begins}.")
    elif run.state in _RETRYABLE:
        where.cluster.retry(run.run_id)
        again, begins = run.run_id, f"Run {run.run_id} goes on"
    else:
        raise EdgelineError(
            f"Run {run.run_id} has not failed: its state is {run.state}.",
            "Only a run that failed can go on from the steps that failed.",
            "Start another one with `edgeline kubeflow submit`."
            if run.state in ENDED
            else f"Follow it with `edgeline kubeflow watch {run.run_id}`.",
        )
    if following.wait:
        return _watch(where, again, names, following)
    return _tell(where, again, begins, following)


def tell_of_last(where: Target, store: str) -> None:
    """Tells of the newest run that has ended, where it failed and no step of its could; `store` has releases.

    Raises:
        EdgelineError: The cluster or the store does not answer.
    """
    if run_id := where.cluster.last_ended(where.workload.name, where.experiment):
        run = where.cluster.run(run_id)
        if run.state != "CANCELED":  # by a person, who knows
            _tell_of_lost(where, run_id, _conclude(where, run, read_steps(run, _names(where, run))), store)


def _tell_of_lost(where: Target, run_id: str, outcome: Outcome, store: str) -> None:
    """Leaves the record of a run that failed, and tells of it, unless the step that ended it did."""
    from runners.kubeflow.pod.record import leave_end, tell_of_end

    root = f"{store}/runs/{where.workload.name}"
    known = records.read(locate(root) / run_id)
    if outcome.outcome == "failed" and (known is None or known.about.outcome == "running"):
        problem = Problem(" ".join(outcome.reasons), "No step of the run could say so.", outcome.do)
        leave_end(run_id, root, outcome, problem)
        if (alerts := where.settings.alerts).channels:
            tell_of_end(run_id, root, alerts.model_dump_json(), outcome, problem)


def _tell(where: Target, run: str, begins: str, following: Following, **more: str) -> int:
    if following.as_json:
        print_json({"run": run, "url": where.cluster.run_url(run), **more})
    else:
        say(f"{begins}: {where.cluster.page_of(run)}")
        say(f"Follow it: edgeline kubeflow watch {run}")
    return 0


def _run_name(where: Target) -> str:
    return f"{where.workload.name} {datetime.now(timezone.utc):%G-W%V, %Y-%m-%d %H:%M:%S}"


def _names(where: Target, run: Any) -> list[str]:
    """The steps of a run, from the pipeline that it was started from."""
    reference = run.pipeline_version_reference
    if reference is not None and reference.pipeline_version_id:
        return plan(where.cluster.spec(reference.pipeline_id, reference.pipeline_version_id))
    return plan(run.pipeline_spec or {})


def _watch(where: Target, run_id: str, names: list[str], following: Following) -> int:
    """Follows a run with the progress of a local one, and says how it ended."""
    from rich.console import Console

    from runners.shared.progress import Progress, print_line

    patience = replace(PATIENCE, timeout_s=following.timeout)
    console = Console(stderr=following.as_json, highlight=False)
    cluster, began = where.cluster, time.monotonic()
    with Progress(console, "waiting for the cluster") as progress:
        progress.say(f"run {run_id}: {where.workload.name} on {cluster.host}", "bold")
        progress.say(cluster.page_of(run_id))
        follower = Follower(cluster, run_id, progress.handle, patience)
        try:
            run = follower.follow(names)
        except KeyboardInterrupt:
            progress.say(f"The run goes on. {follower.again}", "yellow")
            raise
        steps = read_steps(run, names)
        outcome = _conclude(where, run, steps)
        for step in steps:
            if step.state == "failed":
                state = _state(step, outcome)
                progress.handle({"event": "step", "step": step.name, "state": state, "seconds": step.seconds})
    if (store := where.settings.kubeflow.store) is not None and run.state != "CANCELED":
        try:
            _tell_of_lost(where, run_id, outcome, store)
        except (EdgelineError, OSError) as error:
            print_line(console, f"How it ended was neither recorded nor told: {error}", "yellow")
    for line, style in _last_lines(where, run_id, outcome, steps):
        print_line(console, line, style)
    if following.as_json:
        document = {
            "run": run.run_id,
            "url": cluster.run_url(run.run_id),
            "workload": where.workload.name,
            "state": run.state,
            "outcome": outcome.outcome,
            "exit_code": outcome.exit_code,
            "version": outcome.version,
            "reasons": list(outcome.reasons),
            "do": outcome.do,
            "warnings": progress.warnings,
            "watched_seconds": round(time.monotonic() - began, 1),
            "steps": [
                {"name": step.name, "state": _state(step, outcome), "seconds": step.seconds} for step in steps
            ],
        }
        print_json(document)
    return outcome.exit_code


def _state(step: Step, outcome: Outcome) -> str:
    """Returns the state of a step; the API calls a gate failed that stopped the run on purpose."""
    info = STEPS.get(step.name)
    stopped = step.state == "failed" and info is not None and info.stops_as == outcome.outcome
    return outcome.outcome if stopped else step.state


def _conclude(where: Target, run: Any, steps: list[Step]) -> Outcome:
    push = where.settings.kubeflow.push
    return conclude(where.cluster, run.run_id, run.state, steps, where.workload.name, push)


def _last_lines(where: Target, run_id: str, outcome: Outcome, steps: list[Step]) -> Iterator[tuple[str, str]]:
    model, push = where.workload.name, where.settings.kubeflow.push
    # Before the Pusher has begun, nothing can have changed.
    safe = any(step.name == PUSHER and step.state == "waiting" for step in steps)
    stays = "production stays as it was" if safe or outcome.outcome in ("held", "refused") else ""
    yield from verdict_lines(outcome, outcome.headline(model, push, stays))
    if outcome.do:
        yield f"  {outcome.do}", ""
    if outcome.exit_code:
        yield f"Details: {where.cluster.page_of(run_id)}", ""
