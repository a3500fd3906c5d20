"""The DAG, top to bottom as in docs/images/dag.svg. Both engines run it as it stands here."""

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path

from tfx.components import ExampleValidator, SchemaGen, Trainer
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.trainer_pb2 import EvalArgs, TrainArgs

from components.data_gate import DataGate
from components.data_validator import DataValidator
from components.edge_converter import EdgeConverter
from components.edge_validator import EdgeValidator
from components.evaluator import Evaluator
from components.example_gen import SpanExampleGen
from components.import_schema_gen import ImportSchemaGen
from components.model_validator import ModelValidator
from components.production_model import ProductionModel
from components.pusher import Pusher
from components.release_gate import ReleaseGate
from components.run_report import RunReport
from components.statistics_gen import StatisticsGen
from components.transform import Transform
from components.tuner import Tuner
from edgeline.errors import UsageError
from edgeline.gates.drift import select_features
from edgeline.records.workload import Workload
from pipeline.evaluation import build_evaluation_config
from pipeline.own_steps import insert
from pipeline.settings import Settings
from pipeline.workloads import read_schema
from trainer_module.workload_module import load_workload_module


@dataclass(frozen=True)
class Paths:
    """The places that a run reads from and writes to."""

    data: str  # the folder of spans, or its URL
    artifacts: str  # the pipeline root
    metadata: str  # the file of the ML Metadata store; empty if the engine has one of its own
    push: str  # root of the release store, or its URL
    checkpoints: str  # the folder from which the next attempt of a killed training goes on
    workspace: str = ""  # the folder that runs share; empty if they share none
    # Folder or URL under which each run on a cluster writes its record; empty on one machine, where records
    # are in the workspace.
    records: str = ""


@dataclass(frozen=True)
class Observed:
    """The state of the world that the runner saw; it is part of the cache keys of the steps that read it."""

    window: str = ""  # digest of the content of the newest spans
    production: str = ""  # digest of the pointer to production; empty if nothing is in production
    code: str = ""  # digest of the code that the steps run
    lock: str = ""  # digest of the installed lock file
    source: str = ""  # JSON of the commit; empty for that of the container image
    run: str = ""  # id of the run
    # Digest of the code by step; a step that is not named has that of all.
    step_code: Mapping[str, str] = field(default_factory=dict)
    unjudged: str = ""  # the spans that were not judged by a run that led to production
    weights: str = ""  # digest of the file that `model.weights` names; empty if it names none
    slow: str = ""  # id of the newest run where a file fell by times alone; empty if there is none

    def code_of(self, step: str) -> str:
        """Returns the digests for the cache key of a step: of its code, and of the installed libraries."""
        return f"{self.step_code.get(step, self.code)} {self.lock}"


def create_pipeline(workload: Workload, settings: Settings, paths: Paths, observed: Observed) -> Pipeline:
    """Builds the DAG of a workload.

    Args:
        workload: Read from its file; its schema is read here.
        settings: Those of the run, after all layers; each step gets the part that `STEPS` names.
        paths: Where the run reads and writes, as the engine sees these places.
        observed: What the runner found before the run; empty fields where the engine runs each step afresh.

    Raises:
        UsageError: The workload's module cannot be imported, or lacks a function; or a custom step
            does not fit.
    """
    load_workload_module(workload.module)
    store = {"push": paths.push, "model_name": workload.name}
    about = {
        "run": observed.run,
        "model_name": workload.name,
        "data": paths.data,
        "recorded": json.dumps(settings.recorded()),
        "source": observed.source,
        "records": paths.records,
    }

    def take(step: str) -> dict[str, str]:
        code = observed.code_of(step)
        return {"workload": workload.to_json(), "settings": settings.of(step), "code": code}

    transform_config = {
        "labels": workload.labels,
        "numbers": workload.numbers,
        "categories": workload.categories,
        "max_side": settings.data.max_side,
        "levels": settings.data.levels,
        **settings.model.model_dump(mode="json"),
        "code": observed.code_of("Transform"),
    }

    ingest = SpanExampleGen(
        data=paths.data, window=observed.window, workspace=paths.workspace, **take("ExampleGen")
    ).with_id("ExampleGen")
    examples = {"examples": ingest.outputs["examples"]}
    quarantine = {"quarantine": ingest.outputs["quarantine"]}
    statistics = StatisticsGen(
        **examples,
        features=json.dumps(select_features(read_schema(workload), workload.unmeasured, workload.group)),
        **store,
        unjudged=observed.unjudged,
        code=observed.code_of("StatisticsGen"),
    )
    inferred = SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=True)
    curated = ImportSchemaGen(text=Path(workload.schema).read_text(encoding="utf-8"))
    anomalies = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=curated.outputs["schema"]
    )
    findings = {
        "statistics": statistics.outputs["statistics"],
        "schema": curated.outputs["schema"],
        "anomalies": anomalies.outputs["anomalies"],
        **quarantine,
    }
    data_validator = DataValidator(
        **findings, settings=settings.of("DataValidator"), code=observed.code_of("DataValidator")
    )
    gate = DataGate(
        data_verdict=data_validator.outputs["verdict"],
        **findings,
        inferred=inferred.outputs["schema"],
        push=paths.push,
        **about,
    )

    transform = Transform(
        **examples,
        schema=curated.outputs["schema"],
        preprocessing_fn=f"{workload.module}.preprocessing_fn",
        custom_config=transform_config,
        materialize=False,
        disable_analyzer_cache=True,
        disable_statistics=True,
    )
    transform.add_upstream_node(gate)
    prepared = {**examples, "transform_graph": transform.outputs["transform_graph"]}
    learning_inputs = {
        **prepared,
        "schema": curated.outputs["schema"],
        "train_args": TrainArgs(splits=["train"]),
        "eval_args": EvalArgs(splits=["eval"]),
    }

    def configure(step: str) -> dict[str, str]:
        return {**take(step), "weights": observed.weights, "checkpoints": paths.checkpoints}

    tuner, hyperparameters = None, {}
    if settings.tune.max_trials:
        tuner = Tuner(
            tuner_fn="trainer_module.search.tune.tuner_fn",
            **learning_inputs,
            custom_config=configure("Tuner"),
        )
        hyperparameters = {"hyperparameters": tuner.outputs["best_hyperparameters"]}
    trainer = Trainer(
        run_fn="trainer_module.run_fn.run_fn",
        **learning_inputs,
        **hyperparameters,
        custom_config=configure("Trainer"),
    )
    production = ProductionModel(
        **examples,
        **quarantine,
        **store,
        production=observed.production,
        labels=json.dumps(workload.labels),
        settings=settings.of("ProductionModel"),
        code=observed.code_of("ProductionModel"),
    )
    production.add_upstream_node(gate)
    model = {"model": trainer.outputs["model"]}
    compared = {**examples, **model, "baseline_model": production.outputs["model"]}
    evaluator = Evaluator(
        **compared,
        eval_config=build_evaluation_config(workload, settings.evaluation.false_alarm_rate),
        workload=workload.to_json(),
        code=observed.code_of("Evaluator"),
    )
    model_validator = ModelValidator(
        **compared,
        **quarantine,
        model_run=trainer.outputs["model_run"],
        measured=evaluator.outputs["evaluation"],
        **take("ModelValidator"),
    )

    converter = EdgeConverter(**prepared, **model, **take("EdgeConverter"))
    edge_validator = EdgeValidator(
        **prepared,
        **model,
        edge_models=converter.outputs["edge_models"],
        production_model=production.outputs["model"],
        slow=observed.slow,
        **take("EdgeValidator"),
    )
    reported = {
        "evaluation": model_validator.outputs["evaluation"],
        "blessing": model_validator.outputs["blessing"],
        "edge_models": converter.outputs["edge_models"],
        "edge_verdict": edge_validator.outputs["verdict"],
        "model_run": trainer.outputs["model_run"],
        **({"search": tuner.outputs["tuner_results"]} if tuner else {}),
    }
    pusher = Pusher(
        **examples,
        **quarantine,
        **model,
        accepted_data=gate.outputs["accepted_data"],
        **reported,
        labels=json.dumps(workload.labels),
        **store,
        settings=settings.of("Pusher"),
        code=observed.code,
        lock=observed.lock,
        source=observed.source,
        run=observed.run,
    )
    report = RunReport(
        accepted_data=gate.outputs["accepted_data"],
        **reported,
        pushed_model=pusher.outputs["pushed_model"],
        **about,
    )
    release = ReleaseGate(
        pushed_model=pusher.outputs["pushed_model"], **store, run=observed.run, records=paths.records
    )
    release.add_upstream_node(report)

    nodes = [
        *(ingest, statistics, inferred, curated, anomalies, data_validator, gate, transform),
        *([tuner] if tuner else []),
        *(trainer, production, evaluator, model_validator, converter, edge_validator),
        *(pusher, report, release),
    ]
    metadata = sqlite_metadata_connection_config(paths.metadata) if paths.metadata else None
    return Pipeline(
        pipeline_name=workload.pipeline,
        pipeline_root=paths.artifacts,
        metadata_connection_config=metadata,
        components=insert(nodes, settings.steps, observed.code_of),
        enable_cache=True,
        beam_pipeline_args=_check_flags(settings.beam.as_flags()),
    )


def _check_flags(flags: Sequence[str]) -> list[str]:
    """Returns flags that Beam can read: of one that it cannot, it ends the process in the first step."""
    from apache_beam.options.pipeline_options import PipelineOptions

    try:
        with redirect_stderr(io.StringIO()) as stderr:
            PipelineOptions(list(flags)).get_all_options()
    except SystemExit:
        message = stderr.getvalue().partition(": error: ")[2].strip()
        raise UsageError(
            f"beam.flags: {message}.", "Beam cannot read its flags.", "Correct beam.flags."
        ) from None
    return list(flags)
