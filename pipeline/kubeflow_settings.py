"""The settings of the platform for runs on Kubeflow Pipelines; a run on one machine ignores them."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from edgeline.secrets import find_secret, names_secret
from edgeline.settings_group import Group, require_form

DEFAULT_GPU_TYPE = "nvidia.com/gpu"
# A claim and a path in it, without a part `..`.
_CLAIM = re.compile(r"pvc://(?!.*/\.\.(?:/|$))([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)((?:/[^/]+)*)/?")
_BUCKET = re.compile(r"s3://[^/\s]+(/\S*)?")
_SECRET_KEY = re.compile(r"[a-z0-9][a-z0-9.-]*/[A-Za-z0-9._-]+")
_GPU_TYPE = re.compile(r"[a-z0-9.-]+/[A-Za-z0-9._-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def split_claim(location: str) -> tuple[str, str] | None:
    """Returns the claim of `pvc://CLAIM/path`, and the path in a pod that mounts it; None for a URL."""
    match = _CLAIM.fullmatch(location)
    return (match[1], f"{locate_mount(match[1])}{match[3]}") if match else None


def locate_mount(claim: str) -> str:
    """Returns the folder at which steps mount a claim."""
    return f"/mnt/{claim}"


def _check_location(value: str) -> str:
    if value.startswith("pvc://"):
        if not _CLAIM.fullmatch(value):
            raise ValueError(f"{value!r} is not pvc://CLAIM/path")
        return value
    if not _BUCKET.fullmatch(value):
        hint = "; for MinIO, set s3:// and the variable AWS_ENDPOINT_URL" if "minio" in value else ""
        raise ValueError(
            f"{value!r} is neither pvc://CLAIM/path nor s3://BUCKET/path, and a step's pod cannot read any"
            f" other place{hint}"
        )
    return value.rstrip("/")


def _check_image(value: str) -> str:
    registry, slash, _ = value.partition("/")
    if slash and "@" in registry:
        raise ValueError(
            "the image has a user or password before an @; list a secret in kubeflow.image_pull_secrets"
        )
    return value


Location = Annotated[str, AfterValidator(_check_location)]
_Claim = Annotated[str, require_form(_CLAIM.pattern, "is not pvc://CLAIM/path")]
_Root = Annotated[
    str,
    require_form(
        r"(s3|minio|gs)://[^/\s]+(/\S*)?",
        "does not start with s3://BUCKET, minio://BUCKET or gs://BUCKET, and the launcher of Kubeflow"
        " Pipelines cannot copy artifacts to any other place",
    ),
]
_without_slash = AfterValidator(lambda url: url.rstrip("/"))
_Bucket = Annotated[str, require_form(_BUCKET.pattern, "is not s3://BUCKET/path"), _without_slash]
_Host = Annotated[
    str, require_form(r"https?://\S+", "is not a URL, http://... or https://..."), _without_slash
]


class Toleration(Group):
    """A taint that a step's pod tolerates, as Kubernetes defines it."""

    key: str = ""
    """Key of the taint; empty for every key."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """How the key's value is compared: equal to `value`, or any value."""
    value: str = ""
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; null for every effect."""


class Placement(Group):
    """The resources that a step's pod may take, and the nodes that it may run on."""

    cpu: float | None = Field(None, gt=0, le=1024)
    """Limit of the pod in cores; null for no limit."""
    memory_gb: float | None = Field(None, gt=0, le=65_536)
    """Limit of the pod's memory in GB (10^9 bytes), above which a step ends as OOMKilled; null for none."""
    gpu: int | None = Field(None, ge=0, le=64)
    """Number of GPUs; null or 0 for none."""
    gpu_type: str | None = None
    """Name of the GPUs as a resource of Kubernetes; null for nvidia.com/gpu."""
    node_selector: Mapping[str, str] = {}
    """Labels that the node has to have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(strict=False)] = ()
    """Taints that the node may have; a backend before KFP 2.2 refuses them."""

    @model_validator(mode="after")
    def _check_gpu_type(self) -> "Placement":
        if self.gpu_type is not None and not _GPU_TYPE.fullmatch(self.gpu_type):
            raise ValueError(f"gpu_type {self.gpu_type!r} is not of the form vendor/name: {DEFAULT_GPU_TYPE}")
        return self


class KubeflowSettings(Group):
    """The settings of the DAG on Kubeflow Pipelines. Compiling needs image, pipeline_root, data and push."""

    image: Annotated[str, AfterValidator(_check_image)] | None = None
    """Container image in which every step runs."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When a node pulls the image; null leaves it to Kubernetes. Refused by a backend before KFP 2.2."""
    image_pull_secrets: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Names of the secrets for the image's registry; a backend before KFP 2.2 refuses them."""
    pipeline_root: _Root | None = None
    """Place of the artifacts: s3://, minio:// or gs://, a bucket and a path."""
    data: Location | None = None
    """Folder of spans: pvc://CLAIM/path or s3://BUCKET/path."""
    push: Location | None = None
    """Root of the release store: pvc://CLAIM/path or s3://BUCKET/path."""
    push_in_every_step: bool = False
    """Whether every step mounts the claim of `push`, so that a step that fails leaves the page of the run
    there. It takes a claim that several nodes can mount at once; a bucket can always be reached."""
    checkpoints: _Claim | None = None
    """A pvc://CLAIM/path where training and search leave the state from which a next attempt resumes, and the
    pods of a Trainer find one another. Null keeps the state in the pod: a new one starts over."""
    spill: _Claim | None = None
    """A pvc://CLAIM/path for the data that the data steps exchange with their executors of Spark."""
    shards: _Bucket | None = None
    """A s3://BUCKET/path where ExampleGen leaves its shards, from which the training steps read them. Null
    has each step copy them to its pod's disk."""
    host: _Host | None = None
    """URL of the API of Kubeflow Pipelines, http://... or https://...; null lets kfp's own client find it."""
    namespace: str | None = None
    """Namespace of the user, for a Kubeflow that has several."""
    experiment: str | None = None
    """Experiment that runs are filed under; null for the default experiment of Kubeflow Pipelines."""
    service_account: str | None = None
    """Service account of the steps' pods; null for the default."""
    env: Mapping[str, str] = {}
    """Environment variables of every step, which all who see a run can read; secrets are refused."""
    secrets: Mapping[str, str] = {}
    """Environment variables of every step from secrets, each `NAME: secret/key`."""
    retries: int = Field(2, ge=0, le=10)
    """Number of times that a failed step is tried again, where that is safe: not the push, which could have
    succeeded, and not the steps that stop a run on purpose. A backend before KFP 2.5 ignores it."""
    retry_backoff_s: int = Field(30, ge=1, le=3600)
    """Seconds before the first retry; each further one waits twice as long."""
    groups: bool = False
    """Whether the UI draws the steps in four groups: Data, Train, Edge, Release. A group has a pod more, and
    begins when those before it have ended. Needs a backend of KFP 2.5 or newer."""
    every_step: Placement = Placement()
    """Resources and nodes of every step's pod."""
    steps: Mapping[str, Placement] = {}
    """Resources and nodes of single steps, custom ones too, by step, where they differ from `every_step`."""

    @field_validator("env", mode="before")
    @classmethod
    def _refuse_secrets(cls, env: object) -> object:
        variables = env.items() if isinstance(env, Mapping) else ()
        if secrets := [
            name for name, value in variables if names_secret(str(name)) or find_secret(str(value))
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
                # The message does not show the value, which may be the secret itself.
                raise ValueError(f"the value of {name} is not of the form secret/key")
        return secrets

    @model_validator(mode="after")
    def _refuse_repeats(self) -> "KubeflowSettings":
        if twice := sorted(set(self.env) & set(self.secrets)):
            raise ValueError(f"env and secrets both set {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _check_gpus(self) -> "KubeflowSettings":
        placed = {f"steps.{step}": (own, [self.placement(step)]) for step, own in self.steps.items()}
        placed["every_step"] = self.every_step, [self.every_step, *map(self.placement, self.steps)]
        for name, (own, placements) in placed.items():
            if own.gpu_type is not None and not any(placement.gpu for placement in placements):
                raise ValueError(
                    f"{name}.gpu_type is {own.gpu_type}, but gpu, the number of GPUs, is not set"
                )
        return self

    @property
    def store(self) -> str | None:
        """Returns the release store if it can be read outside of the cluster too: a bucket, not a claim."""
        return None if self.push is None or split_claim(self.push) else self.push

    def placement(self, step: str) -> Placement:
        """Returns the placement of one step: that of every step, with the step's own settings on top."""
        own = self.steps.get(step, Placement())
        return self.every_step.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})
