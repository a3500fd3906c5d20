"""The outcome of a run on Kubeflow Pipelines, by what was pushed and not only by the run's state.

A run can be green and have done nothing: all of its steps came from the cache, or the cluster counted a
killed step as done. So a run counts as pushed only if its last step, which checks the release in the store,
says so, and if the store names the run, where it can be read from here.

Argo before 3.4 counts a container that was ended by a signal as one that ended well. Then the step is green
and lost: its state in ML Metadata stays RUNNING, and the next step fails in its driver, which finds none of
its outputs. The API restarts no step that counts as done.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from edgeline.errors import EdgelineError
from edgeline.records.outcome import Outcome, find_outcome
from edgeline.records.steps import RELEASE_GATE, find_helped_step, find_info, find_step
from runners.kubeflow.client import Cluster
from runners.kubeflow.pods import Pod, explain_ending, read_pods
from runners.kubeflow.run_steps import Step

PUSHER = "Pusher"
_OLDER = "or the image is older than this edgeline: build it again, and submit the run with the new one."
# KFP's driver and launcher write this line if they cannot start a step or upload its outputs.
_FATAL = re.compile(r"^F\d{4} .*?\] (?:failed to execute component: )?(?P<rest>.*)$")
_MOST_CHARACTERS = 1000
_MISSING = re.compile(
    r'cannot find output (?:artifact|parameter) key "(?P<output>[^"]+)" in producer task "(?P<step>[^"]+)"'
)


@dataclass(frozen=True)
class StepLost(Outcome):
    """The outcome of a run whose lost step counts as done, so that it takes another run to make it again."""


@dataclass(frozen=True)
class _StoreState:
    """The run's version in the release store, or the reasons why the store could not be read."""

    is_known: bool = False
    version: int | None = None
    notes: tuple[str, ...] = ()


class _Logs:
    """The logs of a run's steps; `pods` are in the order in which they started."""

    def __init__(self, cluster: Cluster, run: str, pods: Sequence[Pod]) -> None:
        self._cluster, self._run, self._pods = cluster, run, pods

    def read_step(self, step: Step) -> list[str]:
        """Returns the log of the step's last attempt; empty if it no longer exists."""
        return self._read(self._find_names(step, True) or step.pods[-1:])

    def read_driver(self, step: Step) -> list[str]:
        """Returns the log of the driver that prepared the last attempt."""
        return self._read(self._find_names(step, False))

    def has_pod(self, step: Step) -> bool:
        """Tells whether the step is known to have had a pod of its own."""
        return bool(self._find_names(step, True))

    def _find_names(self, step: Step, runs_step: bool) -> Sequence[str]:
        own = [pod for pod in self._pods if pod.step == step.name and pod.runs_step == runs_step]
        return (own[-1].id, own[-1].name) if own else ()

    def _read(self, names: Sequence[str]) -> list[str]:
        return next((lines for name in names if (lines := self._cluster.read_log(self._run, name))), [])

    def read_outcome(self, step: Step) -> Outcome | None:
        """Returns the outcome that the step logged, each reason on one line; None if no log has it."""
        if (outcome := find_outcome(self.read_step(step), step.name)) is None:
            return None
        reasons = (" ".join(reason.split())[:_MOST_CHARACTERS] for reason in outcome.reasons)
        return replace(outcome, reasons=tuple(reasons))


def conclude(
    cluster: Cluster, run: str, state: str, steps: Sequence[Step], model: str, push: str | None
) -> Outcome:
    """Returns the outcome of an ended run.

    Args:
        cluster: Has the pods and the logs of the run, as far as they still exist.
        run: The id of the run.
        state: The state that the API reports at its end: all but SUCCEEDED are failures.
        steps: All steps of the pipeline, in the order of the DAG, with their last states.
        model: The model's name in the release store.
        push: That store, as in `kubeflow.push`; None, or a claim, is not read.
    """
    pods = read_pods(cluster.list_nodes(run))
    logs = _Logs(cluster, run, pods)
    store = _read_store(run, model, push)
    if state == "SUCCEEDED":
        return _conclude_success(run, logs, steps, store)
    outcome = _conclude_failure(run, logs, steps, pods)
    if store.version is None:
        return outcome
    note = f"Before that, it pushed version {store.version} of {model} to {push}."
    return replace(outcome, version=store.version, reasons=(*outcome.reasons, note))


def _conclude_success(run: str, logs: _Logs, steps: Sequence[Step], store: _StoreState) -> Outcome:
    ran = [step.name for step in steps if step.state not in ("cached", "waiting")]
    if idle := [name for name in (PUSHER, RELEASE_GATE) if name not in ran]:
        reasons: tuple[str, ...] = (
            f"Run {run} succeeded but pushed nothing: {' and '.join(idle)} did not run.",
            "The cluster took the steps from its cache, or the pipeline is not from this project.",
        )
        do = "Submit it again with `edgeline kubeflow submit`, which compiles it without caching."
        return Outcome("failed", None, reasons, do)
    if store.version is not None:
        return Outcome("pushed", store.version)
    [gate] = (step for step in steps if step.name == RELEASE_GATE)
    outcome = logs.read_outcome(gate)
    if (outcome is None or outcome.outcome == "failed") and (loss := _find_loss(run, steps, logs)):
        return loss
    if outcome is None or outcome.outcome == "done":
        unread = f"No log that can be read from here has the outcome of {RELEASE_GATE}, {_OLDER}"
        reasons = (f"Run {run} succeeded, but whether it pushed a model is not known.", unread, *store.notes)
        do = (
            "Check what is in production with `edgeline status --store URL`, and submit the run again if that"
            " is not this run's release."
        )
        return Outcome("failed", None, reasons, do)
    if outcome.outcome == "pushed" and store.is_known:
        reason = (
            f"{RELEASE_GATE} reported version {outcome.version} as pushed; the store has none of run {run}."
        )
        return Outcome("failed", None, (reason,), "Check the store with `edgeline verify --store URL`.")
    if outcome.outcome == "pushed":
        return replace(outcome, reasons=store.notes)
    return replace(outcome, version=None, do="")


def _find_loss(run: str, steps: Sequence[Step], logs: _Logs) -> StepLost | None:
    """Finds the lost step because of which an ended run pushed nothing; None if there is none."""
    done = {step.name: step for step in steps if step.state == "done"}
    suspects = list(done)
    for step in steps:
        if step.state != "failed":
            continue
        if missing := _find_missing(step, done, logs):
            return _make_loss(run, *missing)
        if logs.has_pod(step) or logs.read_step(step):
            # The step began, and failed by itself, or because one of its helper pods was lost.
            suspects = [name for name in done if find_helped_step(name) == step.name]
            break
    unended = _find_unended(suspects, done, logs) if suspects else None
    return _make_loss(run, unended, "had not ended") if unended else None


def _make_loss(run: str, step: str, problem: str) -> StepLost:
    reason = f"{step} was counted as done but {problem}: its pod was lost."
    do = f"Run `edgeline kubeflow retry {run}`: it starts a new run with the same pipeline and settings."
    return StepLost("failed", None, (reason,), do)


def _find_missing(failed: Step, done: Mapping[str, Step], logs: _Logs) -> tuple[str, str] | None:
    """Returns the step that left no output for a failed one, and a sentence's end that names the output."""
    for line in logs.read_driver(failed):
        if (match := _MISSING.search(line)) and (producer := find_step(match["step"])) in done:
            return producer, f"left no {match['output']}"
    return None


def _find_unended(suspects: Sequence[str], done: Mapping[str, Step], logs: _Logs) -> str | None:
    """Returns the first of the suspects whose log has no good outcome; None also where logs are cut off."""
    outcomes = {name: find_outcome(log, name) for name, step in done.items() if (log := logs.read_step(step))}
    if not any(outcomes.values()):
        return None
    logged = ((name, outcomes[name]) for name in suspects if name in outcomes)
    return next((name for name, outcome in logged if outcome is None or outcome.exit_code), None)


def _conclude_failure(run: str, logs: _Logs, steps: Sequence[Step], pods: Sequence[Pod]) -> Outcome:
    if loss := _find_loss(run, steps, logs):
        return loss
    again = f"Run `edgeline kubeflow retry {run}` to go on from the steps that failed."
    failed = [step for step in steps if step.state == "failed"]
    if not failed:
        stopped = (pod for pod in pods if pod.phase in ("Error", "Failed") and not pod.ended_by_itself)
        last = next((step.name for step in steps[::-1] if step.state in ("done", "cached")), None)
        where = f"after {last}" if last else "before its first step"
        unexplained = f"Run {run} ended {where} and logged no reason."
        reasons = tuple(pod.message for pod in stopped) or (unexplained,)
        return Outcome("failed", None, reasons, "Look at its page and at `kubectl get workflows`.")
    outcomes = [_conclude_failed_step(step, again, logs, pods) for step in failed]
    # If one of several pods of a step fails, the others log only that it is gone, so all are given.
    reasons = tuple(chain.from_iterable(item.reasons for item in outcomes))
    do = " ".join(dict.fromkeys(item.do for item in outcomes if item.do))
    return replace(outcomes[0], reasons=reasons, do=do, step=failed[0].name)


def _conclude_failed_step(step: Step, again: str, logs: _Logs, pods: Sequence[Pod]) -> Outcome:
    last = next((pod for pod in reversed(pods) if pod.step == step.name and pod.phase != "Succeeded"), None)
    outcome = logs.read_outcome(step)
    if outcome is not None and outcome.outcome == "failed":
        reason = f"{step.name} failed: {' '.join(outcome.reasons)}"
        return replace(outcome, reasons=(reason,), do=outcome.do or again)
    if outcome is not None and outcome.exit_code:
        return replace(outcome, do="")
    if last is not None and not last.ended_by_itself:
        ending = explain_ending(last)
        return Outcome("failed", None, (ending.found,), ending.do or again)
    return _explain_without_outcome(step, again, logs, last, is_silent=outcome is None)


def _explain_without_outcome(
    step: Step, again: str, logs: _Logs, last: Pod | None, is_silent: bool
) -> Outcome:
    """Returns the outcome of a failed step by what logs and the pod that ran last say.

    `is_silent` says that its program logged no outcome.
    """
    log = logs.read_step(step)
    stops_as = find_info(step.name).stops_as
    if stops_as is not None and not log and (last is None or last.runs_step):
        reason = f"{step.name} stopped the run; its log, which has the reason, cannot be read from here."
        return Outcome(stops_as, None, (reason,))
    fatal = _find_fatal(log) or _find_fatal(logs.read_driver(step))
    reason = f"{step.name} failed: {fatal}" if fatal else f"{step.name} failed and logged no reason."
    silent = (f"Its program ended before it logged an outcome, {_OLDER}",) if log and is_silent else ()
    pod = f" Read its log with `kubectl logs {last.id} -c main`." if last is not None else ""
    return Outcome("failed", None, (reason[:_MOST_CHARACTERS], *silent), f"{again}{pod}")


def _read_store(run: str, model: str, push: str | None) -> _StoreState:
    """Looks for a run's version in the release store; a volume of the cluster cannot be read from here."""
    from edgeline.release.releases import find_version_of_run

    if push is None or push.startswith("pvc://"):
        return _StoreState()
    try:
        return _StoreState(True, find_version_of_run(push, model, run))
    except (EdgelineError, OSError) as error:
        reason = getattr(error, "found", None) or str(error)
        return _StoreState(notes=(f"The release store could not be read from here: {reason}",))


def _find_fatal(log: Sequence[str]) -> str:
    """Returns the fatal error of KFP's own program in a pod; empty if there is none."""
    return next((match["rest"] for line in reversed(log) if (match := _FATAL.match(line))), "")
