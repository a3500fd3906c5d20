"""The settings of the platform for runs on Kubeflow Pipelines; a run on one machine ignores them."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.secret_values import names_secret, names_user, refuse_user
from records.steps import STEPS
from settings_group import Group

if TYPE_CHECKING:
    StepName = str
else:
    # With the names as values, a mistyped step in the settings is answered with the nearest one.
    StepName = Literal[tuple(STEPS)]
DEFAULT_GPU_TYPE = "nvidia.com/gpu"
_CLAIM = re.compile(r"pvc://([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)((?:/[^/]+)*)/?")
_ROOT = re.compile(r"(s3|minio|gs)://[^/\s]+(/\S*)?")
_BUCKET = re.compile(r"s3://[^/\s]+(/\S*)?")
_SECRET_KEY = re.compile(r"[a-z0-9][a-z0-9.-]*/[A-Za-z0-9._-]+")
_GPU_TYPE = re.compile(r"[a-z0-9.-]+/[A-Za-z0-9._-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def split_claim(location: str) -> tuple[str, str] | None:
    """Returns the claim of `pvc://CLAIM/path`, and the path in a pod that mounts it; None for a URL."""
    match = _CLAIM.fullmatch(location)
    return (match[1], f"{mount_path(match[1])}{match[3]}") if match else None


def mount_path(claim: str) -> str:
    """Returns the folder at which steps mount a claim."""
    return f"/mnt/{claim}"


def _check_root(value: str) -> str:
    if not _ROOT.fullmatch(value):
        raise ValueError(
            f"{value!r} does not start with s3://BUCKET, minio://BUCKET or gs://BUCKET, and the launcher of"
            " Kubeflow Pipelines cannot copy artifacts to any other place"
        )
    return value


def _check_claim(value: str) -> str:
    match = _CLAIM.fullmatch(value)
    if not match or ".." in match[3].split("/"):
        raise ValueError(f"{value!r} is not pvc://CLAIM/path")
    return value


def _check_location(value: str) -> str:
    if value.startswith("pvc://"):
        return _check_claim(value)
    if not _BUCKET.fullmatch(value):
        hint = "; for MinIO, set s3:// and the variable AWS_ENDPOINT_URL" if "minio" in value else ""
        raise ValueError(
            f"{value!r} is neither pvc://CLAIM/path nor s3://BUCKET/path, and a step's pod cannot read any"
            f" other place{hint}"
        )
    return value.rstrip("/")


def _check_bucket(value: str) -> str:
    if not _BUCKET.fullmatch(value):
        raise ValueError(f"{value!r} is not s3://BUCKET/path")
    return value.rstrip("/")


def _check_host(value: str) -> str:
    if not re.fullmatch(r"https?://\S+", value):
        raise ValueError(f"{value!r} is not a URL, http://... or https://...")
    if names_user(value):
        raise ValueError("the URL has a user or password before an @; set KFP_TOKEN or KFP_COOKIES instead")
    return value.rstrip("/")


def _check_image(value: str) -> str:
    registry, slash, _ = value.partition("/")
    if names_user(value) or (slash and "@" in registry):
        raise ValueError(
            "the image has a user or password before an @; list a secret in kubeflow.image_pull_secrets"
        )
    return value


Location = Annotated[str, AfterValidator(refuse_user), AfterValidator(_check_location)]


class Toleration(Group):
    """A taint that a step's pod tolerates, as Kubernetes defines it."""

    key: str = ""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Placement(Group):
    """The resources that a step's pod may take, and the nodes that it may run on."""

    cpu: float | None = Field(None, gt=0, le=1024)  # limit, in cores
    # Limit, in 10^9 bytes; a step that takes more ends as OOMKilled.
    memory_gb: float | None = Field(None, gt=0, le=65_536)
    gpu: int | None = Field(None, ge=0, le=64)  # how many GPUs
    gpu_type: str | None = None  # their name as a resource of Kubernetes; nvidia.com/gpu where none is named
    node_selector: Mapping[str, str] = Field(default_factory=dict)  # labels that the node has to have
    # Taints that the node may have; a backend before KFP 2.2 refuses them.
    tolerations: Annotated[tuple[Toleration, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _check_gpus(self) -> "Placement":
        if self.gpu_type is not None and not _GPU_TYPE.fullmatch(self.gpu_type):
            raise ValueError(f"gpu_type {self.gpu_type!r} is not of the form vendor/name: {DEFAULT_GPU_TYPE}")
        if self.gpu_type is not None and not self.gpu:
            raise ValueError(f"gpu_type is {self.gpu_type}, but gpu, the number of GPUs, is not set")
        return self


class KubeflowSettings(Group):
    """The settings of the DAG on Kubeflow Pipelines. Compiling needs image, pipeline_root, data and push."""

    image: Annotated[str, AfterValidator(_check_image)] | None = None  # the image that every step runs in
    # None leaves it to Kubernetes; a backend before KFP 2.2 refuses it.
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    # Names of secrets for the image's registry; a backend before KFP 2.2 refuses them.
    image_pull_secrets: Annotated[tuple[str, ...], Field(strict=False)] = ()
    # Where artifacts go: s3://, minio:// or gs://, a bucket and a path.
    pipeline_root: Annotated[str, AfterValidator(refuse_user), AfterValidator(_check_root)] | None = None
    data: Location | None = None  # the folder of spans: pvc://CLAIM/path or s3://
    push: Location | None = None  # root of the release store: pvc://CLAIM/path or s3://
    # Mounts the claim of push in every step, so that one that fails leaves the page of the run there; for a
    # claim that several nodes can mount at once. A bucket is always within reach.
    push_in_every_step: bool = False
    # A pvc://CLAIM/path where a killed training or search leaves what its next attempt goes on from, and the
    # pods of a step that has several find one another. None keeps it in the pod: a new one starts over.
    checkpoints: Annotated[str, AfterValidator(_check_claim)] | None = None
    # A pvc://CLAIM/path for what the data steps and their executors of Spark hand one another.
    spill: Annotated[str, AfterValidator(_check_claim)] | None = None
    # Where ExampleGen leaves its shards for those who train, which read them from there: s3://BUCKET/path.
    # None has each step copy them to its pod's disk.
    shards: Annotated[str, AfterValidator(refuse_user), AfterValidator(_check_bucket)] | None = None
    # How many trials of a search run at the same time, each in a pod as the Tuner's is.
    parallel_trials: int = Field(1, ge=1, le=64)
    # The API of Kubeflow Pipelines; None leaves finding it to kfp's own client.
    host: Annotated[str, AfterValidator(_check_host)] | None = None
    namespace: str | None = None  # the user's namespace, where Kubeflow has several
    experiment: str | None = None  # runs are filed under it; None is the default one of Kubeflow Pipelines
    service_account: str | None = None  # what the steps' pods run as
    # Environment variables of every step, for all who see a run to read; no secrets.
    env: Mapping[str, str] = Field(default_factory=dict)
    # Environment variables of every step from secrets, each `NAME: secret/key`.
    secrets: Mapping[str, str] = Field(default_factory=dict)
    # How often a failed step is tried again, where that is safe: not the push, which could have succeeded,
    # and not the steps that stop a run on purpose. A backend before KFP 2.5 ignores it.
    retries: int = Field(2, ge=0, le=10)
    # Seconds before the first of them; each next one waits twice as long.
    retry_backoff_s: int = Field(30, ge=1, le=3600)
    every_step: Placement = Placement()  # what every step's pod takes
    steps: Mapping[StepName, Placement] = Field(default_factory=dict)  # by step, what differs from that

    @field_validator("env", mode="before")
    @classmethod
    def _refuse_secrets(cls, env: object) -> object:
        variables = env.items() if isinstance(env, Mapping) else ()
        if secrets := [
            name for name, value in variables if names_secret(str(name)) or names_user(str(value))
        ]:
            raise ValueError(
                f"{', '.join(secrets)}: a secret, which everybody could read in the compiled pipeline."
                f" Reference it in kubeflow.secrets: {{{secrets[0]}: SECRET/KEY}}"
            )
        return env

    @field_validator("env", "secrets")
    @classmethod
    def _check_names(cls, variables: Mapping[str, str]) -> Mapping[str, str]:
        for name in variables:
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of an environment variable")
        return variables

    @field_validator("secrets")
    @classmethod
    def _check_keys(cls, secrets: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in secrets.items():
            if not _SECRET_KEY.fullmatch(value):
                raise ValueError(f"{name} is {value!r}, which is not of the form secret/key")
        return secrets

    @model_validator(mode="after")
    def _refuse_repeats(self) -> "KubeflowSettings":
        if twice := sorted(set(self.env) & set(self.secrets)):
            raise ValueError(f"env and secrets both set {', '.join(twice)}")
        return self

    @property
    def store(self) -> str | None:
        """Returns the release store if it can be read outside of the cluster too: a bucket, not a claim."""
        return None if self.push is None or split_claim(self.push) else self.push

    def placement(self, step: str) -> Placement:
        """Returns the placement of one step: that of every step, with the step's own settings on top."""
        own = next((placement for name, placement in self.steps.items() if name == step), Placement())
        return self.every_step.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})
