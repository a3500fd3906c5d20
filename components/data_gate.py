"""DataGate: stops the run at a step whose name says so, and leaves a record of it on a cluster."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import ExampleAnomalies, ExampleStatistics, Schema

from components.artifacts import AcceptedData, Quarantine, Verdict
from components.canary import ReleaseSettings, end_canary, renew_pointer
from components.run_record import format_details_command, leave_record
from edgeline.errors import DataRefused
from edgeline.records.run import Run
from edgeline.records.served import SERVED
from edgeline.records.source import Source
from edgeline.records.verdict import ENDED_CANARY, VERDICT
from edgeline.release.acceptance import check_push_early, check_writer
from edgeline.release.settings import PushSettings
from edgeline.release.signing import load_signing_key

log = logging.getLogger("edgeline.gate")


@component
def DataGate(
    data_verdict: InputArtifact[Verdict],
    statistics: InputArtifact[ExampleStatistics],
    anomalies: InputArtifact[ExampleAnomalies],
    quarantine: InputArtifact[Quarantine],
    schema: InputArtifact[Schema],
    inferred: InputArtifact[Schema],
    accepted_data: OutputArtifact[AcceptedData],
    run: Parameter[str],
    model_name: Parameter[str],
    push: Parameter[str],
    data: Parameter[str],
    recorded: Parameter[str],
    source: Parameter[str],
    records: Parameter[str],
) -> None:
    """Lets the run go on to training, or stops it; before, it ends an open canary if phones answered enough.

    A run that is stopped withdraws a bad candidate, but promotes none.

    The inputs other than the verdict go into the record of a run that is stopped, and are copied for the
    report of a run that goes on: so a graph has one edge to RunReport instead of one from each step.

    Args:
        data_verdict: Written by DataValidator: the verdict, with the drift of each feature.
        statistics: Written by StatisticsGen.
        anomalies: Written by ExampleValidator.
        quarantine: Written by ExampleGen; also has what phones answered, which an open canary is judged by.
        schema: The curated one, written by ImportSchemaGen.
        inferred: The schema of this window, written by SchemaGen.
        accepted_data: Read by Pusher and RunReport: copies of the inputs, and the end of a canary.
        run: The id of the run, for which this step is never taken from the cache.
        model_name: The name of the workload, which is that of the model in the store.
        push: The root of the release store, or its URL.
        data: The folder of spans, or its URL, for the record.
        recorded: All recorded settings as JSON; `ReleaseSettings` reads those that the step needs.
        source: The commit as JSON, read as `Source`; empty for that of the container image.
        records: The place of the record, as in `leave_record`; empty on one machine.

    Raises:
        DataRefused: The verdict is `fail`.
        UsageError: Phones run a release of a higher rollback epoch or a signed one, the key is not a key, or
            the source is not a commit as it is, which the settings require.
    """
    verdict = VERDICT.read(Path(data_verdict.uri))
    served = SERVED.find(Path(quarantine.uri))
    settings = ReleaseSettings.model_validate_json(recorded)
    ended = end_canary(push, model_name, run, settings, served, may_promote=verdict.passed)
    reasons = (*verdict.reasons, ended.sentence) if ended else verdict.reasons
    inputs = {
        "data_verdict": data_verdict,
        "statistics": statistics,
        "anomalies": anomalies,
        "quarantine": quarantine,
        "schema": schema,
        "inferred": inferred,
    }
    # On one machine the runner makes the page of every run when it has ended. On a cluster, a run that never
    # ends keeps the record of this step.
    if records:
        made_with = json.loads(recorded)
        commit = Source.parse(source)
        record = Run(id=run, workload=model_name, data=data, settings=made_with, source=commit)
        if not verdict.passed:
            record = replace(record, outcome="refused", reasons=reasons)
            renew_pointer(push, model_name, settings.push)
        leave_record(inputs, record, records)
    if not verdict.passed:
        details = format_details_command(records, model_name)
        do = f"The run's report says what to do next: {details}."
        raise DataRefused(" ".join(reasons), "Nothing was trained.", do)
    if records:  # On one machine, the runner checks this before the first step.
        _check_push(push, model_name, settings.push, commit)
    for name, artifact in inputs.items():
        shutil.copytree(artifact.uri, Path(accepted_data.uri, name))
    if ended:
        ENDED_CANARY.write(Path(accepted_data.uri), ended)


def _check_push(push: str, model_name: str, rules: PushSettings, commit: Source) -> None:
    """Refuses a run whose release phones would not accept or that could not be written."""
    key = load_signing_key(None)
    if rules.require_clean:
        commit.check_clean()
    warning = check_push_early(push, model_name, rules.rollback_epoch, key is not None, rules.canary_percent)
    if warning:
        log.warning("It is not known yet if phones will accept a release of this run: %s", warning)
    else:
        check_writer(push, model_name, {"key": key, "trusted": rules.trusted_keys})
