"""Helpers for a real cluster of any kind with Kubeflow Pipelines, through kubectl and its API.

KUBECONFIG, KFP_ENDPOINT and IMAGE (with a tag, and on the nodes already) come from `make test-cluster`. The
pods of pipelines run in KFP_NAMESPACE (kubeflow). They reach the store at S3_ENDPOINT, and this machine
reaches it at S3_ENDPOINT_HERE (http://127.0.0.1:9000, a forwarded port). With KFP_GROUPS, from KFP 2.5 on,
the steps are in groups. Everything made here has a name of its own.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import SMALL, Ended, edgeline

NEEDED = ("KUBECONFIG", "KFP_ENDPOINT", "IMAGE")
NAMESPACE = os.environ.get("KFP_NAMESPACE", "kubeflow")
_SECRET = os.environ.get("S3_SECRET", "mlpipeline-minio-artifact")
# Three short weeks: a run is mostly starting pods.
WEEKS, PHOTOS = 3, 80


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if not missing and shutil.which("kubectl") is None:
        missing = ["kubectl"]
    for item in items:
        if "tests/cluster" in str(item.path):
            item.add_marker(pytest.mark.timeout(5400))
            if missing:
                reason = f"needs a cluster with Kubeflow Pipelines; missing: {', '.join(missing)}"
                item.add_marker(pytest.mark.skip(reason=reason))


def kubectl(*arguments: str, manifest: object = None, check: bool = True) -> str:
    result = subprocess.run(
        ["kubectl", "--namespace", NAMESPACE, *arguments],
        input=None if manifest is None else json.dumps(manifest),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if check and result.returncode:
        raise AssertionError(f"kubectl {' '.join(arguments)}: {result.stderr}")
    return result.stdout


def find_run_id(result: Ended) -> str:
    """Returns the id of the last run that a command printed, in a link to the UI or in words."""
    ids = re.findall(r"[Rr]uns?(?:/details/| )([0-9a-f-]{36})", result.stdout + result.stderr)
    assert ids, result.stdout + result.stderr
    return str(ids[-1])


def find_pods(step: str, run: str = "") -> dict[str, str]:
    """Returns the pods that run a step in our entry point, by the id of the run: of all runs, or of one."""
    label = f"pipeline/runid={run}" if run else "pipeline/runid"
    pods = json.loads(kubectl("get", "pods", "-l", label, "-o", "json"))["items"]
    return {
        pod["metadata"]["labels"]["pipeline/runid"]: pod["metadata"]["name"]
        for pod in pods
        if any(_runs_step(step, container) for container in pod["spec"]["containers"])
    }


def _runs_step(step: str, container: dict[str, list[str]]) -> bool:
    command = " ".join([*container.get("command", []), *container.get("args", []), ""])
    return "runners.kubeflow.pod.entry" in command and f"--step {step} " in command


def get_uid(pod: str) -> str:
    """Returns the uid of a pod; a pod that a retry makes under the same name has another."""
    return kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")


def read_log(pod: str) -> str:
    return kubectl("logs", pod, "-c", "main", check=False)


def wait_for_pod(run: str, step: str, sign: str) -> str:
    """Waits until the log of a step's pod has a sign of its work; returns the pod."""
    end = time.monotonic() + 1800
    while time.monotonic() < end:
        pod = find_pods(step, run).get(run)
        if pod is not None and sign in read_log(pod):
            return pod
        time.sleep(2)
    raise AssertionError(kubectl("get", "pods", "-l", f"pipeline/runid={run}"))


# Ends everything that Argo's first process in a container has started.
_SIGTERM = """
import glob, os
for path in glob.glob("/proc/[0-9]*/stat"):
    pid, (_, parent, *_) = int(path.split("/")[2]), open(path).read().rpartition(")")[2].split()[:3]
    if parent == "1":
        print("found", flush=True)
        os.killpg(pid, 15)
"""


def end_by_sigterm(pod: str) -> None:
    """Ends the program in a pod as Argo does, with SIGTERM to KFP's launcher and its children.

    A deleted pod gets the same signal, unless its image names another one.
    """
    # The command may end with the container, and a step may end seconds after its start.
    for _ in range(600):
        if "found" in kubectl("exec", pod, "-c", "main", "--", "python", "-c", _SIGTERM, check=False):
            return
        time.sleep(0.1)
    raise AssertionError(kubectl("describe", "pod", pod))


class Place:
    """The place of a test's spans and releases, and a way to run `edgeline` beside them.

    Args:
        name: Unique on the cluster.
        data: `pvc://...` or `s3://...`, as the settings have it.
        push: The same.
        claim: The claim to mount; None for a bucket.
        env: Environment of pods, as Kubernetes writes it.
    """

    def __init__(
        self, name: str, data: str, push: str, claim: str | None, env: list[dict[str, Any]], folder: Path
    ) -> None:
        self.name, self.data, self.push, self.claim, self.env = name, data, push, claim, env
        self.folder = folder

    def run_in_pod(self, command: str) -> Ended:
        """Runs a shell command in the image, on the cluster."""
        pod = f"edgeline-test-{uuid.uuid4().hex[:8]}"
        mounts = [{"name": "claim", "mountPath": f"/mnt/{self.claim}"}] if self.claim else []
        claim = {"name": "claim", "persistentVolumeClaim": {"claimName": self.claim}}
        container = {
            "name": "main",
            "image": os.environ["IMAGE"],
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", command],
            "env": self.env,
            "volumeMounts": mounts,
        }
        spec = {"restartPolicy": "Never", "containers": [container], "volumes": [claim] if self.claim else []}
        kubectl("create", "-f", "-", manifest=_make_object("v1", "Pod", pod, spec=spec))
        phase = ""
        try:
            end = time.monotonic() + 600
            while phase not in ("Succeeded", "Failed"):
                assert time.monotonic() < end, kubectl("describe", "pod", pod)
                time.sleep(1)
                phase = kubectl("get", "pod", pod, "-o", "jsonpath={.status.phase}")
            output = kubectl("logs", pod)
        finally:
            kubectl("delete", "pod", pod, "--wait=false", check=False)
        return Ended(0 if phase == "Succeeded" else 1, output, "")

    def get_path(self, location: str) -> str:
        """Returns a location of the settings as a pod sees it."""
        return location.replace("pvc://", "/mnt/")

    def generate(self, weeks: int = 1, fault: str = "") -> None:
        """Adds weeks of photos to the data."""
        target = self.get_path(self.data)
        local = target if self.claim else "/tmp/data"
        command = f"python -m runners.cli data generate --data {local} --weeks {weeks}"
        command += f" --photos-per-week {PHOTOS}" + (f" --fault {fault}" if fault else "")
        if not self.claim:
            copy = "import fsspec, sys; fsspec.filesystem('s3').{}(*sys.argv[1:], recursive=True)"
            existing = f"""python -c "{copy.format("get")}" {target}/ {local}/ 2>/dev/null || true"""
            command = f"""{existing}; {command} && python -c "{copy.format("put")}" {local}/ {target}/"""
        result = self.run_in_pod(command)
        assert result.code == 0, result.stdout

    def read_production(self) -> dict[str, Any]:
        """Returns the production entry of `edgeline status`."""
        store = self.get_path(self.push)
        result = self.run_in_pod(f"python -m runners.cli status --json --store {store} 2>&1")
        assert result.code == 0, result.stdout
        production: dict[str, Any] = json.loads(result.stdout)["production"]
        return production

    def verify(self) -> Ended:
        """Runs `edgeline verify` on the releases."""
        store = self.get_path(self.push)
        return self.run_in_pod(f"python -m runners.cli verify --workload shelf --store {store} 2>&1")

    def write_settings(self) -> Path:
        """Writes the file for `--settings`."""
        path = self.folder / "kubeflow.yaml"
        kubeflow = {
            "image": os.environ["IMAGE"],
            "pipeline_root": os.environ.get("KFP_PIPELINE_ROOT", "minio://mlpipeline/v2/artifacts"),
            "data": self.data,
            "push": self.push,
            "host": os.environ["KFP_ENDPOINT"],
            "experiment": self.name,
            "groups": bool(os.environ.get("KFP_GROUPS")),
            "env": {item["name"]: item["value"] for item in self.env if "value" in item},
            "secrets": {
                item["name"]: "{name}/{key}".format(**item["valueFrom"]["secretKeyRef"])
                for item in self.env
                if "valueFrom" in item
            },
        }
        path.write_text(json.dumps({"kubeflow": kubeflow}), encoding="utf-8")
        return path

    def kubeflow(self, command: str, *arguments: str, settings: tuple[str, ...] = SMALL) -> Ended:
        """Runs `edgeline kubeflow COMMAND` on this machine."""
        sets = [part for setting in settings for part in ("--set", setting)]
        return edgeline(
            self.folder, "kubeflow", command, "--settings", str(self.write_settings()), *sets, *arguments
        )


@contextmanager
def serve_in_pod(command: str) -> Iterator[tuple[str, str]]:
    """Starts a server at port 5000 in a pod, with a shell command; yields the pod and its URL for others."""
    pod = f"edgeline-test-{uuid.uuid4().hex[:8]}"
    probe = {"tcpSocket": {"port": 5000}, "periodSeconds": 2}
    container = {"name": "main", "image": os.environ["IMAGE"], "imagePullPolicy": "IfNotPresent"}
    container |= {"command": ["sh", "-c", command], "readinessProbe": probe}
    spec = {"restartPolicy": "Never", "containers": [container]}
    kubectl("create", "-f", "-", manifest=_make_object("v1", "Pod", pod, spec=spec))
    try:
        kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=600s")
        yield pod, f"http://{kubectl('get', 'pod', pod, '-o', 'jsonpath={.status.podIP}')}:5000"
    finally:
        kubectl("delete", "pod", pod, "--wait=false", check=False)


def make_bucket_env(place: Place) -> dict[str, str]:
    """Returns the environment in which a command on this machine reaches the bucket of a place."""
    secret = json.loads(kubectl("get", "secret", _SECRET, "-o", "json"))["data"]
    keys = {
        item["name"]: item["valueFrom"]["secretKeyRef"]["key"] for item in place.env if "valueFrom" in item
    }
    env = {name: base64.b64decode(secret[key]).decode() for name, key in keys.items()}
    return env | {"AWS_ENDPOINT_URL": os.environ.get("S3_ENDPOINT_HERE", "http://127.0.0.1:9000")}


def _make_object(version: str, kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}


@pytest.fixture(scope="module")
def on_claim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place with data and releases on one volume claim."""
    name = f"edgeline-test-{uuid.uuid4().hex[:8]}"
    size = {"requests": {"storage": "2Gi"}}
    spec = {"accessModes": [os.environ.get("KFP_ACCESS_MODE", "ReadWriteOnce")], "resources": size}
    kubectl("create", "-f", "-", manifest=_make_object("v1", "PersistentVolumeClaim", name, spec=spec))
    place = Place(name, f"pvc://{name}/data", f"pvc://{name}/push", name, [], tmp_path_factory.mktemp(name))
    try:
        # A new volume may belong to root; the image runs as another user.
        place.generate(WEEKS)
        yield place
    finally:
        kubectl("delete", "pvc", name, "--wait=false", check=False)


@pytest.fixture(scope="module")
def on_bucket(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with data and releases in an object store, by default that of Kubeflow Pipelines."""
    name = f"edgeline-test-{uuid.uuid4().hex[:8]}"
    bucket = os.environ.get("S3_BUCKET", "mlpipeline")
    env: list[dict[str, Any]] = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": _SECRET, "key": key}}}
        for variable, key in (("AWS_ACCESS_KEY_ID", "accesskey"), ("AWS_SECRET_ACCESS_KEY", "secretkey"))
    ]
    endpoint = os.environ.get("S3_ENDPOINT", f"http://minio-service.{NAMESPACE}:9000")
    env.append({"name": "AWS_ENDPOINT_URL", "value": endpoint})
    root = f"s3://{bucket}/{name}"
    place = Place(name, f"{root}/data", f"{root}/push", None, env, tmp_path_factory.mktemp(name))
    place.generate(WEEKS)
    return place
