"""What the logs of a run's steps say, as far as they can be read from here."""

import re
from collections.abc import Sequence
from dataclasses import replace

from records.outcome import Outcome, find_in
from runners.kubeflow.client import Cluster
from runners.kubeflow.pods import Pod
from runners.kubeflow.steps import Step

# What KFP's driver and launcher say when they could not even start a step or bring its outputs away.
_FATAL = re.compile(r"^F\d{4} .*?\] (?:failed to execute component: )?(?P<rest>.*)$")
MOST_CHARACTERS = 1000


class Logs:
    """Reads the logs of a run's steps; its pods come in the order in which they started."""

    def __init__(self, cluster: Cluster, run: str, pods: Sequence[Pod]) -> None:
        self._cluster, self._run, self._pods = cluster, run, pods

    def of(self, step: Step) -> list[str]:
        """The log of the step's last attempt; empty where it is gone."""
        return self._read(self._names(step, True) or step.pods[-1:])

    def of_driver(self, step: Step) -> list[str]:
        """The log of what prepared that attempt."""
        return self._read(self._names(step, False))

    def has_pod(self, step: Step) -> bool:
        """Whether it is known that the step came so far as to have a pod of its own."""
        return bool(self._names(step, True))

    def _names(self, step: Step, runs_step: bool) -> Sequence[str]:
        own = [pod for pod in self._pods if pod.step == step.name and pod.runs_step == runs_step]
        return (own[-1].id, own[-1].name) if own else ()

    def _read(self, names: Sequence[str]) -> list[str]:
        return next((lines for name in names if (lines := self._cluster.log(self._run, name))), [])

    def outcome(self, step: Step) -> Outcome | None:
        """How the step says that it ended, each reason on one line; None where no log says it."""
        if (said := find_in(self.of(step), step.name)) is None:
            return None
        reasons = (" ".join(reason.split())[:MOST_CHARACTERS] for reason in said.reasons)
        return replace(said, reasons=tuple(reasons))


def fatal(log: Sequence[str]) -> str:
    """With what KFP's own program in a pod gave up; empty where it did not."""
    return next((match["rest"] for line in reversed(log) if (match := _FATAL.match(line))), "")
