"""What the logs of a run's steps say, as far as they can be read from here."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runners.kubeflow.client import Cluster
from runners.kubeflow.pods import Pod
from runners.kubeflow.steps import Step

Ending = Literal["pushed", "unchanged", "held", "refused", "failed"]
# The line with which a step of ours says how it ended, alone or as a log record.
_WORDS = re.compile(
    r"^(?:\S+ \S+ INFO edgeline\.push: )?"
    r"(?P<head>Pushed version (?P<version>\d+) of|Nothing new to push:|Held back:|Data refused:|Failed:)"
    r"\s*(?P<rest>.*)$"
)
_ENDINGS: Mapping[str, Ending] = {
    "Pushed": "pushed",
    "Nothing": "unchanged",
    "Held": "held",
    "Data": "refused",
    "Failed": "failed",
}
# What KFP's driver and launcher say when they could not even start a step or bring its outputs away.
_FATAL = re.compile(r"^F\d{4} .*?\] (?:failed to execute component: )?(?P<rest>.*)$")
MOST_CHARACTERS = 1000


@dataclass(frozen=True)
class Words:
    """The last line in which a step says how it ended.

    Attributes:
        ending: How.
        rest: What follows in that line.
        version: Of the release that it names; None where it names none.
    """

    ending: Ending
    rest: str
    version: int | None


class Logs:
    """Reads the logs of a run's steps.

    Args:
        cluster: Where it ran.
        run: Its id.
        pods: Its pods, in the order in which they started.
    """

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

    def words(self, step: Step | None) -> Words | None:
        """The last line in which the step says how it ended."""
        for line in reversed(self.of(step) if step else []):
            if match := _WORDS.match(line):
                version = int(match["version"]) if match["version"] else None
                ending = _ENDINGS[match["head"].split(maxsplit=1)[0].rstrip(":")]
                return Words(ending, match["rest"].strip()[:MOST_CHARACTERS], version)
        return None


def fatal(log: Sequence[str]) -> str:
    """With what KFP's own program in a pod gave up; empty where it did not."""
    return next((match["rest"] for line in reversed(log) if (match := _FATAL.match(line))), "")
