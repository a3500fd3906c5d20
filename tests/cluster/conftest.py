"""A real cluster with Kubeflow Pipelines, seen through kubectl and its API; whatever cluster that is.

KUBECONFIG, KFP_ENDPOINT and IMAGE (with a tag, and on the nodes already) come from `make test-cluster`;
KFP_NAMESPACE (kubeflow) is where the pipelines' pods run. S3_ENDPOINT is what they reach the store at, and
S3_ENDPOINT_HERE (http://127.0.0.1:9000, where its port is forwarded) what this machine does. With KFP_GROUPS,
from KFP 2.5 on, the steps are in groups. Everything made here has a name of its own.
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
    done = subprocess.run(
        ["kubectl", "--namespace", NAMESPACE, *arguments],
        input=None if manifest is None else json.dumps(manifest),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def run_id(ended: Ended) -> str:
    """The id of the last run that a command printed: in a link where it has the UI, else in words."""
    found = re.findall(r"[Rr]uns?(?:/details/| )([0-9a-f-]{36})", ended.stdout + ended.stderr)
    assert found, ended.stdout + ended.stderr
    return str(found[-1])


def pods_of(step: str, run: str = "") -> dict[str, str]:
    """The pod that runs a step in our entry, by the id of its run: of all runs, or of one."""
    label = f"pipeline/runid={run}" if run else "pipeline/runid"
    pods = json.loads(kubectl("get", "pods", "-l", label, "-o", "json"))["items"]
    return {
        pod["metadata"]["labels"]["pipeline/runid"]: pod["metadata"]["name"]
        for pod in pods
        if any(_runs(step, container) for container in pod["spec"]["containers"])
    }


def _runs(step: str, container: dict[str, list[str]]) -> bool:
    command = " ".join([*container.get("command", []), *container.get("args", []), ""])
    return "runners.kubeflow.pod.entry" in command and f"--step {step} " in command


def uid(pod: str) -> str:
    """Tells a pod from the one that a retry makes under the same name."""
    return kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")


def log_of(pod: str) -> str:
    return kubectl("logs", pod, "-c", "main", check=False)


def working(run: str, step: str, sign: str) -> str:
    """The pod of a step of a run, as soon as its log has the sign that it is at work."""
    end = time.monotonic() + 1800
    while time.monotonic() < end:
        pod = pods_of(step, run).get(run)
        if pod is not None and sign in log_of(pod):
            return pod
        time.sleep(2)
    raise AssertionError(kubectl("get", "pods", "-l", f"pipeline/runid={run}"))


# All that Argo's own first process in a container has started.
_SIGTERM = """
import glob, os
for path in glob.glob("/proc/[0-9]*/stat"):
    pid, (_, parent, *_) = int(path.split("/")[2]), open(path).read().rpartition(")")[2].split()[:3]
    if parent == "1":
        print("found", flush=True)
        os.killpg(pid, 15)
"""


def end_by_sigterm(pod: str) -> None:
    """Ends the program in a pod as Argo does, with SIGTERM to KFP's launcher and what it started.

    Where an image names no other stop signal, a pod that is deleted gets the same.
    """
    # It may go down with the container; and a step may end seconds after it has begun.
    for _ in range(600):
        if "found" in kubectl("exec", pod, "-c", "main", "--", "python", "-c", _SIGTERM, check=False):
            return
        time.sleep(0.1)
    raise AssertionError(kubectl("describe", "pod", pod))


class Place:
    """The place of one test's spans and releases, and a way to run `edgeline` beside them.

    Args:
        name: Unique on the cluster.
        data: `pvc://...` or `s3://...`, as the settings have it.
        push: The same.
        claim: The claim to mount; None where there is none.
        env: Environment of pods, in the words of Kubernetes.
    """

    def __init__(
        self, name: str, data: str, push: str, claim: str | None, env: list[dict[str, Any]], folder: Path
    ) -> None:
        self.name, self.data, self.push, self.claim, self.env = name, data, push, claim, env
        self.folder = folder

    def in_pod(self, command: str) -> Ended:
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
        kubectl("create", "-f", "-", manifest=_object("v1", "Pod", pod, spec=spec))
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

    def at(self, location: str) -> str:
        """A location of the settings as a pod sees it."""
        return location.replace("pvc://", "/mnt/")

    def generate(self, weeks: int = 1, fault: str = "") -> None:
        """Adds weeks of photos to the data."""
        target = self.at(self.data)
        local = target if self.claim else "/tmp/data"
        command = f"python -m runners.cli data generate --data {local} --weeks {weeks}"
        command += f" --photos-per-week {PHOTOS}" + (f" --fault {fault}" if fault else "")
        if not self.claim:
            copy = "import fsspec, sys; fsspec.filesystem('s3').{}(*sys.argv[1:], recursive=True)"
            existing = f"""python -c "{copy.format("get")}" {target}/ {local}/ 2>/dev/null || true"""
            command = f"""{existing}; {command} && python -c "{copy.format("put")}" {local}/ {target}/"""
        ended = self.in_pod(command)
        assert ended.code == 0, ended.stdout

    def production(self) -> dict[str, Any]:
        """Returns the version that `edgeline status` calls the one in production."""
        ended = self.in_pod(f"python -m runners.cli status --json --store {self.at(self.push)} 2>&1")
        assert ended.code == 0, ended.stdout
        production: dict[str, Any] = json.loads(ended.stdout)["production"]
        return production

    def verify(self) -> Ended:
        """`edgeline verify` on what was pushed."""
        store = self.at(self.push)
        return self.in_pod(f"python -m runners.cli verify --workload shelf --store {store} 2>&1")

    def settings(self) -> Path:
        """The file for `--settings`."""
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
        """`edgeline kubeflow COMMAND` on this machine."""
        sets = [part for setting in settings for part in ("--set", setting)]
        return edgeline(
            self.folder, "kubeflow", command, "--settings", str(self.settings()), *sets, *arguments
        )


@contextmanager
def listening(command: str) -> Iterator[tuple[str, str]]:
    """A pod of the image with a server at port 5000, which a shell command starts; and its URL for others."""
    pod = f"edgeline-test-{uuid.uuid4().hex[:8]}"
    probe = {"tcpSocket": {"port": 5000}, "periodSeconds": 2}
    container = {"name": "main", "image": os.environ["IMAGE"], "imagePullPolicy": "IfNotPresent"}
    container |= {"command": ["sh", "-c", command], "readinessProbe": probe}
    spec = {"restartPolicy": "Never", "containers": [container]}
    kubectl("create", "-f", "-", manifest=_object("v1", "Pod", pod, spec=spec))
    try:
        kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=600s")
        yield pod, f"http://{kubectl('get', 'pod', pod, '-o', 'jsonpath={.status.podIP}')}:5000"
    finally:
        kubectl("delete", "pod", pod, "--wait=false", check=False)


def within_reach(place: Place) -> dict[str, str]:
    """The environment in which a command on this machine reaches the bucket that the pods of a place use."""
    secret = json.loads(kubectl("get", "secret", _SECRET, "-o", "json"))["data"]
    keys = {
        item["name"]: item["valueFrom"]["secretKeyRef"]["key"] for item in place.env if "valueFrom" in item
    }
    env = {name: base64.b64decode(secret[key]).decode() for name, key in keys.items()}
    return env | {"AWS_ENDPOINT_URL": os.environ.get("S3_ENDPOINT_HERE", "http://127.0.0.1:9000")}


def _object(version: str, kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}


@pytest.fixture(scope="module")
def on_claim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Data and releases on one volume claim."""
    name = f"edgeline-test-{uuid.uuid4().hex[:8]}"
    size = {"requests": {"storage": "2Gi"}}
    spec = {"accessModes": [os.environ.get("KFP_ACCESS_MODE", "ReadWriteOnce")], "resources": size}
    kubectl("create", "-f", "-", manifest=_object("v1", "PersistentVolumeClaim", name, spec=spec))
    place = Place(name, f"pvc://{name}/data", f"pvc://{name}/push", name, [], tmp_path_factory.mktemp(name))
    try:
        # A new volume may belong to root; the image runs as another user.
        place.generate(WEEKS)
        yield place
    finally:
        kubectl("delete", "pvc", name, "--wait=false", check=False)


@pytest.fixture(scope="module")
def on_bucket(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Data and releases in an object store: by default the one that Kubeflow Pipelines itself brings."""
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
