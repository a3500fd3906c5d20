"""Weeks of one team on a real cluster: each test is the next thing that happens there."""

import json
import re
import time

import pytest

from tests.cluster.conftest import Place, kubectl
from tests.e2e.conftest import SMALL, Ended

pytestmark = pytest.mark.cluster

# Any model is good enough, so that each run that trains pushes.
NO_BOUNDS = (*SMALL, "evaluation.bounds=[]")
# Long enough for its pod to be found and ended in the middle.
SLOW = (*NO_BOUNDS, "trainer.epochs=60", "trainer.early_stopping_patience=0")


def run_id(ended: Ended) -> str:
    """The id in the URL that `submit` printed."""
    match = re.search(r"runs/details/([0-9a-f-]{36})", ended.stdout + ended.stderr)
    assert match, ended.stdout + ended.stderr
    return match[1]


def trainers() -> dict[str, str]:
    """The pod of the Trainer by the id of its run."""
    pods = json.loads(kubectl("get", "pods", "-l", "pipeline/runid", "-o", "json"))["items"]
    return {
        pod["metadata"]["labels"]["pipeline/runid"]: pod["metadata"]["name"]
        for pod in pods
        if any(_runs_trainer(c) for c in pod["spec"]["containers"])
    }


def _runs_trainer(container: dict[str, list[str]]) -> bool:
    command = " ".join([*container.get("command", []), *container.get("args", [])])
    return "runners.kubeflow_entry" in command and "--step Trainer" in command


def uid(pod: str) -> str:
    """Tells a pod from the one that a retry makes anew under the same name."""
    return kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")


def log_of(pod: str) -> str:
    return kubectl("logs", pod, "-c", "main", check=False)


def test_a_run_ends_in_a_pushed_release_that_verify_accepts(on_claim: Place) -> None:
    ended = on_claim.kubeflow("submit", "--wait")
    assert ended.code == 0, ended.stdout + ended.stderr
    assert "Pushed version 1" in ended.stdout
    assert on_claim.production()["version"] == 1
    verified = on_claim.verify()
    assert verified.code == 0, verified.stdout


def test_a_week_that_the_gate_refuses_leaves_production_alone(on_claim: Place) -> None:
    on_claim.generate(1, "corrupt=0.4")
    ended = on_claim.kubeflow("submit", "--wait")
    assert ended.code == 4, ended.stdout + ended.stderr
    assert "were set aside" in ended.stdout + ended.stderr
    assert on_claim.production()["version"] == 1
    record = on_claim.in_pod(f"ls {on_claim.at(on_claim.push)}/runs/shelf/{run_id(ended)}")
    assert record.stdout.split() == ["facts.json", "report.html"]


def test_a_lost_trainer_is_picked_up_by_retry_and_nothing_is_pushed_by_half(on_claim: Place) -> None:
    """Without the week that was refused, whose exclusion is all that a person has to do."""
    data = on_claim.at(on_claim.data)
    excluded = on_claim.in_pod(
        f"python -m runners.cli data exclude span-00004 --reason 'a broken phone' --data {data} 2>&1"
    )
    assert excluded.code == 0, excluded.stdout
    submitted = on_claim.kubeflow("submit", settings=SLOW)
    assert submitted.code == 0, submitted.stderr
    run = run_id(submitted)
    pod = _training(run)
    lost = uid(pod)
    kubectl("delete", "pod", pod, "--grace-period=5")
    ended = on_claim.kubeflow("watch", run)
    assert ended.code == 1, ended.stdout + ended.stderr
    assert on_claim.production()["version"] == 1
    assert on_claim.verify().code == 0

    again = on_claim.kubeflow("retry", run, "--wait")
    assert again.code == 0, again.stdout + again.stderr
    assert "Pushed version 2" in again.stdout
    assert uid(trainers()[run]) != lost
    verified = on_claim.verify()
    assert verified.code == 0, verified.stdout


def _training(run: str) -> str:
    """The pod of the Trainer of a run, some epochs after its start."""
    end = time.monotonic() + 1200
    while time.monotonic() < end:
        pod = trainers().get(run)
        if pod is not None and "epoch" in log_of(pod):
            return pod
        time.sleep(2)
    raise AssertionError(kubectl("get", "pods", "-l", f"pipeline/runid={run}"))


def test_a_recurring_run_trains_each_time_it_fires(on_claim: Place) -> None:
    """One whose steps all come from a cache would end green and do nothing."""
    before, first = set(trainers()), on_claim.production()["version"] or 0
    made = on_claim.kubeflow("schedule", "--cron", "0 * * * * *", settings=NO_BOUNDS)
    assert made.code == 0, made.stdout + made.stderr
    try:
        end = time.monotonic() + 3000
        version = first
        while version < first + 2:
            assert time.monotonic() < end, f"version {version} is in production"
            time.sleep(15)
            version = on_claim.production()["version"] or 0
    finally:
        # The first call keeps it from firing; it is gone once the run that it fired last has ended.
        end = time.monotonic() + 1800
        while (removed := on_claim.kubeflow("schedule", "--delete")).code and time.monotonic() < end:
            time.sleep(15)
        fired = set(trainers()) - before
        for run in fired:
            kubectl("delete", "workflow", "-l", f"pipeline/runid={run}", "--wait=false", check=False)
    assert removed.code == 0, removed.stderr
    trained = [run for run in fired if "Done: Trainer" in log_of(trainers()[run])]
    assert len(trained) >= 2
    assert on_claim.name not in on_claim.kubeflow("schedule", "--list").stdout


def test_data_and_releases_can_live_in_an_object_store(on_bucket: Place) -> None:
    ended = on_bucket.kubeflow("submit", "--wait")
    assert ended.code == 0, ended.stdout + ended.stderr
    assert on_bucket.production()["version"] == 1
    verified = on_bucket.verify()
    assert verified.code == 0, verified.stdout
