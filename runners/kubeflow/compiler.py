"""The compiler of the DAG for Kubeflow Pipelines: `pipeline/dag.py` through TFX's own runner, then `spec.py`.

Nothing is ever cached on a cluster: the steps that depend on outside data have no cache key for it there, and
a recurring run whose steps are all served from the cache ends well without having trained.
"""

import importlib.util
import json
import os
import warnings
from pathlib import Path
from typing import Any

import yaml

from edgeline.cli.stdout import note
from edgeline.edge.interpreter import silence_stderr
from edgeline.errors import UsageError
from edgeline.records.workload import Workload
from edgeline.release.signing import KEY_VARIABLE
from edgeline.store.locations import write_atomically
from pipeline.kubeflow_settings import KubeflowSettings, split_claim
from pipeline.settings import Settings, find_changed
from runners.kubeflow.parameters import CODE_OF_IMAGE, LOCK_OF_IMAGE, RUN_ID, escape
from runners.kubeflow.spec import ENTRY, finish

# Without a claim for checkpoints a training writes them here, and they are lost with the pod.
_CHECKPOINTS_IN_POD = "/tmp/edgeline/checkpoints"
# Linux takes 131,072 bytes for one argument of a program, and a pod's arguments have its step's parameters
# with some text around them (kubeflow/pipelines#12453, argoproj/argo-workflows#12190).
_ARGUMENT_BYTES = 120_000


def compile_pipeline(workload: Workload, settings: Settings, output: Path) -> dict[str, Any]:
    """Writes the pipeline of a workload as YAML, in place of an existing file; returns its spec.

    The same input gives the same bytes.

    Args:
        workload: The text of its schema becomes part of the pipeline.
        settings: Their values become the default parameters of a run.
        output: The file; its folder is made if it is missing.

    Raises:
        UsageError: A setting that a cluster needs is missing, the workload's module cannot be in the image,
            or kfp is not installed.
    """
    _check(workload, settings)
    settings = require_gpus(settings)
    if settings.registry.enabled and settings.registry.uri and not settings.registry.server:
        uri = settings.registry.uri
        note(
            f"registry.uri is {uri}, not a server: pods write nothing to it, `edgeline ui --store URL` does."
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    # The file is opened first, so that a folder that cannot be written to is reported before the wait.
    # TensorFlow 2.21 has no setting that hides the messages of its import, on which nobody can act.
    with write_atomically(output) as file, silence_stderr():
        compiled = _compile(workload, settings)
        meeting = f"{_locate_checkpoints(settings.kubeflow)}/meetings"
        workers = _count_workers(settings)
        description = _describe_pipeline(workload, settings)
        spec, platform = finish(
            compiled, settings.kubeflow, settings.recorded(), workers, meeting, description
        )
        documents = [spec, platform] if platform else [spec]
        text = yaml.dump_all(documents, sort_keys=True, allow_unicode=True, Dumper=yaml.SafeDumper)
        file.write(text.encode())
    return spec


def _check(workload: Workload, settings: Settings) -> None:
    kubeflow = settings.kubeflow
    required = ("image", "pipeline_root", "data", "push")
    if missing := [f"kubeflow.{name}" for name in required if getattr(kubeflow, name) is None]:
        raise UsageError(
            f"Not set: {', '.join(missing)}.",
            "The steps run in pods of a cluster, which cannot read the files of this machine.",
            "Set them in a file, `--settings FILE`, or with `--set`, for example"
            " `--set kubeflow.push=pvc://edgeline/push`.",
        )

    if settings.push.key is not None:
        raise UsageError(
            f"push.key is {settings.push.key}.",
            "The steps run in pods without the files of this machine, and a key must not be in an image.",
            f"Put it into a secret, and set kubeflow.secrets={{{KEY_VARIABLE}: SECRET/KEY}}.",
        )
    if (workers := _count_workers(settings)) > 1 and kubeflow.checkpoints is None:
        raise UsageError(
            f"Trainer has {workers} pods, and kubeflow.checkpoints is not set.",
            "They find one another in a folder that all of them mount.",
            "Set kubeflow.checkpoints=pvc://CLAIM/path, with a claim that several nodes can mount at once.",
        )
    if settings.beam.in_pods and kubeflow.spill is None:
        raise UsageError(
            f"beam.master is {settings.beam.master}, and kubeflow.spill is not set.",
            "A step and its executors exchange files through a folder that all of them mount.",
            "Set kubeflow.spill=pvc://CLAIM/path, with a claim that several nodes can mount at once.",
        )

    _check_schema_size(workload)
    if importlib.util.find_spec("kfp") is None:
        raise UsageError(
            "kfp, the client library of Kubeflow Pipelines, is not installed.",
            "TFX compiles pipelines with it.",
            "Install it: `pip install 'edgeline[kubeflow]'`.",
        )

    try:
        spec = importlib.util.find_spec(workload.module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise UsageError(
            f"The module {workload.module} of the workload {workload.name} was not found.",
            f"Transform and Trainer import it, here and in the image {kubeflow.image}.",
            "Put its folder into PYTHONPATH, and its files into an image on this project's:"
            " FROM IMAGE, then COPY FOLDER /edgeline.",
        )


def _check_schema_size(workload: Workload) -> None:
    schema = Path(workload.schema).read_text(encoding="utf-8")
    size = len(json.dumps(schema, ensure_ascii=False).encode())
    if size > _ARGUMENT_BYTES:
        raise UsageError(
            f"The schema of {workload.name} has {size:,} bytes: {workload.schema}.",
            f"A step of a cluster takes it as an argument, which has {_ARGUMENT_BYTES:,} bytes at most.",
            "Import the table with fewer columns (`--leave-out COLUMN`), or run it on one machine.",
        )


def _describe_pipeline(workload: Workload, settings: Settings) -> str:
    """Describes the pipeline for people: its image, and the settings that differ from the workload's."""
    changed = [f"{name}={value}" for name, value in find_changed(settings, workload.settings).items()]
    difference = f"changed from the workload's: {', '.join(changed)}" if changed else "as in the workload"
    return f"{workload.name} in the image {settings.kubeflow.image}; settings {difference}."


def require_gpus(settings: Settings) -> Settings:
    """Sets `trainer.require_gpu` if each pod that trains asks for a GPU, unless the setting is given."""
    trainer = settings.trainer
    steps = ("Tuner", "Trainer") if settings.tune.max_trials else ("Trainer",)
    has_gpus = all(settings.kubeflow.placement(step).gpu for step in steps)
    if not has_gpus or trainer.strategy == "tpu" or "require_gpu" in trainer.model_fields_set:
        return settings
    return settings.model_copy(update={"trainer": trainer.model_copy(update={"require_gpu": True})})


def _count_workers(settings: Settings) -> int:
    """Returns the number of pods of the Trainer."""
    return settings.trainer.workers if settings.trainer.strategy == "multi_worker" else 1


def _locate_checkpoints(kubeflow: KubeflowSettings) -> str:
    return _to_pod_path(kubeflow.checkpoints) if kubeflow.checkpoints else _CHECKPOINTS_IN_POD


def _compile(workload: Workload, settings: Settings) -> dict[str, Any]:
    """Returns TFX's pipeline spec as nested dictionaries."""
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
        KubeflowV2DagRunner,
        KubeflowV2DagRunnerConfig,
    )

    from pipeline.dag import Observed, Paths, create_pipeline

    kubeflow = settings.kubeflow
    push = _to_pod_path(kubeflow.push)
    paths = Paths(
        data=_to_pod_path(kubeflow.data),
        artifacts=str(kubeflow.pipeline_root),
        metadata="",
        push=push,
        checkpoints=_locate_checkpoints(kubeflow),
        records=f"{push}/runs/{workload.name}",
    )
    observed = Observed(code=CODE_OF_IMAGE, lock=LOCK_OF_IMAGE, run=RUN_ID)
    entry = ["python", "-m", ENTRY, "--records", paths.records]
    entry += ["--module", workload.module, "--source", workload.source]
    if settings.steps:
        entry += ["--own", json.dumps(settings.own_modules())]
    if settings.alerts.channels:
        entry += ["--alerts", escape(settings.alerts.model_dump_json(exclude_defaults=True))]
    if kubeflow.shards:
        entry += ["--shards", kubeflow.shards]
    if settings.registry.server:
        entry += ["--registry", settings.registry.server]
    config = KubeflowV2DagRunnerConfig(
        default_image=kubeflow.image, default_commands=entry, use_pipeline_spec_2_1=True
    )
    if settings.beam.in_pods:
        beam = settings.beam.model_copy(update={"spill": _to_pod_path(kubeflow.spill)})
        settings = settings.model_copy(update={"beam": beam})
    pipeline = create_pipeline(workload, settings, paths, observed)
    return KubeflowV2DagRunner(config).run(pipeline, write_out=False)["pipelineSpec"]


def _to_pod_path(location: str | None) -> str:
    """Returns the place where steps find a location: a path below a mount, or its URL."""
    assert location is not None
    claim = split_claim(location)
    return claim[1] if claim else location
