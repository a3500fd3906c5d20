"""The follower of a run on Kubeflow Pipelines, which reports the same progress as a local run."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgeline.errors import EdgelineError, Problem
from edgeline.records import run as record
from edgeline.records.events import Event, Planned, StepChanged, Warned
from edgeline.report.words import duration
from runners.kubeflow.client import Cluster
from runners.kubeflow.errors import Unavailable
from runners.kubeflow.pods import Trouble, find_troubles, read_pods
from runners.kubeflow.run_steps import ENDED, Step, compute_signature, is_pending, is_settled, read_steps


@dataclass(frozen=True)
class Patience:
    """The times to wait while a run is followed, in seconds."""

    poll_s: float = 5.0  # between two requests
    # After each such time without a change, pods that have not begun are inspected.
    start_s: float = 45.0
    # After this time without a change, a trouble that waiting will not fix ends the waiting.
    hopeless_s: float = 180.0
    quiet_s: float = 1800.0  # after this time without a change, a warning is given about a running step
    settle_s: float = 60.0  # longest time from the end of a run to the end of its tasks
    outage_s: float = 300.0  # longest outage of the API while a run is followed
    timeout_s: float | None = None  # for the whole run; None waits to its end


class Follower:
    """The wait for the end of one run, given its id, with what has been seen of the run so far.

    `handle` gets the events of each step, except failures, and of troubles that keep one from starting.
    """

    def __init__(
        self, cluster: Cluster, run: str, handle: Callable[[Event], None], patience: Patience
    ) -> None:
        self.cluster, self.run, self.handle, self.patience = cluster, run, handle, patience
        self.states: dict[str, str] = {}
        self.warned: set[object] = set()
        self.seen: tuple[Any, ...] | None = None
        self.hopeless: Trouble | None = None
        self.since = self.looked = time.monotonic()
        self.ends = self.since + (patience.timeout_s or math.inf)
        self.again = f"Follow it again with `edgeline kubeflow watch {run}`."

    def follow(self, names: Sequence[str]) -> Any:
        """Follows the run, whose steps have these names; returns its last state, a `V2beta1Run`.

        Raises:
            EdgelineError: It did not end in time, a step can never start, or nobody answers any more. The run
                itself is left as it is.
        """
        end = None
        self.handle(Planned(tuple(names)))
        while True:
            run = self._get_run()
            end = (end or time.monotonic()) if run.state in ENDED else None
            is_late = end is not None and time.monotonic() - end > self.patience.settle_s
            has_ended = is_settled(run) or is_late
            for step in read_steps(run, names):
                self._report_step(step)
            if has_ended:
                return run
            self._watch_for_standstill(run)
            limit = self.patience.timeout_s
            if limit is not None and time.monotonic() > self.ends:
                if self.hopeless is not None:
                    raise self._give_up(self.hopeless.problem)
                raise EdgelineError(
                    f"Run {self.run} has not ended after {duration(limit)}; its state is {run.state}.",
                    "Only the wait has ended; the run itself goes on.",
                    self.again,
                )
            time.sleep(self.patience.poll_s)

    def _get_run(self) -> Any:
        """Returns the run; waits if the API is away for a while, as when a port-forward is set up again."""
        away_since = time.monotonic()
        while True:
            try:
                return self.cluster.get_run(self.run)
            except Unavailable as error:
                if time.monotonic() > min(self.ends, away_since + self.patience.outage_s):
                    why = f"{error.why} The run itself may go on."
                    raise Unavailable(error.found, why, self.again) from error
                self.handle(Warned(f"{self.cluster.host} does not answer; retrying."))
            except EdgelineError as error:
                if self.seen is None:
                    raise
                why, do = f"{error.why} The run itself goes on.", f"{error.do} {self.again}"
                raise EdgelineError(error.found, why, do) from error
            time.sleep(self.patience.poll_s)

    def _report_step(self, step: Step) -> None:
        state, seconds = step.state, step.seconds
        # Right after a retry the API still shows the failure before it. So the caller reports failures once
        # the run has ended, when it is known whether a gate only stopped it on purpose.
        if state == "failed":
            state, seconds = "running", None
        if state == "waiting" or self.states.get(step.name) == state:
            return
        self.states[step.name] = state
        self.handle(StepChanged(record.Step(step.name, state, seconds)))

    def _watch_for_standstill(self, run: Any) -> None:
        """Warns about pods that do not begin, with the reason; gives up on a trouble that stays."""
        now = time.monotonic()
        if compute_signature(run) != self.seen:
            self.seen = compute_signature(run)
            self.since = self.looked = now
            self.hopeless = None
            return
        if now - self.looked < self.patience.start_s:
            return

        self.looked = now
        quiet_s = now - self.since
        if not self.states:
            problem = f"The cluster has not started the run for {duration(quiet_s)}"
            self._warn("start", f"{problem}: is Argo's workflow-controller up?")
            return

        if not is_pending(run):
            # A pod that ran out of memory can stay in the state Running for ever (Argo 3.3).
            if quiet_s >= self.patience.quiet_s:
                self._warn(
                    "quiet",
                    f"Nothing has changed for {duration(quiet_s)}. That may be a long training;"
                    " `kubectl get pods` in the run's namespace shows whether its pod was OOMKilled.",
                )
            return

        troubles = list(find_troubles(read_pods(self.cluster.list_nodes(self.run))))
        for trouble in troubles:
            self._warn(trouble.key, f"{trouble.problem.found} {trouble.problem.do}")
        self.hopeless = next((trouble for trouble in troubles if trouble.hopeless), None)
        if self.hopeless is not None and quiet_s >= self.patience.hopeless_s:
            raise self._give_up(self.hopeless.problem)
        if not troubles:
            self._warn(
                "pending",
                f"A pod of the run has been pending for {duration(quiet_s)}. `kubectl get pods` in"
                " its namespace shows which, and `kubectl describe pod` why.",
            )

    def _give_up(self, problem: Problem) -> EdgelineError:
        return EdgelineError(
            problem.found,
            f"{problem.why} The run waits on the cluster, and has pushed nothing so far.",
            f"{problem.do} The run then goes on, unless you terminate it on its page:"
            f" {self.cluster.describe_page(self.run)} {self.again}",
        )

    def _warn(self, key: object, text: str) -> None:
        if key not in self.warned:
            self.warned.add(key)
            self.handle(Warned(text))
