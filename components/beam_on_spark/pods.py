"""The settings for Spark on Kubernetes: the driver is a step's pod, and its executors are pods like it."""

import json
import os
import socket
from pathlib import Path
from typing import Any

from edgeline.errors import EdgelineError

# Kubernetes writes the namespace of a container to this file.
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# Spark's own images start an executor in the same way; the memory is that of Java alone.
_EXECUTOR = """exec java -Xms$SPARK_EXECUTOR_MEMORY -Xmx$SPARK_EXECUTOR_MEMORY \
$(env | sed -n 's/^SPARK_JAVA_OPT_[0-9]*=//p') -cp "{jars}/*" \
org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend --driver-url $SPARK_DRIVER_URL \
--executor-id $SPARK_EXECUTOR_ID --cores $SPARK_EXECUTOR_CORES --app-id $SPARK_APPLICATION_ID \
--hostname $SPARK_EXECUTOR_POD_IP --podName $SPARK_EXECUTOR_POD_NAME \
--resourceProfileId $SPARK_RESOURCE_PROFILE_ID"""


def configure_executors(template: Path) -> dict[str, str]:
    """Returns Spark settings that give executors the image, claims, variables and place of this pod.

    Writes the template of their pods. Kubernetes ends these with this pod.

    Raises:
        EdgelineError: This process is not in a pod, or the pod may not read its own description.
    """
    if not _NAMESPACE.exists():
        raise EdgelineError(
            "beam.master is k8s://, but this process does not run in a pod.",
            "Executors are pods that are made like the driver's pod.",
            "Run it with `edgeline kubeflow submit`, or name a standalone Spark master, spark://HOST:PORT.",
        )
    import pyspark

    namespace = _NAMESPACE.read_text(encoding="utf-8").strip()
    # A host name has at most 63 characters, and the name of a pod may have more.
    name = os.environ.get("KFP_POD_NAME") or socket.gethostname()
    pod = _read_pod(name, namespace)
    (container,) = [one for one in pod["spec"]["containers"] if one["name"] == "main"]
    volumes = [one for one in pod["spec"].get("volumes", ()) if "persistentVolumeClaim" in one]
    claims = {volume["name"] for volume in volumes}
    env = [one for one in container.get("env", ()) if not one["name"].startswith(("ARGO_", "KFP_"))]
    executor = {
        "name": "executor",
        "command": ["sh", "-c", _EXECUTOR.format(jars=Path(pyspark.__file__).with_name("jars"))],
        "env": env,
        "volumeMounts": [one for one in container.get("volumeMounts", ()) if one["name"] in claims],
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
        # The overhead is for Python with TensorFlow, beside Java.
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


def _read_pod(name: str, namespace: str) -> dict[str, Any]:
    from kubernetes import client, config

    config.load_incluster_config()
    try:
        api = client.CoreV1Api()
        pod: dict[str, Any] = api.api_client.sanitize_for_serialization(
            api.read_namespaced_pod(name, namespace)
        )
    except client.ApiException as error:
        raise EdgelineError(
            f"The pod {name} cannot read its own description: {error.reason}.",
            "Spark's executors are made like it.",
            "Give kubeflow.service_account the role of deploy/kubeflow/service-account.yaml.",
        ) from None
    return pod
