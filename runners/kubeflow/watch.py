"""Following a run on Kubeflow Pipelines to its end, with the progress that a local run shows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from errors import EdgelineError
from runners.kubeflow.client import Cluster
from runners.kubeflow.errors import Unavailable
from runners.kubeflow.pods import Trouble, read_pods, troubles
from runners.kubeflow.steps import ENDED, Step, is_pending, is_settled, read_steps, signature
from runners.shared.events import Event
from runners.shared.progress_text import duration


@dataclass(frozen=True)
class Patience:
    """How long what is waited for, in seconds."""

    poll_s: float = 5.0  # between two looks
    # After this without a change, a pod that has not begun is looked into, and again each time.
    start_s: float = 45.0
    # After this without a change, one that time alone will not fix ends the waiting.
    hopeless_s: float = 180.0
    quiet_s: float = 1800.0  # after this without a change, a step that runs is worth a look
    settle_s: float = 60.0  # so long the tasks of a run that has ended may take to end too
    outage_s: float = 300.0  # so long the API may be away while a run is followed
    timeout_s: float | None = None  # for the whole run; None waits to its end


class Follower:
    """Waits for the end of one run, by its id, and knows what has been seen of it so far.

    `handle` is told of each step but those that failed, and of what keeps one from starting.
    """

    def __init__(
        self, cluster: Cluster, run: str, handle: Callable[[Event], None], patience: Patience
    ) -> None:
        self.cluster, self.run, self.handle, self.patience = cluster, run, handle, patience
        self.states: dict[str, str] = {}
        self.told: set[object] = set()
        self.seen: tuple[Any, ...] | None = None
        self.hopeless: Trouble | None = None
        self.since = self.looked = time.monotonic()
        self.again = f"Follow it again with `edgeline kubeflow watch {run}`."

    def follow(self, names: Sequence[str]) -> Any:
        """Follows the run, with steps of these names; returns it as it was last seen, a `V2beta1Run`.

        Raises:
            EdgelineError: It did not end in time, a step can never start, or nobody answers any more. The run
                itself is left as it is.
        """
        began = time.monotonic()
        over = None
        self.handle({"event": "plan", "steps": list(names)})
        while True:
            run = self._look()
            over = (over or time.monotonic()) if run.state in ENDED else None
            ended = is_settled(run) or (over is not None and time.monotonic() - over > self.patience.settle_s)
            for step in read_steps(run, names):
                self._tell(step)
            if ended:
                return run
            self._watch_for_standstill(run)
            timeout = self.patience.timeout_s
            if timeout is not None and time.monotonic() - began > timeout:
                if self.hopeless is not None:
                    raise self._give_up(self.hopeless)
                raise EdgelineError(
                    f"Run {self.run} has not ended after {duration(timeout)}; its state is {run.state}.",
                    "Only the waiting ended: the run itself goes on.",
                    self.again,
                )
            time.sleep(self.patience.poll_s)

    def _look(self) -> Any:
        """The run; the API may be away for a while, as it is when a port-forward is set up again."""
        away_since = time.monotonic()
        while True:
            try:
                return self.cluster.run(self.run)
            except Unavailable as error:
                if time.monotonic() - away_since > self.patience.outage_s:
                    why = f"{error.why} The run itself may go on."
                    raise Unavailable(error.found, why, self.again) from error
                self.handle({"event": "warning", "text": f"{self.cluster.host} is away; asking again."})
            except EdgelineError as error:
                if self.seen is None:
                    raise
                why, do = f"{error.why} The run itself goes on.", f"{error.do} {self.again}"
                raise EdgelineError(error.found, why, do) from error
            time.sleep(self.patience.poll_s)

    def _tell(self, step: Step) -> None:
        state, seconds = step.state, step.seconds
        # Right after a retry the API still shows the failure before it. So a failure is told once the run has
        # ended, by who knows then whether a gate only did its work.
        if state == "failed":
            state, seconds = "running", None
        if state == "waiting" or self.states.get(step.name) == state:
            return
        self.states[step.name] = state
        self.handle({"event": "step", "step": step.name, "state": state, "seconds": seconds})

    def _watch_for_standstill(self, run: Any) -> None:
        """Looks into what does not begin, and tells why."""
        now = time.monotonic()
        if signature(run) != self.seen:
            self.seen = signature(run)
            self.since = self.looked = now
            self.hopeless = None
            return
        if now - self.looked < self.patience.start_s:
            return
        self.looked = now
        quiet_s = now - self.since
        if not self.states:
            begun = f"The cluster has not begun with the run for {duration(quiet_s)}"
            self._warn("start", f"{begun}: is Argo's workflow-controller up?")
            return
        if not is_pending(run):
            # A pod whose memory ran out can look as if it ran, for as long as one waits (Argo 3.3).
            if quiet_s >= self.patience.quiet_s:
                self._warn(
                    "quiet",
                    f"Nothing has changed for {duration(quiet_s)}. That may be a long training;"
                    " `kubectl get pods` in the run's namespace shows whether its pod was OOMKilled.",
                )
            return
        found = list(troubles(read_pods(self.cluster.pods(self.run))))
        for trouble in found:
            self._warn(trouble.key, f"{trouble.found} {trouble.do}")
        self.hopeless = next((trouble for trouble in found if trouble.hopeless), None)
        if self.hopeless is not None and quiet_s >= self.patience.hopeless_s:
            raise self._give_up(self.hopeless)
        if not found:
            self._warn(
                "pending",
                f"A pod of the run has not begun for {duration(quiet_s)}. `kubectl get pods` in"
                " its namespace shows which, and `kubectl describe pod` why.",
            )

    def _give_up(self, trouble: Trouble) -> EdgelineError:
        return EdgelineError(
            trouble.found,
            f"{trouble.why} Nothing was pushed by this run so far, which waits on the cluster.",
            f"{trouble.do} The run then goes on by itself, unless you terminate it on its page:"
            f" {self.cluster.page_of(self.run)}\n{self.again}",
        )

    def _warn(self, key: object, text: str) -> None:
        if key not in self.told:
            self.told.add(key)
            self.handle({"event": "warning", "text": text})
