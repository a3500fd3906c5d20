"""Why a pod of a step does not start, or how it ended, as Kubernetes and Argo say it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from records.steps import step_of

_DRIVER = "-driver"
# A container that ended by itself: what it was, its log has to say.
_BY_ITSELF = re.compile(r"^(Error|main: Error) \(exit code \d+\)")
# KFP's launcher ends so when its pod is deleted: of SIGQUIT (see pod/stop.py) with 2, else above 128.
_TOLD_TO_END = re.compile(r"^(Error|main: Error) \(exit code (2|1[2-9]\d)\)")
_MOST_CHARACTERS = 300


@dataclass(frozen=True)
class Pod:
    """One pod of a run."""

    id: str  # of its node in the workflow
    name: str  # in Kubernetes: the id, with the template in it from Argo 3.4 on
    step: str  # that it works for; empty for the run's own
    runs_step: bool  # whether it runs the step itself, and does not prepare it
    phase: str  # Pending, Running, Succeeded, Failed, Error, or Omitted where it never was
    message: str  # what Kubernetes or Argo says about it

    @property
    def ended_by_itself(self) -> bool:
        """Whether its program ended with an exit code of its own, and was not ended from outside."""
        by_itself = _BY_ITSELF.match(self.message) and not _TOLD_TO_END.match(self.message)
        return not self.message or bool(by_itself)


def read_pods(nodes: Sequence[Mapping[str, Any]]) -> list[Pod]:
    """The pods among the nodes of an Argo workflow, in the order in which they started, as ISO times say."""
    names = {node.get("id"): step_of(str(node.get("displayName", ""))) for node in nodes}
    found = []
    for node in sorted(nodes, key=lambda node: str(node.get("startedAt") or "")):
        if node.get("type") != "Pod":
            continue
        own = names[node.get("id")]
        prepares = own.endswith(_DRIVER)
        step = own.removesuffix(_DRIVER) if prepares else names.get(node.get("boundaryID"), "")
        workflow, _, number = str(node.get("id")).rpartition("-")
        message = " ".join(str(node.get("message") or "").split())
        found.append(
            Pod(
                id=str(node.get("id")),
                name=f"{workflow}-{node.get('templateName')}-{number}",
                step="" if step == "root" else step,
                runs_step=not prepares,
                phase=str(node.get("phase")),
                message=message if len(message) <= _MOST_CHARACTERS else f"{message[:_MOST_CHARACTERS]}...",
            )
        )
    return found


@dataclass(frozen=True)
class Trouble:
    """A pod that does not start, explained."""

    key: tuple[str, str]  # the same for the same trouble, however its wording changes
    found: str
    why: str  # that keeps it from starting
    do: str
    hopeless: bool  # whether time alone will not fix it


# What Kubernetes says, what kind of trouble that is, why, and what to do.
_TROUBLES = (
    (
        r"ImagePullBackOff|ErrImagePull|InvalidImageName|ErrImageNeverPull",
        "image",
        "The cluster cannot get the image: its name or tag is wrong, the registry wants a login, or a node"
        " that pulls nothing does not have it.",
        "Check kubeflow.image, kubeflow.image_pull_secrets and kubeflow.image_pull_policy; on a local"
        " cluster, load the image into it.",
    ),
    (
        r"persistentvolumeclaim \S+ not found",
        "claim",
        "A step mounts the claims that kubeflow.data and kubeflow.push name, and this one does not exist in"
        " the namespace of the run.",
        "Make it with `kubectl apply`, or name another one.",
    ),
    (
        r"unbound immediate PersistentVolumeClaims|unbound PersistentVolumeClaim",
        "volume",
        "The claim is there, and no volume was found or made for it.",
        "Look at `kubectl describe pvc`: the cluster needs its storage class and its access mode.",
    ),
    (
        r"CreateContainerConfigError|secret \S+ not found|configmap \S+ not found",
        "secret",
        "The step's environment comes from a secret that is not there, or lacks the key.",
        "Make it in the namespace of the run, or fix kubeflow.secrets.",
    ),
    (
        r"Insufficient (\S+?)[.,;]?( |$)",
        "room",
        "No node of the cluster has that much left.",
        "Wait until one has, or lower the limits in kubeflow.steps; a GPU also needs its device plugin.",
    ),
    (
        r"node\(s\) had untolerated taint|didn't match Pod's node affinity/selector",
        "node",
        "No node fits the step's node selector and tolerations.",
        "Fix node_selector and tolerations in kubeflow.steps.",
    ),
    # One word alone, such as ContainerCreating or PodInitializing, is what every pod says while it starts.
    (
        " ",
        "other",
        "The cluster does not say more.",
        "Look at `kubectl describe pod` in the namespace of the run.",
    ),
)
_PASSES = {"room", "volume", "other"}


def troubles(pods: Sequence[Pod]) -> Iterator[Trouble]:
    """What keeps pods of a run from starting, where Kubernetes says so."""
    for pod in pods:
        if pod.phase != "Pending":
            continue
        who = f"{pod.step}'s pod" if pod.step else f"The pod {pod.id}"
        found = f"{who} does not start: {pod.message.rstrip('.')}."
        for pattern, kind, why, do in _TROUBLES:
            if re.search(pattern, pod.message):
                yield Trouble((pod.id, kind), found, why, do, kind not in _PASSES)
                break


def ending(pod: Pod) -> tuple[str, str]:
    """How a pod that failed, and not by itself, was ended from outside: the sentence, and what to do."""
    who = pod.step or "The run's own pod"
    if _TOLD_TO_END.match(pod.message):
        return f"{who} lost its pod, which was told to end: {pod.message}.", ""
    if "OOMKilled" in pod.message or "exit code 137" in pod.message:
        return (
            f"{who} ran out of memory ({pod.message}).",
            f"Raise kubeflow.steps.{pod.step}.memory_gb, or lower trainer.batch_size or data.window,"
            " and submit it again.",
        )
    if "deadline" in pod.message or "terminated" in pod.message:
        return f"{who} was stopped: {pod.message}.", "Start it again when that is wanted."
    if "deleted" in pod.message or "evicted" in pod.message.lower():
        return f"{who} lost its pod: {pod.message}.", ""
    return f"{who} failed: {pod.message}", ""
