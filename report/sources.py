"""Where the report reads from: the folders that the steps of one run put out."""

from dataclasses import dataclass
from pathlib import Path

from records.steps import STEPS


@dataclass(frozen=True)
class Sources:
    """The folders of a run's artifacts; None for a step that put out nothing.

    Attributes:
        quarantine: ExampleGen's: counts of the window, what was quarantined, thumbnails of it.
        statistics: StatisticsGen's: one folder a split.
        anomalies: ExampleValidator's: one folder a split.
        data_verdict: DataValidator's: its verdict, and how far each feature drifted.
        schema: ImportSchemaGen's.
        inferred: SchemaGen's.
        model_run: Trainer's: the logs of each epoch.
        evaluation: Evaluator's: metrics by slice, and the confusion matrix.
        blessing: Evaluator's verdict.
        edge_models: EdgeConverter's: how each variant was made.
        edge_verdict: EdgeValidator's: its verdict, measurements, predictions and worst mistakes.
        pushed_model: Pusher's outcome.
        report: RunReport's page.
    """

    quarantine: Path | None = None
    statistics: Path | None = None
    anomalies: Path | None = None
    data_verdict: Path | None = None
    schema: Path | None = None
    inferred: Path | None = None
    model_run: Path | None = None
    evaluation: Path | None = None
    blessing: Path | None = None
    edge_models: Path | None = None
    edge_verdict: Path | None = None
    pushed_model: Path | None = None
    report: Path | None = None


# What steps were called in workspaces of before.
_FORMERLY = {
    "ExampleGen": "PhotoIngest",
    "DataValidator": "DataGate",
    "Evaluator": "ModelEvaluator",
    "Pusher": "ReleasePusher",
}
# The step and the output that each folder of `Sources` comes from.
OUTPUTS = {
    (name, output): source
    for step, info in STEPS.items()
    for output, source in info.outputs.items()
    for name in (step, _FORMERLY.get(step, step))
}
