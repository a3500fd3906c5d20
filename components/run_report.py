"""RunReport: makes the page of the run, and the facts that later runs are compared with.

It runs before the step that stops a run whose model was held back, because a step that fails keeps no output
on a cluster. `DataGate` makes the page of a run whose data was refused.
"""

import json
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.artifacts import AcceptedData, EdgeModels, RunReportPage, Verdict
from components.run_record import leave_record
from edgeline.records.run import Run
from edgeline.records.source import Source
from edgeline.records.verdict import PUSH


@component
def RunReport(
    accepted_data: InputArtifact[AcceptedData],
    model_run: InputArtifact[standard_artifacts.ModelRun],
    evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    blessing: InputArtifact[standard_artifacts.ModelBlessing],
    edge_models: InputArtifact[EdgeModels],
    edge_verdict: InputArtifact[Verdict],
    pushed_model: InputArtifact[standard_artifacts.PushedModel],
    report: OutputArtifact[RunReportPage],
    run: Parameter[str],
    model_name: Parameter[str],
    data: Parameter[str],
    recorded: Parameter[str],
    source: Parameter[str],
    records: Parameter[str],
    search: InputArtifact[standard_artifacts.TunerResults] = None,
) -> None:
    """Makes one self-contained HTML page of a run from the outputs of its steps; it always succeeds.

    Args:
        accepted_data: Written by DataGate: copies of what it and the steps before it found in the data.
        model_run: Written by Trainer.
        evaluation: Written by ModelValidator.
        blessing: Written by ModelValidator.
        edge_models: Written by EdgeConverter.
        edge_verdict: Written by EdgeValidator.
        pushed_model: Written by Pusher: the outcome of the run, with reasons.
        report: Page and facts; no step reads them.
        run: The id of the run.
        model_name: The name of the workload.
        data: The folder of spans, or its URL, for the record.
        recorded: All recorded settings as JSON, read as an object of groups.
        source: The commit as JSON, read as `Source`; empty for that of the container image.
        records: The place that page and facts are copied to, as in `leave_record`; empty on one machine.
        search: Written by Tuner; None without a search.
    """
    folder = Path(report.uri)
    folder.mkdir(parents=True, exist_ok=True)
    push = PUSH.read(Path(pushed_model.uri))
    inputs = {
        "model_run": model_run,
        "evaluation": evaluation,
        "blessing": blessing,
        "edge_models": edge_models,
        "edge_verdict": edge_verdict,
        "pushed_model": pushed_model,
    }
    record = Run(
        id=run,
        workload=model_name,
        outcome=push.outcome,
        version=push.version or None,
        reasons=push.reasons,
        data=data,
        settings=json.loads(recorded),
        source=Source.parse(source),
    )
    if search is not None:
        inputs["search"] = search
    leave_record(inputs, record, records, folder, Path(accepted_data.uri))
