"""DataValidator: judges each week of data that led to no release yet, before a second of training is spent.

This step always succeeds and puts out a verdict, because a step that fails keeps no output on a cluster;
`DataGate` after it stops the run.
"""

import json
import logging
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import ExampleAnomalies, ExampleStatistics, Schema

from components.artifacts import Quarantine, Verdict
from edgeline.gates.data import Week, judge_data
from edgeline.gates.drift import measure_spans, place_anomalies
from edgeline.gates.settings import GateSettings
from edgeline.records.ingest import BROKEN_RULES, INGEST, TWINS
from edgeline.records.served import SERVED
from edgeline.records.verdict import DRIFT, SHIFTS, VERDICT, read_anomalies
from edgeline.settings_group import Group

log = logging.getLogger("edgeline.gate")


class _Settings(Group):
    gate: GateSettings


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
    """Judges a window of data, and writes the drift of each feature beside the verdict.

    Args:
        statistics: Written by StatisticsGen; the custom property `judged` names the spans that are judged.
        schema: The curated one, written by ImportSchemaGen, with drift comparators.
        anomalies: Written by ExampleValidator.
        quarantine: Written by ExampleGen: counts of the window, near twins, served answers, broken rules.
        verdict: Read by DataGate: the verdict, and the drift.
        settings: The settings `gate` as JSON, read as `_Settings`.
        code: Digests of the step's code and of the libraries; only a part of the cache key.
    """
    ingested = Path(quarantine.uri)
    ingest = INGEST.read(ingested)
    judged = json.loads(statistics.get_string_custom_property("judged"))
    curated = next(Path(schema.uri).glob("*.pbtxt"))
    train = Path(artifact_utils.get_split_uri([statistics], "train"))
    drift = measure_spans(train, curated)
    found = read_anomalies(Path(anomalies.uri), artifact_utils.decode_split_names(anomalies.split_names))
    week = Week(
        ingest,
        _Settings.model_validate_json(settings).gate,
        judged,
        place_anomalies(found, judged, ingest.spans[-1].name, Path(statistics.uri), curated),
        drift,
        TWINS.find(ingested),
        SERVED.find(ingested),
        BROKEN_RULES.find(ingested) or (),
        SHIFTS.find(train) or (),
    )
    outcome = judge_data(week)
    for warning in outcome.warnings:
        log.warning(warning)
    folder = Path(verdict.uri)
    VERDICT.write(folder, outcome)
    DRIFT.write(folder, drift)
    verdict.set_int_custom_property("passed", int(outcome.passed))
