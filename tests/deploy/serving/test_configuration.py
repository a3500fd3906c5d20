"""The files in deploy/serving, parsed as TF Serving, Docker Compose and Kubernetes parse them."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeline.release import store
from edgeline.release.layout import PINS, PushFolder
from edgeline.release.manifest import find_files
from edgeline.release.pins import SERVING_MOUNT, read_pins
from tests.edgeline.release.candidates import make_candidate

SERVING = Path(__file__).parents[3] / "deploy" / "serving"
KUBERNETES = SERVING / "kubernetes"
# The fields of type Int64Value in BatchingParameters of TF Serving 2.20, whose Python package lacks them
# (GitHub, tensorflow_serving/servables/tensorflow/session_bundle_config.proto).
NUMBERS = {
    *("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"),
    "max_execution_batch_size",
}


def read_documents(path: Path) -> dict[str, Any]:
    """Returns the objects in a file of Kubernetes, by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(path.read_text())}


def get_container(deployment: dict[str, Any]) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container


@pytest.fixture
def compose() -> dict[str, Any]:
    return yaml.safe_load((SERVING / "compose.yaml").read_text())["services"]


@pytest.fixture
def deployment() -> dict[str, Any]:
    return read_documents(KUBERNETES / "tf-serving.yaml")["Deployment"]


def test_batches_are_bounded_by_numbers_that_tf_serving_knows():
    lines = (KUBERNETES / "batching_parameters.txt").read_text().splitlines()
    matches = [re.fullmatch(r"(\w+) \{ value: (\d+) \}", line) for line in lines if not line.startswith("#")]
    assert all(matches)
    numbers = {match[1]: int(match[2]) for match in matches}
    assert numbers.keys() <= NUMBERS and len(numbers) == len(matches)
    # A caller waits this long for others; TF Serving's guide to batching begins with 1 to 10 ms.
    assert 0 < numbers["batch_timeout_micros"] <= 10_000


def test_every_server_mounts_the_pushed_models_read_only_where_the_pins_are(compose, deployment):
    container = get_container(deployment)
    assert container["command"] == ["tensorflow_model_server"]
    assert f"--model_config_file={SERVING_MOUNT}/{PINS}" in container["args"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert mounts[SERVING_MOUNT]["subPath"] == "push/serving"
    assert all(mount["readOnly"] for mount in mounts.values())
    for service in compose.values():
        assert (service["entrypoint"], service["command"]) == (container["command"], container["args"])
        volumes = {volume["target"]: volume for volume in service["volumes"]}
        assert volumes.keys() == mounts.keys() and all(volume["read_only"] for volume in volumes.values())
        assert volumes[SERVING_MOUNT]["source"].endswith("/serving")
        assert (SERVING / volumes["/config"]["source"]).samefile(KUBERNETES)
    for name in re.findall(r"/config/(\S+)", " ".join(container["args"])):
        assert (KUBERNETES / name).is_file()


def test_the_server_is_no_older_than_the_tensorflow_that_writes_its_models(compose, deployment):
    """Only later versions are promised to load a SavedModel (TensorFlow's guide, "Version compatibility")."""
    images = {compose["tf-serving"]["image"], get_container(deployment)["image"]}
    assert len(images) == 1 and compose["tf-serving-gpu"]["image"] == f"{next(iter(images))}-gpu"

    def minor(version: str) -> list[int]:
        return [int(part) for part in version.split(".")[:2]]

    pins = [path.read_text() for path in (SERVING.parents[1] / "requirements").glob("*.txt")]
    writers = re.findall(r"(?m)^tensorflow==(\S+)", "\n".join(pins))
    assert writers and minor(images.pop().rpartition(":")[2]) >= max(map(minor, writers))


def test_kubernetes_client_knows_every_field_of_the_manifests():
    client = pytest.importorskip("kubernetes.client")
    api = client.ApiClient()
    for kind, document in read_documents(KUBERNETES / "tf-serving.yaml").items():
        response = type("Response", (), {"data": json.dumps(document)})
        parsed = api.deserialize(response, f"V1{kind}")
        assert api.sanitize_for_serialization(parsed) == document


def test_each_probe_asks_for_the_status_of_one_model_and_the_service_finds_the_pod():
    manifests = read_documents(KUBERNETES / "tf-serving.yaml")
    container = get_container(manifests["Deployment"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/v1/models/shelf", "port": "rest"}
    for flag, port in (("--port", "grpc"), ("--rest_api_port", "rest")):
        assert f"{flag}={ports[port]}" in container["args"]
    assert {port["targetPort"] for port in manifests["Service"]["spec"]["ports"]} == set(ports)
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert manifests["Service"]["spec"]["selector"].items() <= labels.items()


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
def test_with_a_bucket_the_server_reads_the_copy_that_the_sidecar_keeps():
    rendered = subprocess.run(
        ["kubectl", "kustomize", SERVING / "kubernetes-bucket"], capture_output=True, text=True, check=True
    ).stdout
    (deployment,) = (each for each in yaml.safe_load_all(rendered) if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    assert {"name": "push", "emptyDir": {}} in pod["volumes"]
    assert {"name": "push", "mountPath": SERVING_MOUNT} in sidecar["volumeMounts"]
    mounts = get_container(deployment)["volumeMounts"]
    assert {"name": "push", "mountPath": SERVING_MOUNT, "readOnly": True} in mounts


@pytest.mark.skipif(not shutil.which("rclone"), reason="no rclone here: apt-get install rclone")
def test_the_sidecar_copies_a_version_before_its_pin(bucket, s3_server, tmp_path):
    for content in ("first", "second"):
        store.push(f"{bucket}/push", "shelf", make_candidate(tmp_path / content, content, size=100))
    patch = yaml.safe_load((SERVING / "kubernetes-bucket" / "bucket.yaml").read_text())
    (sidecar,) = patch["spec"]["template"]["spec"]["initContainers"]
    environment = {each["name"]: each["value"] for each in sidecar["env"] if "value" in each}
    environment |= {"PUSH": f"push:{bucket.removeprefix('s3://')}/push", "HOME": str(tmp_path)}
    environment |= {"RCLONE_CONFIG_PUSH_ENDPOINT": s3_server}
    copy = tmp_path / "copied" / "serving"
    copy.mkdir(parents=True)
    command = [*sidecar["command"], *sidecar["args"]]
    running = subprocess.Popen(command, env=os.environ | environment, cwd=copy)
    try:
        while not (copy / PINS).is_file():
            assert running.poll() is None
            time.sleep(0.1)
    finally:
        running.terminate()
        assert running.wait(30) == 0
    assert sidecar["workingDir"] == SERVING_MOUNT
    assert read_pins(PushFolder(copy.parent)) == {"shelf": (2,)}
    saved = ("saved_model.pb", "variables/variables.index")
    assert set(find_files(copy)) == {PINS, *(f"shelf/{n}/{name}" for n in (1, 2) for name in saved)}


def test_docker_compose_takes_the_file(tmp_path):
    compose = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*compose, "version"], capture_output=True).returncode:
        pytest.skip("needs Docker Compose")
    options = ["--file", SERVING / "compose.yaml", "--profile", "cpu", "--profile", "gpu"]
    command = [*compose, *options, "config", "--format", "json"]
    result = subprocess.run(command, env=os.environ | {"PUSH": str(tmp_path)}, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert set(json.loads(result.stdout)["services"]) == {"tf-serving", "tf-serving-gpu"}
