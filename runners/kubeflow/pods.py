"""Why a pod of a step does not start, or how it ended, as Kubernetes and Argo say it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_DRIVER = "-driver"
# A container that ended by itself: what it was, its log has to say.
_BY_ITSELF = re.compile(r"^(Error|main: Error) \(exit code \d+\)")
# KFP's launcher ends so when its pod is deleted: of SIGQUIT (see pod/stop.py) with 2, else above 128.
_TOLD_TO_END = re.compile(r"^(Error|main: Error) \(exit code (2|1[2-9]\d)\)")
_MOST_CHARACTERS = 300


@dataclass(frozen=True)
class Pod:
    """One pod of a run.

    Attributes:
        id: Of its node in the workflow.
        name: In Kubernetes: the id, with the template in it from Argo 3.4 on.
        step: The step that it works for; empty for the run's own.
        runs_step: Whether it runs the step itself, and does not prepare it.
        phase: `Pending`, `Running`, `Succeeded`, `Failed`, `Error`, or `Omitted` where it never was.
        message: What Kubernetes or Argo says about it.
        started: ISO time; empty where it has not.
    """

    id: str
    name: str
    step: str
    runs_step: bool
    phase: str
    message: str
    started: str

    @property
    def ended_by_itself(self) -> bool:
        """Whether its program ended with an exit code of its own, and was not ended from outside."""
        by_itself = _BY_ITSELF.match(self.message) and not _TOLD_TO_END.match(self.message)
        return not self.message or bool(by_itself)


def read_pods(nodes: Sequence[Mapping[str, Any]]) -> list[Pod]:
    """The pods among the nodes of an Argo workflow, in the order in which they started."""
    names = {node.get("id"): str(node.get("displayName", "")) for node in nodes}
    found = []
    for node in nodes:
        if node.get("type") != "Pod":
            continue
        own = names[node.get("id")]
        prepares = own.endswith(_DRIVER)
        step = own.removesuffix(_DRIVER) if prepares else names.get(node.get("boundaryID"), "")
        workflow, _, number = str(node.get("id")).rpartition("-")
        found.append(
            Pod(
                id=str(node.get("id")),
                name=f"{workflow}-{node.get('templateName')}-{number}",
                step="" if step == "root" else step,
                runs_step=not prepares,
                phase=str(node.get("phase")),
                message=_shortened(" ".join(str(node.get("message") or "").split())),
                started=str(node.get("startedAt") or ""),
            )
        )
    return sorted(found, key=lambda pod: pod.started)


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


@dataclass(frozen=True)
class Trouble:
    """A pod that does not start, explained.

    Attributes:
        key: The same for the same trouble, however its wording changes.
        found: What was found.
        why: Why that keeps it from starting.
        do: What to do.
        hopeless: Whether time alone will not fix it.
    """

    key: tuple[str, str]
    found: str
    why: str
    do: str
    hopeless: bool


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
)
_PASSES = {"room", "volume"}


def troubles(pods: Sequence[Pod]) -> Iterator[Trouble]:
    """What keeps pods of a run from starting, where Kubernetes says so."""
    for pod in pods:
        if pod.phase != "Pending" or not pod.message:
            continue
        who = f"{pod.step}'s pod" if pod.step else f"The pod {pod.id}"
        found = f"{who} does not start: {pod.message.rstrip('.')}."
        for pattern, kind, why, do in _TROUBLES:
            if re.search(pattern, pod.message):
                yield Trouble((pod.id, kind), found, why, do, kind not in _PASSES)
                break
        else:
            # Such as ContainerCreating or PodInitializing: what every pod says while it starts.
            if " " in pod.message:
                do = "Look at `kubectl describe pod` in the namespace of the run."
                yield Trouble((pod.id, "other"), found, "The cluster does not say more.", do, False)


def ending(pod: Pod) -> tuple[str, str]:
    """How a pod was ended from outside: the sentence, and what to do.

    Args:
        pod: One that failed, and not by itself.
    """
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
