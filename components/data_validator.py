"""DataValidator: judges each week of data that led to no release yet, before a second of training is spent.

This step always succeeds and puts out a verdict, because a step that fails keeps no output on a cluster;
`DataGate` after it stops the run.
"""

import json
import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import ExampleAnomalies, ExampleStatistics, Schema

from components.artifacts import COUNTS, Quarantine, Verdict
from edgeline.gates.data import judge, spans_to_judge
from edgeline.gates.drift import measure_drift, statistics_options
from edgeline.gates.settings import GateSettings
from edgeline.records.ingest import INGEST, TWINS, Ingest
from edgeline.records.verdict import DRIFT, VERDICT, Drift, read_anomalies
from edgeline.release import store
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
    features: Parameter[str],
    push: Parameter[str],
    model_name: Parameter[str],
    unjudged: Parameter[str],
    code: Parameter[str],
) -> None:
    """Judges a window of data, and writes the drift of each feature beside the verdict.

    `schema` is the curated one, with drift comparators; `features` are those that StatisticsGen was given.
    The release store tells which spans the model in production was made from: the other spans and the newest
    are judged, each against those. `unjudged` names the spans to judge, which keys the cache; empty where
    each step runs afresh.
    """
    ingest, release = INGEST.read(Path(quarantine.uri)), store.current(push, model_name)
    contents = {span.name: span.content for span in ingest.spans}
    judged = spans_to_judge(contents, release.manifest.data.spans if release else {})
    drift = tuple(
        _measure_spans(ingest, judged, Path(statistics.uri), next(Path(schema.uri).glob("*.pbtxt")), features)
    )
    outcome = judge(
        ingest,
        read_anomalies(Path(anomalies.uri), artifact_utils.decode_split_names(anomalies.split_names)),
        drift,
        _Settings.model_validate_json(settings).gate,
        TWINS.find(Path(quarantine.uri)),
        judged,
    )
    for warning in outcome.warnings:
        log.warning(warning)
    folder = Path(verdict.uri)
    VERDICT.write(folder, outcome)
    DRIFT.write(folder, drift)
    verdict.set_int_custom_property("passed", int(outcome.passed))


def _measure_spans(
    ingest: Ingest, judged: Collection[str], statistics: Path, schema: Path, features: str
) -> Iterator[Drift]:
    """Measures the drift of the judged spans from those that are not judged, or from all others if none is.

    With two spans that are both to be judged, the newer one is compared with the older one.
    """
    from components.statistics_by_span import find_counts, merge_spans

    options = statistics_options(**json.loads(features))
    counts = find_counts(statistics / COUNTS, "train")
    keys = {span.name: f"span_{span.number}" for span in ingest.spans if f"span_{span.number}" in counts}
    known = [key for name, key in keys.items() if name not in judged]
    if len(keys) == 2 and not known:
        known = [*keys.values()][:1]
    reference = merge_spans([counts[key] for key in known], options) if known else None
    for name, key in keys.items():
        if key not in known and len(keys) > 1:
            others = reference or merge_spans([counts[k] for k in keys.values() if k != key], options)
            yield from measure_drift(name, merge_spans([counts[key]], options), others, schema)
