"""Spark on Kubernetes: the driver is a step's pod, and its executors are pods like it."""

import json
import os
import socket
from pathlib import Path
from typing import Any

from errors import EdgelineError

# Where Kubernetes tells a container which namespace it is in.
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# As Spark's own images start it; the memory is that of Java alone.
_EXECUTOR = """exec java -Xms$SPARK_EXECUTOR_MEMORY -Xmx$SPARK_EXECUTOR_MEMORY \
$(env | sed -n 's/^SPARK_JAVA_OPT_[0-9]*=//p') -cp "{jars}/*" \
org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend --driver-url $SPARK_DRIVER_URL \
--executor-id $SPARK_EXECUTOR_ID --cores $SPARK_EXECUTOR_CORES --app-id $SPARK_APPLICATION_ID \
--hostname $SPARK_EXECUTOR_POD_IP --podName $SPARK_EXECUTOR_POD_NAME \
--resourceProfileId $SPARK_RESOURCE_PROFILE_ID"""


def executors_like_this_pod(template: Path) -> dict[str, str]:
    """Settings of Spark by which executors have the image, claims, variables and place of this pod.

    Writes the template of their pods. Kubernetes ends them with this pod.

    Raises:
        EdgelineError: This is no pod, or it may not read what it is.
    """
    if not _NAMESPACE.exists():
        raise EdgelineError(
            "beam.master is k8s://, and this is no pod.",
            "Executors are pods that the driver's pod has made like itself.",
            "Run it with `edgeline kubeflow submit`, or name a master of Spark's own, spark://HOST:PORT.",
        )
    namespace = _NAMESPACE.read_text(encoding="utf-8").strip()
    # The name of a host has at most 63 characters, that of a pod more.
    name = os.environ.get("KFP_POD_NAME") or socket.gethostname()
    pod = _read(name, namespace)
    (container,) = [each for each in pod["spec"]["containers"] if each["name"] == "main"]
    volumes = [each for each in pod["spec"].get("volumes", ()) if "persistentVolumeClaim" in each]
    claims = {volume["name"] for volume in volumes}
    env = [each for each in container.get("env", ()) if not each["name"].startswith(("ARGO_", "KFP_"))]
    executor = {
        "name": "executor",
        "command": ["sh", "-c", _EXECUTOR.format(jars=_jars())],
        "env": env,
        "volumeMounts": [each for each in container.get("volumeMounts", ()) if each["name"] in claims],
    }
    spec = {
        "containers": [executor],
        "volumes": volumes,
        **{
            key: pod["spec"][key]
            for key in ("nodeSelector", "tolerations", "imagePullSecrets", "securityContext")
            if pod["spec"].get(key)
        },
    }
    annotations = {"sidecar.istio.io/inject": "false"}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": annotations}, "spec": spec}
    template.write_text(json.dumps(manifest), encoding="utf-8")
    return {
        "spark.driver.host": pod["status"]["podIP"],
        "spark.executor.cores": "1",
        # Beside Java there is Python, with TensorFlow.
        "spark.executor.memoryOverhead": "3g",
        "spark.kubernetes.namespace": namespace,
        "spark.kubernetes.driver.pod.name": name,
        "spark.kubernetes.container.image": container["image"],
        "spark.kubernetes.container.image.pullPolicy": container["imagePullPolicy"],
        "spark.kubernetes.authenticate.executor.serviceAccountName": pod["spec"]["serviceAccountName"],
        "spark.kubernetes.executor.podTemplateFile": str(template),
        "spark.kubernetes.executor.podTemplateContainerName": "executor",
        # The launcher's account may make no config maps.
        "spark.kubernetes.executor.disableConfigMap": "true",
    }


def _jars() -> Path:
    import pyspark

    return Path(pyspark.__file__).with_name("jars")


def _read(name: str, namespace: str) -> dict[str, Any]:
    from kubernetes import client, config

    config.load_incluster_config()
    try:
        api = client.CoreV1Api()
        found: dict[str, Any] = api.api_client.sanitize_for_serialization(
            api.read_namespaced_pod(name, namespace)
        )
    except client.ApiException as error:
        raise EdgelineError(
            f"The pod {name} cannot read itself: {error.reason}.",
            "Spark's executors are made like it.",
            "Give kubeflow.service_account the role of deploy/kubeflow/service-account.yaml.",
        ) from None
    return found
