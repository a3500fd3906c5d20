"""Pods that are lost in the middle of a training, on a machine that is busy with several of them.

The way in which a cluster counts a deleted pod is a race: it may see the end of the pod, or only that it is
gone. A finalizer keeps every second pod until its end was seen. A cluster that took the pod for waiting makes
it again by itself; nothing is lost then, and the new pod is deleted too.
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import yaml

from tests.cluster.conftest import Place, end_by_sigterm, find_run_id, kubectl, wait_for_pod
from tests.cluster.stand_in import make_pipeline

pytestmark = pytest.mark.cluster

DELETED, ENDED_BY_SIGTERM, AT_ONCE = 10, 3, 5
# A Trainer that is to be lost trains until then; one that is made again trains for a moment.
SECRET, LONG_S, SHORT_S = f"edgeline-test-{uuid.uuid4().hex[:8]}", 900, 5
HOLD = "edgeline.test/hold"


@dataclass(frozen=True)
class Loss:
    """The state of a run whose Trainer lost its pod.

    Attributes:
        run: Its id.
        counted_as_done: True if the cluster shows the Trainer as done.
        reasons: The reasons of its failure, from `watch`.
    """

    run: str
    counted_as_done: bool
    reasons: str


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place whose package is the stand-in pipeline; nothing is stored."""
    folder = tmp_path_factory.mktemp("stand-in")
    package = yaml.safe_dump_all(make_pipeline(os.environ["IMAGE"], SECRET))
    (folder / "pipeline.yaml").write_text(package, encoding="utf-8")
    kubectl("create", "secret", "generic", SECRET)
    yield Place("edgeline-stand-in", "pvc://none/data", "pvc://none/push", None, [], folder)
    kubectl("delete", "secret", SECRET)


def set_training_time(seconds: int) -> None:
    patch = json.dumps({"stringData": {"seconds": str(seconds)}})
    kubectl("patch", "secret", SECRET, "--type=merge", "-p", patch)


def submit(place: Place) -> str:
    result = place.kubeflow("submit", "--package", str(place.folder / "pipeline.yaml"))
    assert result.code == 0, result.stderr
    return find_run_id(result)


def delete(pod: str) -> None:
    kubectl("delete", "pod", pod, "--grace-period=5")


def delete_and_hold(pod: str) -> None:
    """Deletes a pod, which stays until the cluster has counted it."""
    node = find_node(pod)
    set_finalizers(pod, [HOLD])
    try:
        kubectl("delete", "pod", pod, "--grace-period=5", "--wait=false")
        end = time.monotonic() + 300
        while node.get_phase() == "Running":
            assert time.monotonic() < end, kubectl("describe", "pod", pod)
            time.sleep(1)
    finally:
        set_finalizers(pod, None)


def set_finalizers(pod: str, finalizers: list[str] | None) -> None:
    patch = json.dumps({"metadata": {"finalizers": finalizers}})
    kubectl("patch", "pod", pod, "--type=merge", "-p", patch)


@dataclass(frozen=True)
class Node:
    """A pod as its workflow knows it; a pod that is made again has the same name and another uid."""

    pod: str
    uid: str
    workflow: str
    id: str

    def get_phase(self) -> str:
        workflow = json.loads(kubectl("get", "workflow", self.workflow, "-o", "json"))
        return str(workflow["status"]["nodes"][self.id]["phase"])

    def wait_until_made_again(self) -> bool:
        """Returns True if Argo makes the pod again by itself, because it had not seen it run yet."""
        end = time.monotonic() + 600
        while self.get_phase() in ("Pending", "Running"):
            assert time.monotonic() < end, kubectl("get", "workflow", self.workflow, "-o", "yaml")
            uid = kubectl("get", "pod", self.pod, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
            if uid.strip() not in ("", self.uid):
                return True
            time.sleep(1)
        return False


def find_node(pod: str) -> Node:
    metadata = json.loads(kubectl("get", "pod", pod, "-o", "json"))["metadata"]
    workflow = metadata["labels"]["workflows.argoproj.io/workflow"]
    node_id = metadata["annotations"].get("workflows.argoproj.io/node-id", pod)
    return Node(pod, metadata["uid"], workflow, node_id)


def lose(place: Place, run: str, how: Callable[[str], None]) -> Loss:
    """Loses the Trainer's pod of a run."""
    made_again = True
    while made_again:
        node = find_node(wait_for_pod(run, "Trainer", "epoch"))
        how(node.pod)
        made_again = node.wait_until_made_again()
    result = place.kubeflow("watch", run, "--json")
    assert result.code == 1, result.stdout + result.stderr
    return Loss(run, result.states["Trainer"] == "done", " ".join(result.json["reasons"]))


def retry(place: Place, loss: Loss) -> None:
    """Retries a run, and waits for its end."""
    result = place.kubeflow("retry", loss.run, "--wait")
    assert result.code == 0, result.stdout + result.stderr
    assert "Pushed version 1" in result.stdout
    assert (find_run_id(result) != loss.run) == loss.counted_as_done


def lose_and_retry(place: Place, ways: Sequence[Callable[[str], None]]) -> None:
    """Loses and retries runs, so many at once that the machine is busy."""
    losses: list[Loss] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for first in range(0, len(ways), AT_ONCE):
            batch = ways[first : first + AT_ONCE]
            places = [place] * len(batch)
            set_training_time(LONG_S)
            batch_losses = list(pool.map(lose, places, list(pool.map(submit, places)), batch))
            set_training_time(SHORT_S)
            list(pool.map(retry, places, batch_losses))
            losses += batch_losses
    counted = sum(loss.counted_as_done for loss in losses)
    print(*losses, f"lost {len(losses)}, counted as done {counted}, all reported and retried", sep="\n")
    for loss in losses:
        assert "Trainer" in loss.reasons and "pod" in loss.reasons
        message = "Trainer was counted as done but left no model: its pod was lost."
        assert (loss.reasons == message) == loss.counted_as_done


def test_ten_trainers_whose_pods_were_deleted_are_reported_and_retried(stand_in: Place) -> None:
    lose_and_retry(stand_in, [delete, delete_and_hold] * (DELETED // 2))


def test_trainers_that_the_cluster_counts_as_done_are_retried_in_a_new_run(stand_in: Place) -> None:
    """Argo before 3.4 counts each of them as done; a later one counts it as failed."""
    lose_and_retry(stand_in, [end_by_sigterm] * ENDED_BY_SIGTERM)
