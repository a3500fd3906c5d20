"""The logs of a run's steps, as far as they can be read from here."""

import re
from collections.abc import Sequence
from dataclasses import replace

from edgeline.records.outcome import Outcome, find_outcome
from runners.kubeflow.client import Cluster
from runners.kubeflow.pods import Pod
from runners.kubeflow.steps import Step

# KFP's driver and launcher write this line if they cannot start a step or upload its outputs.
_FATAL = re.compile(r"^F\d{4} .*?\] (?:failed to execute component: )?(?P<rest>.*)$")
MOST_CHARACTERS = 1000


class Logs:
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
        reasons = (" ".join(reason.split())[:MOST_CHARACTERS] for reason in outcome.reasons)
        return replace(outcome, reasons=tuple(reasons))


def find_fatal(log: Sequence[str]) -> str:
    """Returns the fatal error of KFP's own program in a pod; empty if there is none."""
    return next((match["rest"] for line in reversed(log) if (match := _FATAL.match(line))), "")
