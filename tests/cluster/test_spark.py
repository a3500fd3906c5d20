"""A run whose data steps are drivers of Spark, with executors in pods of their own."""

import json
import time

import pytest

from tests.cluster.conftest import Place, kubectl, log_of, pods_of, run_id, working
from tests.e2e.conftest import SMALL

pytestmark = pytest.mark.cluster
DRIVERS = ("ExampleGen", "StatisticsGen", "Transform", "Evaluator")


def executors_of(driver: str) -> list[str]:
    """The executors that run for a driver's pod."""
    pods = json.loads(kubectl("get", "pods", "-l", "spark-role=executor", "-o", "json"))["items"]
    return [
        pod["metadata"]["name"]
        for pod in pods
        if pod["status"]["phase"] == "Running"
        and driver in [owner["name"] for owner in pod["metadata"]["ownerReferences"]]
    ]


def test_data_steps_run_in_two_executors_each_and_go_on_after_one_was_lost(on_claim: Place) -> None:
    spark = (
        "beam.engine=spark",
        "beam.master=k8s://https://kubernetes.default.svc",
        "beam.workers=2",
        # The cluster may have less than a core free for each.
        "beam.flags=[--spark_conf=spark.kubernetes.executor.request.cores=0.1]",
        f"kubeflow.spill=pvc://{on_claim.claim}/spill",
    )
    submitted = on_claim.kubeflow("submit", settings=(*SMALL, *spark))
    assert submitted.code == 0, submitted.stderr
    run = run_id(submitted)
    driver = working(run, "Transform", "tasks at once")
    end = time.monotonic() + 300
    while len(found := executors_of(driver)) < 2:
        assert time.monotonic() < end, kubectl("get", "pods")
        time.sleep(1)
    kubectl("delete", "pod", found[0], "--grace-period=0", "--force")
    ended = on_claim.kubeflow("watch", run)
    assert ended.code == 0, ended.stdout + ended.stderr
    assert "Pushed version 1" in ended.stdout
    logs = {step: log_of(pods_of(step, run)[run]) for step in DRIVERS}
    assert [step for step, log in logs.items() if "tasks at once" in log] == [*DRIVERS]
    assert not on_claim.in_pod(f"ls /mnt/{on_claim.claim}/spill").stdout.strip()
    # Kubernetes ends executors with their driver.
    end = time.monotonic() + 300
    while any(executors_of(pods_of(step, run)[run]) for step in DRIVERS):
        assert time.monotonic() < end, kubectl("get", "pods")
        time.sleep(1)
