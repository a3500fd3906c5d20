"""Which engine runs the Beam steps, and the flags that Beam knows it by; nowhere else are there any."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.secret_values import names_secret, names_user, refuse_user
from settings_group import Group

# Where no flag names a container or a package, TFX packs itself for remote workers, seconds a step.
_NO_PACKAGE = "--sdk_container_image=none"
FASTEST_ON_ONE_MACHINE = (
    # By name: DirectRunner tries another engine first, which Beam downloads.
    "--runner=FnApiRunner",
    "--direct_running_mode=in_memory",
    "--direct_num_workers=1",
    _NO_PACKAGE,
)
# Of each engine what has to be given, `a|b` being one of two, and what may be.
_ENGINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "direct": ((), ()),
    "spark": (("master",), ("workers", "memory_gb", "spill")),
    "flink": (("master", "image|pool"), ("workers",)),
    "dataflow": (("project", "region", "spill"), ("workers", "image")),
    "portable": (("endpoint", "image|pool"), ()),
}
_SPARK = re.compile(r"spark://[^\s/@]+:\d+|k8s://[^\s@]+|yarn|local\[(\d+|\*)\]")
_PLACE = re.compile(r"[^\s/:@]+:\d+")


def _place(value: str) -> str:
    if not _PLACE.fullmatch(value):
        raise ValueError(f"{value!r} is not HOST:PORT")
    return value


_Place = Annotated[str, AfterValidator(_place)]


class BeamSettings(Group):
    """Which Beam engine runs ingest, statistics, Transform and Evaluator."""

    engine: Literal["direct", "spark", "flink", "dataflow", "portable"] = "direct"
    # Of Spark, spark://HOST:PORT, k8s://..., yarn or local[N]; of Flink, HOST:PORT of its REST API.
    master: Annotated[str, AfterValidator(refuse_user)] | None = None
    endpoint: _Place | None = None  # HOST:PORT of a job server of Beam, for Spark, Flink or any other
    workers: int | None = Field(None, ge=1, le=100_000)  # how many tasks run at the same time
    memory_gb: int | None = Field(None, ge=1, le=1024)  # of each executor of Spark, beside its Python
    # For what lies between two stages: a folder that driver and workers share, of Dataflow a gs:// URL.
    spill: Annotated[str, AfterValidator(refuse_user)] | None = None
    image: str | None = None  # the container image that workers run in
    pool: _Place | None = None  # HOST:PORT of a worker pool of Beam's, where workers are no containers
    project: str | None = None  # of Google Cloud
    region: str | None = None  # of Google Cloud
    # Go untouched to each Beam step, behind those of the engine; of `direct` in their place.
    flags: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @field_validator("flags")
    @classmethod
    def _no_secrets(cls, flags: tuple[str, ...]) -> tuple[str, ...]:
        for flag in flags:
            name = flag.partition("=")[0]
            if names_secret(name) or names_user(flag):
                raise ValueError(
                    f"{name} has a secret, which every run would record. Its library also takes it from where"
                    " its own tools do, such as AWS_SECRET_ACCESS_KEY or ~/.aws"
                )
        return flags

    @model_validator(mode="after")
    def _fits_the_engine(self) -> "BeamSettings":
        # To Beam, a job server is one and the same, whatever is behind it.
        needed, allowed = _ENGINES["portable" if self.endpoint and self._has_job_server else self.engine]
        if self.engine == "spark" and self.master and not self.master.startswith(("local", "k8s")):
            needed += ("spill",)
        given = {name for name in type(self).model_fields if getattr(self, name) is not None}
        found = [
            f"beam.{' or beam.'.join(keys)} has to be given"
            for keys in (need.split("|") for need in needed)
            if not given & {*keys}
        ]
        if self._has_job_server and not self.endpoint and not self.master:
            found[0] = "beam.master or, of Beam's job server, beam.endpoint has to be given"
        known = {"engine", "flags", *allowed, *(key for need in needed for key in need.split("|"))}
        found += [f"beam.{name} is not for it" for name in type(self).model_fields if name in given - known]
        if self.in_pods and self.spill:
            found.append("beam.spill is kubeflow.spill where beam.master is k8s://")
        if self.engine == "spark" and self.master and not _SPARK.fullmatch(self.master):
            found.append("beam.master is none of spark://HOST:PORT, k8s://..., yarn, local[N]")
        if self.engine == "flink" and self.master and not _PLACE.fullmatch(self.master):
            found.append("beam.master is not HOST:PORT")
        if self.engine == "dataflow" and self.spill and not self.spill.startswith("gs://"):
            found.append("beam.spill is no gs:// URL")
        if found:
            raise ValueError(f"engine is {self.engine}: {', '.join(found)}")
        return self

    @property
    def _has_job_server(self) -> bool:
        return self.engine in ("spark", "flink")

    @property
    def in_pods(self) -> bool:
        """Whether a step on Kubeflow has pods of its own for its work."""
        return self.engine == "spark" and (self.master or "").startswith("k8s://")

    def as_flags(self) -> tuple[str, ...]:
        """What Beam is told."""
        if self.engine == "direct":
            return self.flags or FASTEST_ON_ONE_MACHINE
        container = [f"--sdk_container_image={self.image}"] if self.image else [_NO_PACKAGE]
        kind, place = ("DOCKER", self.image) if self.image else ("EXTERNAL", self.pool)
        environment = [f"--environment_type={kind}", f"--environment_config={place}", *container]
        if self.endpoint:
            engine = ["--runner=PortableRunner", f"--job_endpoint={self.endpoint}", *environment]
        elif self.engine == "spark":
            memory = f"{self.memory_gb or 1}g"
            conf = {"executor.memory": memory, "driver.memory": memory}
            if self.workers:
                conf |= {"cores.max": str(self.workers), "executor.instances": str(self.workers)}
            engine = [
                "--runner=components.beam_on_spark.runner.SparkRunner",
                f"--spark_master={self.master}",
                f"--spark_spill={self.spill or ''}",
                *(f"--spark_conf=spark.{name}={value}" for name, value in conf.items()),
                _NO_PACKAGE,
            ]
        elif self.engine == "flink":
            parallel = [f"--parallelism={self.workers}"] if self.workers else []
            engine = ["--runner=FlinkRunner", f"--flink_master={self.master}", *environment, *parallel]
        else:
            workers = [f"--max_num_workers={self.workers}"] if self.workers else []
            engine = ["--runner=DataflowRunner", f"--project={self.project}", f"--region={self.region}"]
            engine += [f"--temp_location={self.spill}", *(container if self.image else []), *workers]
        return (*engine, *self.flags)
