"""The settings of the engine that runs the Beam steps, its Beam flags, and what saves Beam work."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edgeline.secrets import names_secret
from edgeline.settings_group import Group, require_form

# Without a flag that names a container or a package, TFX packs itself for remote workers, seconds a step.
_NO_PACKAGE = "--sdk_container_image=none"
FASTEST_ON_ONE_MACHINE = (
    # FnApiRunner is named because DirectRunner first tries Prism, which Beam downloads (apache/beam#34612).
    "--runner=FnApiRunner",
    "--direct_running_mode=in_memory",
    "--direct_num_workers=1",
    # The checks of types take a tenth of the CPU of a step with little data.
    "--no_pipeline_type_check",
    _NO_PACKAGE,
)
# The required settings of each engine, `a|b` for one of two, and the optional ones.
_ENGINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "direct": ((), ()),
    "spark": (("master",), ("workers", "memory_gb", "spill")),
    "flink": (("master", "image|pool"), ("workers",)),
    "dataflow": (("project", "region", "spill"), ("workers", "image")),
    "portable": (("endpoint", "image|pool"), ()),
}
_SPARK = re.compile(r"spark://[^\s/@]+:\d+|k8s://[^\s@]+|yarn|local\[(\d+|\*)\]")
_ADDRESS = re.compile(r"[^\s/:@]+:\d+")
_Address = Annotated[str, require_form(_ADDRESS.pattern, "is not HOST:PORT")]


class BeamSettings(Group):
    """The Beam engine that runs ingest, statistics, Transform and Evaluator."""

    engine: Literal["direct", "spark", "flink", "dataflow", "portable"] = "direct"
    """Engine that runs the Beam steps; `direct` is this machine."""
    master: str | None = None
    """Spark: spark://HOST:PORT, k8s://..., yarn or local[N]. Flink: HOST:PORT of its REST API."""
    endpoint: _Address | None = None
    """Address, HOST:PORT, of a job server of Beam, for Spark, Flink or any other engine."""
    workers: int | None = Field(None, ge=1, le=100_000)
    """Number of tasks that run at the same time; null leaves it to the engine."""
    memory_gb: int | None = Field(None, ge=1, le=1024)
    """Memory of each executor of Spark in GB, not counting its Python; null for 1."""
    spill: str | None = None
    """Place of data between stages: a folder that driver and workers share; a gs:// URL for Dataflow."""
    image: str | None = None
    """Container image in which workers run."""
    pool: _Address | None = None
    """Address, HOST:PORT, of a worker pool of Beam, where workers are not containers."""
    project: str | None = None
    """Project of Google Cloud, for Dataflow."""
    region: str | None = None
    """Region of Google Cloud, for Dataflow."""
    flags: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Flags that each Beam step gets unchanged, after those of the engine; for `direct`, in place of them."""

    @field_validator("flags")
    @classmethod
    def _refuse_secrets(cls, flags: tuple[str, ...]) -> tuple[str, ...]:
        for flag in flags:
            names = re.split("=|://", flag)[:-1] or [flag]  # of --spark_conf=NAME=VALUE both
            name = next(filter(names_secret, names), names[0])
            if names_secret(name):
                raise ValueError(
                    f"{name} has a secret, which every run would record. Put it where its library's tools"
                    " look for it, such as AWS_SECRET_ACCESS_KEY or ~/.aws"
                )
            if re.fullmatch("--spark_conf=[^=]*", flag):
                raise ValueError(f"{flag} is not of the form --spark_conf=KEY=VALUE")
        return flags

    @model_validator(mode="after")
    def _check_engine(self) -> "BeamSettings":
        if mistakes := [*self._list_wrong_keys(), *self._list_wrong_places()]:
            raise ValueError(f"engine is {self.engine}: {', '.join(mistakes)}")
        return self

    def _list_wrong_keys(self) -> Iterator[str]:
        """Yields the settings that this engine lacks, and those that do not apply to it."""
        # A job server needs the same settings whatever engine is behind it.
        needed, allowed = _ENGINES["portable" if self.endpoint and self._has_job_server else self.engine]
        choices = [need.split("|") for need in needed]
        if self.engine == "spark" and self.master and not self.master.startswith(("local", "k8s")):
            choices.append(["spill"])
        present = [name for name in type(self).model_fields if getattr(self, name) is not None]

        if self._has_job_server and not self.endpoint and not self.master:
            yield "beam.master or, for Beam's job server, beam.endpoint is required"
            choices = choices[1:]
        for keys in choices:
            if not {*keys} & {*present}:
                yield f"beam.{' or beam.'.join(keys)} is required"
        applicable = {"engine", "flags", *allowed, *chain.from_iterable(choices)}
        yield from (f"beam.{name} does not apply" for name in present if name not in applicable)

    def _list_wrong_places(self) -> Iterator[str]:
        """Yields the addresses and folders that are not of the form that this engine takes."""
        if self.in_pods and self.spill:
            yield "where beam.master is k8s://, set kubeflow.spill instead of beam.spill"
        if self.engine == "spark" and self.master and not _SPARK.fullmatch(self.master):
            yield "beam.master is not one of spark://HOST:PORT, k8s://..., yarn, local[N]"
        if self.engine == "flink" and self.master and not _ADDRESS.fullmatch(self.master):
            yield "beam.master is not HOST:PORT"
        if self.engine == "dataflow" and self.spill and not self.spill.startswith("gs://"):
            yield "beam.spill is not a gs:// URL"

    @property
    def _has_job_server(self) -> bool:
        return self.engine in ("spark", "flink")

    @property
    def in_pods(self) -> bool:
        """Returns True if a step on Kubeflow starts more pods for its work."""
        return self.engine == "spark" and (self.master or "").startswith("k8s://")

    def as_flags(self) -> tuple[str, ...]:
        """Returns Beam's flags for these settings."""
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


def speed_up_beam() -> None:
    """Saves Beam some work that a run with little data spends its time on; called before the first step."""
    from apache_beam.runners.portability.fn_api_runner import worker_handlers
    from apache_beam.transforms import userstate
    from tensorflow_data_validation.statistics.generators import basic_stats_generator

    # In memory, state is at hand without this cache, whose measuring takes a twentieth of a small run's CPU.
    worker_handlers.STATE_CACHE_SIZE_MB = 0
    if not hasattr(userstate.get_dofn_specs, "cache_info"):
        # Beam inspects the signatures of each DoFn two or three times in a row, a tenth of that CPU.
        userstate.get_dofn_specs = lru_cache(maxsize=1)(userstate.get_dofn_specs)
    # TFDV computes a hundred times the quantiles that it is asked for, in half the CPU of StatisticsGen.
    basic_stats_generator._NUM_QUANTILES_FACTOR_FOR_STD_HISTOGRAM = 10
