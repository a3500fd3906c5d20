"""The pods of a run, and explanations why one does not start or how it ended, from Kubernetes and Argo."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeline.errors import Problem
from edgeline.failures import explain, find_meaning, read_meanings
from edgeline.records.steps import find_helped_step, find_step

_DRIVER = "-driver"
# A container that ended by itself has this message; the reason is in its log.
# KFP's launcher ends with 2 or above 128 if its pod is deleted, see pod/stop.py.
_BY_ITSELF = re.compile(r"^(Error|main: Error) \(exit code (?!(2|1[2-9]\d)\))\d+\)")
_MOST_CHARACTERS = 300
_OF_PENDING, _OF_ENDED = (Path(__file__).with_name(f"{phase}_pods.yaml") for phase in ("pending", "ended"))


@dataclass(frozen=True)
class Pod:
    """One pod of a run."""

    id: str  # of its node in the workflow
    name: str  # in Kubernetes: the id, with the template in it from Argo 3.4 on
    step: str  # the step that it works for; empty for the run's own pod
    runs_step: bool  # True if it runs the step itself, False if it prepares it
    phase: str  # Pending, Running, Succeeded, Failed, Error, or Omitted if it never existed
    message: str  # of Kubernetes or Argo

    @property
    def ended_by_itself(self) -> bool:
        """Tells whether its program ended with an exit code of its own, and not by a signal from outside."""
        return not self.message or _BY_ITSELF.match(self.message) is not None


def read_pods(nodes: Sequence[Mapping[str, Any]]) -> list[Pod]:
    """Returns the pods among the nodes of an Argo workflow, in the order of their start times (ISO 8601)."""
    names = {node.get("id"): find_step(str(node.get("displayName", ""))) for node in nodes}
    pods = []
    for node in sorted(nodes, key=lambda node: str(node.get("startedAt") or "")):
        if node.get("type") != "Pod":
            continue
        own = names[node.get("id")]
        is_driver = own.endswith(_DRIVER)
        step = own.removesuffix(_DRIVER) if is_driver else names.get(node.get("boundaryID"), "")
        workflow, _, number = str(node.get("id")).rpartition("-")
        message = " ".join(str(node.get("message") or "").split())
        pods.append(
            Pod(
                id=str(node.get("id")),
                name=f"{workflow}-{node.get('templateName')}-{number}",
                step="" if step == "root" else step,
                runs_step=not is_driver,
                phase=str(node.get("phase")),
                message=message if len(message) <= _MOST_CHARACTERS else f"{message[:_MOST_CHARACTERS]}...",
            )
        )
    return pods


@dataclass(frozen=True)
class Trouble:
    """A problem that keeps a pod from starting."""

    key: tuple[str, str]  # the same for the same trouble, even if its wording changes
    problem: Problem
    hopeless: bool  # True if waiting alone will not fix it


def find_troubles(pods: Sequence[Pod]) -> Iterator[Trouble]:
    """Yields the troubles that keep pods of a run from starting, as far as Kubernetes names them."""
    meanings = read_meanings(_OF_PENDING)
    for pod in pods:
        if pod.phase == "Pending" and (meaning := find_meaning(meanings, pod.message)):
            subject = f"{pod.step}'s pod" if pod.step else f"The pod {pod.id}"
            problem = explain(meanings, pod.message, subject=subject, text=pod.message.rstrip("."))
            yield Trouble((pod.id, meaning.signs), problem, not meaning.may_pass)


def explain_ending(pod: Pod) -> Problem:
    """Explains how a failed pod was ended from outside."""
    subject = pod.step or "The run's own pod"
    step = find_helped_step(pod.step)
    meanings = read_meanings(_OF_ENDED)
    return explain(meanings, pod.message, subject=subject, text=pod.message, step=step)
