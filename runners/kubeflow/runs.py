"""`edgeline kubeflow submit, watch, retry`: start a run on a cluster, follow it, and resume it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeline.cli.stdout import note, print_json, say
from edgeline.errors import EdgelineError, Problem, UsageError
from edgeline.records import run as record
from edgeline.records.events import StepChanged
from edgeline.records.outcome import Outcome
from edgeline.records.steps import STEPS
from edgeline.report import archive
from edgeline.store.locations import locate
from edgeline.workspace.closing import format_verdict
from runners.kubeflow.outcome import PUSHER, StepLost, conclude
from runners.kubeflow.run_steps import ENDED, Step, order_steps, read_steps, read_workload
from runners.kubeflow.target import Target, upload
from runners.kubeflow.watch import Follower, Patience

PATIENCE = Patience()
# A run in one of these states can go on from the steps that failed.
_RETRYABLE = ENDED - {"SUCCEEDED", "SKIPPED"}


@dataclass(frozen=True)
class Following:
    """The options of following a run to its end."""

    timeout: float | None  # in seconds, after which waiting for its end is given up
    as_json: bool
    wait: bool = True


def submit(target: Target, package: Path | None, following: Following) -> int:
    """Uploads the pipeline and starts a run; returns the exit code.

    Args:
        target: Where it runs; the experiment is made if it is missing.
        package: A compiled pipeline; None compiles the DAG with the target's settings.
        following: Says whether to wait for the end: the exit code is then that of the run.
    """
    version = upload(target, package)
    experiment = target.cluster.ensure_experiment(target.experiment)
    run = target.cluster.start(version, _make_run_name(target), experiment, target.settings.kubeflow)
    if following.wait:
        names = order_steps(target.cluster.get_spec(version.pipeline_id, version.id))
        return _watch(target, run, names, following)
    message = f"Started run {run} of version {version.name}"
    return _print_started(target, run, message, following, pipeline_version=version.name)


def watch(target: Target, run_id: str, following: Following) -> int:
    """Follows a run to its end; returns its exit code.

    Args:
        target: The workload must be that of the run.
        run_id: The id of a run, which may have ended already.
        following: Its `wait` is not read.
    """
    return _watch(target, run_id, _list_steps(target, target.cluster.get_run(run_id)), following)


def retry(target: Target, run_id: str, following: Following) -> int:
    """Resumes a run at the steps that failed; returns the exit code.

    A lost step counts as done and has no outputs: the run cannot go on, and the API does not restart it. Then
    another run with the same pipeline and settings takes its place.

    Args:
        target: The workload must be that of the run, which keeps its own settings.
        run_id: The id of an ended run.
        following: Says whether to wait for the end: the exit code is then that of the run.

    Raises:
        EdgelineError: There is no such run, or it has not failed.
    """
    run = target.cluster.get_run(run_id)
    names = _list_steps(target, run)
    outcome = _conclude(target, run, read_steps(run, names)) if run.state in ENDED else None
    if isinstance(outcome, StepLost):
        run_id = target.cluster.start_again(run, _make_run_name(target))
        message = f"Run {run_id} replaces it, with the same pipeline and settings"
        note(f"{outcome.reasons[0]} Kubeflow Pipelines does not restart a step that counts as done.")
        if following.wait:
            note(f"{message}.")
    elif run.state in _RETRYABLE:
        target.cluster.retry(run.run_id)
        run_id, message = run.run_id, f"Run {run.run_id} goes on"
    else:
        raise EdgelineError(
            f"Run {run.run_id} has not failed: its state is {run.state}.",
            "Only a failed run can be retried.",
            "Start another one with `edgeline kubeflow submit`."
            if run.state in ENDED
            else f"Follow it with `edgeline kubeflow watch {run.run_id}`.",
        )
    if following.wait:
        return _watch(target, run_id, names, following)
    return _print_started(target, run_id, message, following)


def send_alerts_for_last_run(target: Target, store: str) -> None:
    """Sends alerts about the newest ended run if it failed and no step of its own could send them.

    `store` is the URL of the release store. Raises EdgelineError if the cluster or the store does not answer.
    """
    if run_id := target.cluster.find_last_ended(target.workload, target.experiment):
        run = target.cluster.get_run(run_id)
        if run.state != "CANCELED":  # A person canceled it, and needs no alert.
            outcome = _conclude(target, run, read_steps(run, _list_steps(target, run)))
            _report_lost_run(target, run_id, outcome, store)


def _report_lost_run(target: Target, run_id: str, outcome: Outcome, store: str) -> None:
    """Writes the record of a failed run and sends alerts, unless the step that ended the run did."""
    from runners.kubeflow.pod.run_end import record_end, send_alerts_for_end

    root = f"{store}/runs/{target.workload.name}"
    record = archive.read(locate(root) / run_id)
    if outcome.outcome == "failed" and (record is None or record.run.outcome == "running"):
        problem = Problem(" ".join(outcome.reasons), "No step of the run could report it.", outcome.do)
        record_end(run_id, root, outcome, problem)
        if (alerts := target.settings.alerts).channels:
            send_alerts_for_end(run_id, root, alerts.model_dump_json(), outcome, problem)


def _print_started(target: Target, run: str, message: str, following: Following, **more: str) -> int:
    if following.as_json:
        print_json({"run": run, "url": target.cluster.run_url(run), **more})
    else:
        say(f"{message}: {target.cluster.describe_page(run)}")
        say(f"Follow it: edgeline kubeflow watch {run}")
    return 0


def _make_run_name(target: Target) -> str:
    return f"{target.workload.name} {datetime.now(timezone.utc):%G-W%V, %Y-%m-%d %H:%M:%S}"


def _list_steps(target: Target, run: Any) -> list[str]:
    """Returns the names of the steps of a run, from the pipeline that it was started from.

    Raises UsageError if that is the pipeline of another workload.
    """
    reference, spec = run.pipeline_version_reference, run.pipeline_spec or {}
    if reference is not None and reference.pipeline_version_id:
        spec = target.cluster.get_spec(reference.pipeline_id, reference.pipeline_version_id)
    name = read_workload(spec)
    if name not in (None, target.workload.name):
        raise UsageError(
            f"Run {run.run_id} belongs to the workload {name}, not {target.workload.name}.",
            "Its end would be recorded, and alerts sent, as that of another model.",
            "Pass its own workload with --workload.",
        )
    return order_steps(spec)


def _watch(target: Target, run_id: str, names: list[str], following: Following) -> int:
    """Follows a run with the progress of a local one, and prints its outcome; returns its exit code."""
    from rich.console import Console

    from runners.shared.progress import Progress, print_line

    patience = replace(PATIENCE, timeout_s=following.timeout)
    console = Console(stderr=following.as_json, highlight=False)
    cluster = target.cluster
    began = time.monotonic()
    with Progress(console, "waiting for the cluster") as progress:
        progress.say(f"run {run_id}: {target.workload.name} on {cluster.host}", "bold")
        progress.say(cluster.describe_page(run_id))
        follower = Follower(cluster, run_id, progress.handle, patience)
        try:
            run = follower.follow(names)
        except KeyboardInterrupt:
            progress.say(f"The run goes on. {follower.again}", "yellow")
            raise
        steps = read_steps(run, names)
        outcome = _conclude(target, run, steps)
        for step in steps:
            if step.state == "failed":
                state = _find_state(step, outcome)
                progress.handle(StepChanged(record.Step(step.name, state, step.seconds)))
    if (store := target.settings.kubeflow.store) is not None and run.state != "CANCELED":
        try:
            _report_lost_run(target, run_id, outcome, store)
        except (EdgelineError, OSError) as error:
            print_line(console, f"The end of the run was not recorded or alerted: {error}", "yellow")
    for line, style in _format_last_lines(target, run_id, outcome, steps):
        print_line(console, line, style)
    if following.as_json:
        document = {
            "run": run.run_id,
            "url": cluster.run_url(run.run_id),
            "workload": target.workload.name,
            "state": run.state,
            "outcome": outcome.outcome,
            "exit_code": outcome.exit_code,
            "version": outcome.version,
            "reasons": list(outcome.reasons),
            "do": outcome.do,
            "warnings": progress.warnings,
            "watched_seconds": round(time.monotonic() - began, 1),
            "steps": [
                {"name": step.name, "state": _find_state(step, outcome), "seconds": step.seconds}
                for step in steps
            ],
        }
        print_json(document)
    return outcome.exit_code


def _find_state(step: Step, outcome: Outcome) -> Any:
    """Returns the state of a step; to the API, a gate that stopped the run on purpose has failed."""
    info = STEPS.get(step.name)
    stopped_run = step.state == "failed" and info is not None and info.stops_as == outcome.outcome
    return outcome.outcome if stopped_run else step.state


def _conclude(target: Target, run: Any, steps: list[Step]) -> Outcome:
    push = target.settings.kubeflow.push
    return conclude(target.cluster, run.run_id, run.state, steps, target.workload.name, push)


def _format_last_lines(
    target: Target, run_id: str, outcome: Outcome, steps: list[Step]
) -> Iterator[tuple[str, str]]:
    model, push = target.workload.name, target.settings.kubeflow.push
    # Production cannot have changed before the Pusher has begun.
    is_untouched = any(step.name == PUSHER and step.state == "waiting" for step in steps)
    stays = "production was unchanged" if is_untouched or outcome.outcome in ("held", "refused") else ""
    yield from format_verdict(outcome, outcome.headline(model, push, stays))
    if outcome.do:
        yield f"  {outcome.do}", ""
    if outcome.exit_code:
        yield f"Details: {target.cluster.describe_page(run_id)}", ""
