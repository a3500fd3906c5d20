"""Steps whose executors run in this process, on artifacts of TFX's own types."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.artifacts import AcceptedData, Quarantine, Verdict
from components.data_gate import DataGate
from components.evaluator import Evaluator
from components.example_gen import SpanExampleGen
from components.statistics_gen import StatisticsGen
from data.settings import DataSettings
from edgeline.gates.drift import select_features
from edgeline.records.workload import Workload
from pipeline.beam_settings import FASTEST_ON_ONE_MACHINE as IN_MEMORY
from pipeline.beam_settings import speed_up_beam
from pipeline.evaluation import build_evaluation_config
from pipeline.settings import Settings
from pipeline.workloads import find_workload, read_schema, with_features

LABELS = ("ok", "misplaced", "damaged")
SHELF = with_features(find_workload("shelf"))


def artifact(kind: type[Artifact], folder: Path, **properties: int | str) -> Artifact:
    """Makes an artifact in a folder, with custom properties."""
    made = kind()
    made.uri = str(folder)
    for name, value in properties.items():
        if isinstance(value, int):
            made.set_int_custom_property(name, value)
        else:
            made.set_string_custom_property(name, value)
    return made


def execute(
    step: Any,
    inputs: Mapping[str, Artifact],
    outputs: Mapping[str, Artifact],
    scratch: Path,
    beam_flags: tuple[str, ...] = IN_MEMORY,
    **properties: Any,
) -> None:
    """Runs an executor as TFX's launcher does: one artifact a channel, execution properties by name.

    `step` is a component, or the executor of one of TFX's.
    """
    executor = step.EXECUTOR_SPEC.executor_class if hasattr(step, "EXECUTOR_SPEC") else step
    context: dict[str, Any] = {"tmp_dir": str(scratch / "tmp"), "unique_id": "1"}
    if issubclass(executor, BaseBeamExecutor):
        speed_up_beam()
        context["beam_pipeline_args"] = list(beam_flags)
    executor(executor.Context(**context)).Do(
        {name: [value] for name, value in inputs.items()},
        {name: [value] for name, value in outputs.items()},
        properties,
    )


@dataclass(frozen=True)
class Ingested:
    """The outputs of ingest."""

    examples: Artifact
    quarantine: Artifact

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(Path(self.quarantine.uri, "ingest.json").read_text())

    def read_quarantine(self) -> list[dict[str, str]]:
        """Reads the rows of quarantine.csv."""
        with Path(self.quarantine.uri, "quarantine.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def read_files(self, split: str) -> dict[str, list[dict[str, Any]]]:
        """Reads the records of a split by file, each as {feature: value}, in their order."""
        import tensorflow as tf

        contents = {}
        for path in sorted(Path(self.examples.uri, f"Split-{split}").iterdir()):
            records = tf.data.TFRecordDataset(str(path), compression_type="GZIP").as_numpy_iterator()
            contents[path.name] = [_read_features(record) for record in records]
        return contents

    def read_records(self, split: str) -> list[dict[str, Any]]:
        return [record for records in self.read_files(split).values() for record in records]


def _read_features(serialized: bytes) -> dict[str, Any]:
    import tensorflow as tf

    features = {}
    for name, feature in tf.train.Example.FromString(serialized).features.feature.items():
        (value,) = getattr(feature, feature.WhichOneof("kind")).value
        features[name] = value
    return features


def ingest(
    data: Path | str,
    folder: Path,
    beam_flags: tuple[str, ...] = IN_MEMORY,
    digest: str = "",
    workload: Workload = SHELF,
    workspace: Path | str = "",
    code: str = "",
    **options: Any,
) -> Ingested:
    """Runs ExampleGen; `digest` is that of the window as the runner read it."""
    ingested = Ingested(
        artifact(standard_artifacts.Examples, folder / "examples"),
        artifact(Quarantine, folder / "quarantine"),
    )
    execute(
        SpanExampleGen,
        {},
        {"examples": ingested.examples, "quarantine": ingested.quarantine},
        folder,
        beam_flags,
        data=str(data),
        workload=workload.to_json(),
        settings=Settings(data=DataSettings(**options)).of("ExampleGen"),
        window=digest,
        workspace=str(workspace),
        code=code,
    )
    return ingested


def count_statistics(examples: Artifact, folder: Path, push: Path | None = None) -> Artifact:
    """Runs StatisticsGen; `push` is a release store, by default an empty one."""
    statistics = artifact(standard_artifacts.ExampleStatistics, folder / "statistics")
    features = select_features(read_schema(SHELF), SHELF.unmeasured, SHELF.group)
    properties = {"features": json.dumps(features), "push": str(push or folder / "push"), "code": ""}
    inputs, outputs = {"examples": examples}, {"statistics": statistics}
    execute(StatisticsGen, inputs, outputs, folder, **properties, model_name="shelf", unjudged="")
    return statistics


def admit(
    folder: Path, quarantine: Artifact | None = None, **properties: str
) -> tuple[dict[str, Artifact], Artifact]:
    """Runs DataGate on the files in the folder `found`; returns its inputs and its output."""
    kinds = {
        "data_verdict": Verdict,
        "statistics": standard_artifacts.ExampleStatistics,
        "anomalies": standard_artifacts.ExampleAnomalies,
        "quarantine": Quarantine,
        "schema": standard_artifacts.Schema,
        "inferred": standard_artifacts.Schema,
    }
    inputs = {name: artifact(kind, folder / "found") for name, kind in kinds.items()}
    if quarantine is not None:
        inputs["quarantine"] = quarantine
    output = artifact(AcceptedData, folder / "accepted")
    defaults = dict.fromkeys(("run", "model_name", "push", "data", "source", "records"), "")
    execute(DataGate, inputs, {"accepted_data": output}, folder, **defaults | {"recorded": "{}"} | properties)
    return inputs, output


def measure_models(trained: Any, baseline: Artifact, folder: Path, workload: Workload = SHELF) -> Artifact:
    """Runs the Evaluator on a trained model and the one in production."""
    measured = artifact(standard_artifacts.ModelEvaluation, folder / "measured")
    execute(
        Evaluator,
        {"examples": trained.examples, "model": trained.model, "baseline_model": baseline},
        {"evaluation": measured},
        folder,
        eval_config=build_evaluation_config(workload, 0.05),
        workload=workload.to_json(),
        code="",
    )
    return measured


def predict_eval(trained: Any) -> Any:
    """Returns label ids and the SavedModel's answers for the eval split."""
    import tensorflow as tf

    files = sorted(str(path) for path in Path(trained.examples.uri, "Split-eval").iterdir())
    raw = list(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())
    serve = tf.saved_model.load(str(Path(trained.model.uri, "Format-Serving"))).signatures
    answers = serve["serving_default"](examples=tf.constant(raw))["probabilities"].numpy().argmax(1)
    return serve["transform_features"](examples=tf.constant(raw))["label"].numpy(), answers
