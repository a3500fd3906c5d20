"""Runs the executor of a step in this process, on artifacts that TFX's own types describe."""

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
from components.example_gen import SpanExampleGen
from components.tfx_steps import StatisticsGen
from data.settings import DataSettings
from edgeline.gates.drift import select_features
from edgeline.records.workload import Workload
from pipeline.beam_settings import FASTEST_ON_ONE_MACHINE as IN_MEMORY
from pipeline.settings import Settings
from pipeline.workloads import BUILT_IN, read_schema, with_features

LABELS = ("ok", "misplaced", "damaged")
SHELF = with_features(BUILT_IN["shelf"])


def artifact(kind: type[Artifact], folder: Path, **properties: int | str) -> Artifact:
    """An artifact in a folder, with custom properties."""
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
    """Does what TFX's launcher does: one artifact a channel, execution properties by name.

    `step` is a component, or the executor of one of TFX's.
    """
    executor = step.EXECUTOR_SPEC.executor_class if hasattr(step, "EXECUTOR_SPEC") else step
    about: dict[str, Any] = {"tmp_dir": str(scratch / "tmp"), "unique_id": "1"}
    if issubclass(executor, BaseBeamExecutor):
        about["beam_pipeline_args"] = list(beam_flags)
    executor(executor.Context(**about)).Do(
        {name: [value] for name, value in inputs.items()},
        {name: [value] for name, value in outputs.items()},
        properties,
    )


@dataclass(frozen=True)
class Ingested:
    """The output of ingest."""

    examples: Artifact
    quarantine: Artifact

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(Path(self.quarantine.uri, "ingest.json").read_text())

    def quarantined(self) -> list[dict[str, str]]:
        """The rows of quarantine.csv."""
        with Path(self.quarantine.uri, "quarantine.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def files(self, split: str) -> dict[str, list[dict[str, Any]]]:
        """The records of a split by file, each as {feature: value}, in their order."""
        import tensorflow as tf

        found = {}
        for path in sorted(Path(self.examples.uri, f"Split-{split}").iterdir()):
            records = tf.data.TFRecordDataset(str(path), compression_type="GZIP").as_numpy_iterator()
            found[path.name] = [_features(record) for record in records]
        return found

    def records(self, split: str) -> list[dict[str, Any]]:
        return [record for records in self.files(split).values() for record in records]


def _features(serialized: bytes) -> dict[str, Any]:
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
    seen: str = "",
    workload: Workload = SHELF,
    workspace: Path | str = "",
    code: str = "",
    **options: Any,
) -> Ingested:
    """Runs ExampleGen; `seen` is the digest of the window that the runner saw."""
    made = Ingested(
        artifact(standard_artifacts.Examples, folder / "examples"),
        artifact(Quarantine, folder / "quarantine"),
    )
    execute(
        SpanExampleGen,
        {},
        {"examples": made.examples, "quarantine": made.quarantine},
        folder,
        beam_flags,
        data=str(data),
        workload=workload.to_json(),
        settings=Settings(data=DataSettings(**options)).of("ExampleGen"),
        window=seen,
        workspace=str(workspace),
        code=code,
    )
    return made


def count_statistics(
    examples: Artifact, folder: Path, push: Path | None = None, beam_flags: tuple[str, ...] = IN_MEMORY
) -> Artifact:
    """Runs StatisticsGen; `push` is a release store, by default an empty one."""
    statistics = artifact(standard_artifacts.ExampleStatistics, folder / "statistics")
    features = select_features(read_schema(SHELF), SHELF.unmeasured, SHELF.group)
    about = {"features": json.dumps(features), "push": str(push or folder / "push"), "model_name": "shelf"}
    inputs, outputs = {"examples": examples}, {"statistics": statistics}
    execute(StatisticsGen, inputs, outputs, folder, beam_flags, **about, unjudged="", code="")
    return statistics


def admit(
    folder: Path, quarantine: Artifact | None = None, **given: str
) -> tuple[dict[str, Artifact], Artifact]:
    """Runs DataGate on what lies in the folder `found`; returns its inputs and its output."""
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
    about = dict.fromkeys(("run", "model_name", "push", "data", "records"), "") | {"recorded": "{}"} | given
    execute(DataGate, inputs, {"accepted_data": output}, folder, **about)
    return inputs, output
