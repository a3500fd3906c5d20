"""DataValidator: judges a week of data before a second of training is spent.

The gate itself always succeeds and puts out a verdict, because a step that fails keeps no output on a
cluster; `DataGate` after it stops the run.
"""

import logging
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import ExampleAnomalies, ExampleStatistics, Schema

from components.artifacts import Quarantine, Verdict
from gates.data import judge
from gates.drift import measure_drift
from gates.settings import GateSettings
from records.data_checks import DRIFT, read_anomalies
from records.ingest import INGEST, TWINS
from records.verdict import VERDICT

log = logging.getLogger("edgeline.gate")


@component
def DataValidator(
    statistics: InputArtifact[ExampleStatistics],
    schema: InputArtifact[Schema],
    anomalies: InputArtifact[ExampleAnomalies],
    quarantine: InputArtifact[Quarantine],
    verdict: OutputArtifact[Verdict],
    settings: Parameter[str],
    code: Parameter[str],
) -> None:
    """Judges a window of data, and leaves the drift of each feature beside the verdict.

    The statistics are counted with `gates.drift.statistics_options`; the schema, the curated one, has drift
    comparators.
    """
    drift = measure_drift(
        Path(artifact_utils.get_split_uri([statistics], "train")), next(Path(schema.uri).glob("*.pbtxt"))
    )
    found = judge(
        INGEST.read(Path(quarantine.uri)),
        read_anomalies(Path(anomalies.uri), artifact_utils.decode_split_names(anomalies.split_names)),
        drift,
        GateSettings.model_validate_json(settings),
        TWINS.find(Path(quarantine.uri)),
    )
    for warning in found.warnings:
        log.warning(warning)
    folder = Path(verdict.uri)
    VERDICT.write(folder, found)
    DRIFT.write(folder, drift)
    verdict.set_int_custom_property("passed", int(found.passed))
