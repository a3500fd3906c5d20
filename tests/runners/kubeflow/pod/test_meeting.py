"""The meeting of the pods of one training."""

import json
import shutil
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from edgeline.errors import EdgelineError
from runners.kubeflow.pod import meeting
from runners.kubeflow.pod.meeting import meet


@pytest.fixture(autouse=True)
def _set_known_name(monkeypatch):
    """Sets a known host name: unlike a pod, a machine may not know its own."""
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    monkeypatch.setattr(meeting, "_POLL_S", 0.05)


def join(pool: ThreadPoolExecutor, folder: Path, index: int, count: int = 2) -> Future[str]:
    return pool.submit(meet, folder, index, count, wait_s=20)


def test_all_pods_get_the_same_list_and_a_place_in_it(tmp_path):
    with ThreadPoolExecutor(3) as pool:
        waiting = [join(pool, tmp_path, index, count=3) for index in (2, 0, 1)]
    two, zero, one = (json.loads(future.result()) for future in waiting)
    assert zero["cluster"] == one["cluster"] == two["cluster"]
    assert len(set(zero["cluster"]["worker"])) == 3
    assert [config["task"] for config in (zero, one, two)] == [
        {"type": "worker", "index": index} for index in range(3)
    ]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_pod_that_comes_again_after_a_loss_meets_the_other_and_not_the_leftovers(tmp_path, lost):
    with ThreadPoolExecutor(2) as pool:
        before = [join(pool, tmp_path, index) for index in range(2)]
        gone, _ = (json.loads(future.result())["cluster"]["worker"] for future in before)
        first = join(pool, tmp_path, lost)
        time.sleep(0.2)  # It sees the leftovers of the lost ones twice.
        assert not first.done()
        other = join(pool, tmp_path, 1 - lost)
        lists = [json.loads(future.result())["cluster"]["worker"] for future in (first, other)]
    assert lists[0] == lists[1]
    assert not set(lists[0]) & set(gone)


def test_a_pod_that_came_again_before_the_first_one_failed_meets_it_later(tmp_path):
    """The first one removes the folder when it fails."""
    folder = tmp_path / "run"
    with ThreadPoolExecutor(2) as pool:
        early = join(pool, folder, 1)
        while not (folder / "1").exists():
            time.sleep(0.01)
        shutil.rmtree(folder)
        time.sleep(0.1)  # It looks again.
        late = join(pool, folder, 0)
        lists = [json.loads(future.result())["cluster"]["worker"] for future in (early, late)]
    assert lists[0] == lists[1]


def test_a_pod_that_waits_in_vain_names_the_missing_ones(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(meet, tmp_path, index, 4, wait_s=0.2) for index in (0, 2)]
    for future in waiting:
        with pytest.raises(EdgelineError, match="workers 1 and 3 did not join"):
            future.result()
