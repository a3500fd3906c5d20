"""Pods that are lost in the middle of a training, on a machine that is busy with others of them.

How the cluster counts a pod that was deleted is a race: it may see how the pod ended, or only that it is
gone. A finalizer keeps every second one until it has been seen. Or it makes the pod again by itself, as of
one that it still took for waiting when it was gone; nothing is lost then, and the new one is deleted too.
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

from tests.cluster.conftest import Place, end_by_sigterm, kubectl, run_id, working
from tests.cluster.stand_in import pipeline

pytestmark = pytest.mark.cluster

DELETED, ENDED_BY_SIGTERM, AT_ONCE = 10, 3, 5
# A step to be lost trains until it is lost; one that is made again, for a moment.
SECRET, LONG_S, SHORT_S = f"edgeline-test-{uuid.uuid4().hex[:8]}", 900, 5
HOLD = "edgeline.test/hold"


@dataclass(frozen=True)
class Loss:
    """The end of a run whose Trainer lost its pod.

    Attributes:
        run: Its id.
        counted_as_done: Whether the cluster shows the Trainer as done.
        reasons: Why it failed, by `watch`.
    """

    run: str
    counted_as_done: bool
    reasons: str


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place whose package is the stand-in pipeline; nothing is stored."""
    folder = tmp_path_factory.mktemp("stand-in")
    package = yaml.safe_dump_all(pipeline(os.environ["IMAGE"], SECRET))
    (folder / "pipeline.yaml").write_text(package, encoding="utf-8")
    kubectl("create", "secret", "generic", SECRET)
    yield Place("edgeline-stand-in", "pvc://none/data", "pvc://none/push", None, [], folder)
    kubectl("delete", "secret", SECRET)


def train_for(seconds: int) -> None:
    patch = json.dumps({"stringData": {"seconds": str(seconds)}})
    kubectl("patch", "secret", SECRET, "--type=merge", "-p", patch)


def submit(place: Place) -> str:
    ended = place.kubeflow("submit", "--package", str(place.folder / "pipeline.yaml"))
    assert ended.code == 0, ended.stderr
    return run_id(ended)


def delete(pod: str) -> None:
    kubectl("delete", "pod", pod, "--grace-period=5")


def delete_and_hold(pod: str) -> None:
    """Deletes a pod that stays until the cluster has counted it."""
    node = node_of(pod)
    finalize(pod, [HOLD])
    try:
        kubectl("delete", "pod", pod, "--grace-period=5", "--wait=false")
        end = time.monotonic() + 300
        while node.phase() == "Running":
            assert time.monotonic() < end, kubectl("describe", "pod", pod)
            time.sleep(1)
    finally:
        finalize(pod, None)


def finalize(pod: str, finalizers: list[str] | None) -> None:
    patch = json.dumps({"metadata": {"finalizers": finalizers}})
    kubectl("patch", "pod", pod, "--type=merge", "-p", patch)


@dataclass(frozen=True)
class Node:
    """A pod as its workflow knows it; one that is made again has the same name and another uid."""

    pod: str
    uid: str
    workflow: str
    id: str

    def phase(self) -> str:
        workflow = json.loads(kubectl("get", "workflow", self.workflow, "-o", "json"))
        return str(workflow["status"]["nodes"][self.id]["phase"])

    def came_again(self) -> bool:
        """Returns true if Argo made the pod again by itself, because it had not seen yet that it ran."""
        end = time.monotonic() + 600
        while self.phase() in ("Pending", "Running"):
            assert time.monotonic() < end, kubectl("get", "workflow", self.workflow, "-o", "yaml")
            uid = kubectl("get", "pod", self.pod, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
            if uid.strip() not in ("", self.uid):
                return True
            time.sleep(1)
        return False


def node_of(pod: str) -> Node:
    found = json.loads(kubectl("get", "pod", pod, "-o", "json"))["metadata"]
    workflow = found["labels"]["workflows.argoproj.io/workflow"]
    return Node(pod, found["uid"], workflow, found["annotations"].get("workflows.argoproj.io/node-id", pod))


def lose(place: Place, run: str, how: Callable[[str], None]) -> Loss:
    """Loses the Trainer's pod of a run."""
    again = True
    while again:
        node = node_of(working(run, "Trainer", "epoch"))
        how(node.pod)
        again = node.came_again()
    watched = place.kubeflow("watch", run, "--json")
    assert watched.code == 1, watched.stdout + watched.stderr
    return Loss(run, watched.states["Trainer"] == "done", " ".join(watched.json["reasons"]))


def pick_up(place: Place, loss: Loss) -> None:
    """Has a run picked up again, and sees it to its end."""
    again = place.kubeflow("retry", loss.run, "--wait")
    assert again.code == 0, again.stdout + again.stderr
    assert "Pushed version 1" in again.stdout
    assert (run_id(again) != loss.run) == loss.counted_as_done


def lose_and_pick_up(place: Place, ways: Sequence[Callable[[str], None]]) -> None:
    """Starts as many runs at once as make the machine busy."""
    losses: list[Loss] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for first in range(0, len(ways), AT_ONCE):
            some = ways[first : first + AT_ONCE]
            places = [place] * len(some)
            train_for(LONG_S)
            lost = list(pool.map(lose, places, list(pool.map(submit, places)), some))
            train_for(SHORT_S)
            list(pool.map(pick_up, places, lost))
            losses += lost
    counted = sum(loss.counted_as_done for loss in losses)
    print(*losses, f"lost {len(losses)}, counted as done {counted}, all told and picked up", sep="\n")
    for loss in losses:
        assert "Trainer" in loss.reasons and "pod" in loss.reasons
        reason = "Trainer was counted as done but left no model: its pod was lost."
        assert (loss.reasons == reason) == loss.counted_as_done


def test_ten_trainers_whose_pods_were_deleted_are_told_and_picked_up(stand_in: Place) -> None:
    lose_and_pick_up(stand_in, [delete, delete_and_hold] * (DELETED // 2))


def test_trainers_that_the_cluster_counts_as_done_are_told_and_made_in_a_new_run(stand_in: Place) -> None:
    """Argo before 3.4 counts each of them so; for a later one they failed."""
    lose_and_pick_up(stand_in, [end_by_sigterm] * ENDED_BY_SIGTERM)
