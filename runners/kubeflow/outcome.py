"""How a run on Kubeflow Pipelines ended: by what was pushed, and not only by its state.

A run can be green and have done nothing: all of its steps came from the cache, or the cluster took a step
that was killed for one that was done. So a run counts as pushed only when its last step says so, which has
looked for the release in the store, and where the store can be read from here, only when it names the run.

Argo before 3.4 takes a container that was ended by a signal for one that ended well. Then the step is green
and lost: ML Metadata says RUNNING of it for good, and the next step fails in its driver, which finds none of
its outputs. The API starts no step again that counts as done.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from errors import EdgelineError
from records.outcome import Outcome, find_in
from records.steps import RELEASE_GATE, STEPS, helped, step_of
from runners.kubeflow.client import Cluster
from runners.kubeflow.logs import MOST_CHARACTERS, Logs, fatal
from runners.kubeflow.pods import Pod, ending, read_pods
from runners.kubeflow.steps import Step

PUSHER = "Pusher"
_OLDER = "or the image is older than this edgeline: build it again, and submit the run with it."
_MISSING = re.compile(
    r'cannot find output (?:artifact|parameter) key "(?P<output>[^"]+)" in producer task "(?P<step>[^"]+)"'
)


@dataclass(frozen=True)
class StepLost(Outcome):
    """The run failed, and a step that has to be made again counts as done, which takes another run."""


@dataclass(frozen=True)
class _Seen:
    """What was seen in the release store: whether it could be read, the run's version, and why not."""

    looked: bool = False
    version: int | None = None
    notes: tuple[str, ...] = ()


def conclude(
    cluster: Cluster, run: str, state: str, steps: Sequence[Step], model: str, push: str | None
) -> Outcome:
    """The outcome of a run, by its id, that has ended in a state of its own.

    `model` is the model's name in the release store, and `push` that store, as `kubeflow.push` names it.
    """
    pods = read_pods(cluster.pods(run))
    logs = Logs(cluster, run, pods)
    seen = _look_into_store(run, model, push)
    if state == "SUCCEEDED":
        return _of_success(run, logs, steps, seen)
    outcome = _of_failure(run, logs, steps, pods)
    if seen.version is None:
        return outcome
    note = f"It had pushed version {seen.version} of {model} to {push} before."
    return replace(outcome, version=seen.version, reasons=(*outcome.reasons, note))


def _of_success(run: str, logs: Logs, steps: Sequence[Step], seen: _Seen) -> Outcome:
    ran = [step.name for step in steps if step.state not in ("cached", "waiting")]
    if idle := [name for name in (PUSHER, RELEASE_GATE) if name not in ran]:
        reasons: tuple[str, ...] = (
            f"Run {run} is green and pushed nothing: {' and '.join(idle)} did not run.",
            "The cluster served it from its cache, or the pipeline is not that of this project.",
        )
        do = "Submit it again with `edgeline kubeflow submit`, which compiles it without caching."
        return Outcome("failed", None, reasons, do)
    if seen.version is not None:
        return Outcome("pushed", seen.version)
    [last] = (step for step in steps if step.name == RELEASE_GATE)
    said = logs.outcome(last)
    if (said is None or said.outcome == "failed") and (lost := _find_lost(steps, logs)):
        return _of_loss(run, lost)
    if said is None or said.outcome == "done":
        unread = f"{RELEASE_GATE} has left no word of it in a log that can be read from here, {_OLDER}"
        reasons = (f"Run {run} is green, and nothing says that a model was pushed.", unread, *seen.notes)
        do = (
            "Look at what is in production with `edgeline status --store URL`, and submit the run again when"
            " it is not this run's."
        )
        return Outcome("failed", None, reasons, do)
    if said.outcome == "pushed" and seen.looked:
        reason = (
            f"{RELEASE_GATE} says that version {said.version} was pushed; the store has none of run {run}."
        )
        return Outcome("failed", None, (reason,), "Look at the store with `edgeline verify --store URL`.")
    if said.outcome == "pushed":
        return replace(said, reasons=seen.notes)
    return replace(said, version=None, do="")


def _of_loss(run: str, lost: str) -> Outcome:
    do = f"`edgeline kubeflow retry {run}` makes it again, in a new run with the same pipeline and settings."
    return StepLost("failed", None, (lost,), do)


def _find_lost(steps: Sequence[Step], logs: Logs) -> str | None:
    """Because of which step a run that has ended pushed nothing, in a sentence; None where there is none."""
    done = {step.name: step for step in steps if step.state == "done"}
    suspects = list(done)
    for step in (step for step in steps if step.state == "failed"):
        for line in logs.of_driver(step):
            if (match := _MISSING.search(line)) and (gone := step_of(match["step"])) in done:
                return _lost_sentence(gone, f"left no {match['output']}")
        if logs.has_pod(step) or logs.of(step):
            # It began, and failed by itself, or for want of a pod that did a part of it.
            suspects = [name for name in done if helped(name) == step.name]
            break
    if not suspects:
        return None
    said = {name: find_in(log, name) for name, step in done.items() if (log := logs.of(step))}
    if not any(said.values()):
        return None  # An image of before says it in no step.
    outcomes = ((name, said[name]) for name in suspects if name in said)
    lost = (name for name, outcome in outcomes if outcome is None or outcome.exit_code)
    return next((_lost_sentence(name, "had not ended") for name in lost), None)


def _lost_sentence(step: str, left: str) -> str:
    return f"{step} was counted as done and {left}: its pod was lost."


def _of_failure(run: str, logs: Logs, steps: Sequence[Step], pods: Sequence[Pod]) -> Outcome:
    if lost := _find_lost(steps, logs):
        return _of_loss(run, lost)
    again = f"`edgeline kubeflow retry {run}` goes on from the steps that failed."
    failed = [step for step in steps if step.state == "failed"]
    if not failed:
        ended = (pod for pod in pods if pod.phase in ("Error", "Failed") and not pod.ended_by_itself)
        unsaid = f"Run {run} ended before its first step, without a word."
        reasons = tuple(pod.message for pod in ended) or (unsaid,)
        return Outcome("failed", None, reasons, "Its page, and `kubectl get workflows`, may say more.")
    first, *others = (_of_failed(step, again, logs, pods) for step in failed)
    # Of pods that do a step together each says of the others only that they are gone.
    reasons = (*first.reasons, *(reason for other in others for reason in other.reasons))
    return replace(first, reasons=reasons, step=failed[0].name)


def _of_failed(step: Step, again: str, logs: Logs, pods: Sequence[Pod]) -> Outcome:
    last = next((pod for pod in reversed(pods) if pod.step == step.name and pod.phase != "Succeeded"), None)
    said = logs.outcome(step)
    if said is not None and said.outcome == "failed":
        reason = f"{step.name} failed: {' '.join(said.reasons)}"
        return replace(said, reasons=(reason,), do=said.do or again)
    if said is not None and said.exit_code:
        return replace(said, do="")
    if last is not None and not last.ended_by_itself:
        reason, do = ending(last)
        return Outcome("failed", None, (reason,), do or again)
    log = logs.of(step)
    stops_as = STEPS[step.name].stops_as if step.name in STEPS else None
    if stops_as is not None and not log and (last is None or last.runs_step):
        reason = f"{step.name} stopped the run; its log, which says why, cannot be read from here."
        return Outcome(stops_as, None, (reason,))
    said_by_kfp = fatal(log) or fatal(logs.of_driver(step))
    reason = f"{step.name} failed: {said_by_kfp}" if said_by_kfp else f"{step.name} failed without a word."
    silent = (f"Its program ended before it could say why, {_OLDER}",) if log and said is None else ()
    pod = f" `kubectl logs {last.id} -c main` has its log." if last is not None else ""
    return Outcome("failed", None, (reason[:MOST_CHARACTERS], *silent), f"{again}{pod}")


def _look_into_store(run: str, model: str, push: str | None) -> _Seen:
    """What the release store knows of a run; a volume of the cluster cannot be read from here."""
    from release import store

    if push is None or push.startswith("pvc://"):
        return _Seen()
    try:
        current = store.current(push, model)
        found = [current] if current and current.manifest.run == run else []
        found = found or [release for release in store.releases(push, model) if release.manifest.run == run]
    except (EdgelineError, OSError) as error:
        said = getattr(error, "found", None) or str(error)
        return _Seen(notes=(f"The release store could not be read from here: {said}",))
    return _Seen(True, found[-1].version if found else None)
