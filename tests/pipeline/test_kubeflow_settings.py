from pathlib import Path

import pytest

from edgeline.errors import UsageError
from pipeline.kubeflow_settings import Placement, locate_mount, split_claim
from pipeline.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]


def load_kubeflow(**group):
    return load_settings({"kubeflow": group}).kubeflow


def get_mistake(**group):
    with pytest.raises(UsageError) as caught:
        load_kubeflow(**group)
    (sentence,) = caught.value.found.splitlines()[1:]
    return sentence.strip()


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("pipeline_root", "minio://mlpipeline/v2/artifacts"),
        ("data", "pvc://store/weekly/photos"),
        ("push", "s3://bucket/photos"),
        ("image", "registry.example/edgeline:1@sha256:0123456789abcdef"),
    ],
)
def test_a_place_on_a_claim_or_in_a_bucket_and_an_image_with_its_digest_are_accepted(name, place):
    assert getattr(load_kubeflow(**{name: place}), name) == place


def test_a_claim_is_mounted_where_its_paths_point():
    assert split_claim("pvc://store/push/here") == ("store", "/mnt/store/push/here")
    assert split_claim("pvc://store/") == ("store", locate_mount("store"))
    assert split_claim("s3://bucket/push") is None


@pytest.mark.parametrize("first", ["gpu", "gpu_type"])
def test_a_gpu_type_and_its_count_may_be_set_for_every_step_and_for_one(first):
    rest = {"gpu": 1, "gpu_type": "amd.com/gpu"}
    group = load_kubeflow(every_step={first: rest.pop(first)}, steps={"Trainer": rest})
    placement = group.placement("Trainer")
    assert (placement.gpu, placement.gpu_type) == (1, "amd.com/gpu")


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"secrets": {"AWS_SECRET_ACCESS_KEY": "minio"}}, "not of the form secret/key"),
        ({"env": {"AWS-REGION": "x"}}, "'AWS-REGION' cannot be the name of an environment variable"),
        ({"env": {"A": "x"}, "secrets": {"A": "minio/key"}}, "env and secrets both set A"),
        ({"image_pull_policy": "Sometimes"}, "one of Always, IfNotPresent, Never"),
        ({"host": "kfp.example"}, "is not a URL"),
        ({"checkpoints": "s3://bucket/checkpoints"}, "is not pvc://CLAIM/path"),
        ({"pipeline_root": "s3://"}, "'s3://' does not start with s3://BUCKET"),
        ({"pipeline_root": "pvc://claim/x"}, "'pvc://claim/x' does not start with s3://BUCKET"),
        ({"data": "minio://bucket/data"}, "is neither pvc://CLAIM/path nor s3://BUCKET/path"),
        ({"data": "pvc://Store/x"}, "is not pvc://CLAIM/path"),
        ({"data": "pvc://store/../etc"}, "is not pvc://CLAIM/path"),
        ({"steps": {"Trainer": {"gpu_type": "a.com/gpu"}}}, "steps.Trainer.gpu_type is a.com/gpu, but gpu"),
        ({"every_step": {"gpu_type": "a.com/gpu"}, "steps": {"Trainer": {}}}, "every_step.gpu_type is a.com"),
        ({"steps": {"Trainer": {"gpu": 1, "gpu_type": "nvidia"}}}, "not of the form vendor/name"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_with_the_reason(group, message):
    assert message in get_mistake(**group)


@pytest.mark.parametrize("secret", ["hunter2", 12345])
def test_a_secret_in_place_of_its_name_is_not_shown(secret):
    text = get_mistake(secrets={"PASSWORD": secret})
    assert "PASSWORD" in text and str(secret) not in text


def test_the_placement_of_a_step_overrides_that_of_every_step():
    group = load_kubeflow(
        every_step={"cpu": 1.0, "memory_gb": 4.0, "node_selector": {"pool": "small"}},
        steps={"Trainer": {"memory_gb": 16.0, "gpu": 1, "node_selector": {"pool": "gpu"}}},
    )
    assert group.placement("ExampleGen") == group.every_step
    on_gpu = Placement(cpu=1.0, memory_gb=16.0, gpu=1, node_selector={"pool": "gpu"})
    assert group.placement("Trainer") == on_gpu


SECRETS = "AWS_SECRET_ACCESS_KEY HF_TOKEN api_key SESSION_COOKIE BASIC_AUTH KEY X_PASSPHRASE PGPASSWORD"
NO_SECRETS = [
    "GOOGLE_APPLICATION_CREDENTIALS", "AWS_ENDPOINT_URL", "AWS_WEB_IDENTITY_TOKEN_FILE", "AUTH_URL", "PATH",
    "SSL_CERT_FILE", "SSH_KEY_PATH", "TOKENIZERS_PARALLELISM", "KEYCLOAK_HOST", "MONKEY", "AWS_REGION",
    "SECRETS_DIR", "KMS_KEY", "SSH_PUBLIC_KEY", "TF_FORCE_GPU_ALLOW_GROWTH", "COMPASS",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [*((name, "hunter2") for name in SECRETS.split()), ("MYSQL_PWD", 7)]
)
def test_a_variable_that_is_a_secret_is_refused_without_its_value(name, value):
    message = get_mistake(env={"AWS_REGION": "x", name: value})

    assert message.startswith("kubeflow.env: ") and f"kubeflow.secrets: {{{name}: SECRET/KEY}}" in message
    assert "hunter2" not in message and "7" not in message.replace(name, "")


def test_paths_and_addresses_are_no_secrets():
    env = dict.fromkeys(NO_SECRETS, "http://minio:9000/a@b")
    assert load_kubeflow(env=env).env == env


def test_the_example_settings_of_a_cluster_load_with_and_without_their_proposals(tmp_path):
    text = (ROOT / "deploy" / "kubeflow" / "settings.example.yaml").read_text()
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    assert load_settings({}, platform=str(path)).kubeflow.data == "pvc://edgeline/data"
    lines = [line for line in text.splitlines() if not line.startswith(("  data: pvc", "  push: pvc"))]
    path.write_text("\n".join(lines).replace("#   ", ""))
    settings = load_settings({}, platform=str(path)).kubeflow
    assert settings.data == "s3://BUCKET/data" and settings.placement("Trainer").gpu == 1
    aws = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    ours = {"EDGELINE_SIGNING_KEY", "EDGELINE_WEBHOOK", "MLFLOW_TRACKING_TOKEN"}
    assert set(settings.secrets) == aws | ours and settings.env
