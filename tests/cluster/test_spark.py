"""A run whose data steps are drivers of Spark, with executors in pods of their own."""

import json
import time

import pytest

from tests.cluster.conftest import Place, find_pods, find_run_id, kubectl, read_log, wait_for_pod
from tests.e2e.conftest import SMALL

pytestmark = pytest.mark.cluster
DRIVERS = ("ExampleGen", "StatisticsGen", "Transform", "Evaluator")


def list_executors(driver: str) -> list[str]:
    """Returns the running executors of a driver's pod."""
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
    submission = on_claim.kubeflow("submit", settings=(*SMALL, *spark))
    assert submission.code == 0, submission.stderr
    run = find_run_id(submission)
    driver = wait_for_pod(run, "Transform", "tasks at once")
    end = time.monotonic() + 300
    while len(executors := list_executors(driver)) < 2:
        assert time.monotonic() < end, kubectl("get", "pods")
        time.sleep(1)
    kubectl("delete", "pod", executors[0], "--grace-period=0", "--force")
    result = on_claim.kubeflow("watch", run)
    assert result.code == 0, result.stdout + result.stderr
    assert "Pushed version 1" in result.stdout
    logs = {step: read_log(find_pods(step, run)[run]) for step in DRIVERS}
    assert [step for step, log in logs.items() if "tasks at once" in log] == [*DRIVERS]
    assert not on_claim.run_in_pod(f"ls /mnt/{on_claim.claim}/spill").stdout.strip()
    # Kubernetes ends executors with their driver.
    end = time.monotonic() + 300
    while any(list_executors(find_pods(step, run)[run]) for step in DRIVERS):
        assert time.monotonic() < end, kubectl("get", "pods")
        time.sleep(1)
