"""Where the report reads from: the folders that the steps of one run put out."""

from dataclasses import dataclass
from pathlib import Path

from records.steps import STEPS


@dataclass(frozen=True)
class Sources:
    """The folders of a run's artifacts; None for a step that put out nothing.

    Attributes:
        quarantine: PhotoIngest's: counts of the window, what was quarantined, thumbnails of it.
        statistics: StatisticsGen's: one folder a split.
        anomalies: ExampleValidator's: one folder a split.
        data_verdict: DataGate's: its verdict, and how far each feature drifted.
        schema: CuratedSchema's.
        model_run: Trainer's: the logs of each epoch.
        evaluation: ModelEvaluator's: metrics by slice, and the confusion matrix.
        blessing: ModelEvaluator's verdict.
        edge_models: EdgeConverter's: how each variant was made.
        edge_verdict: EdgeValidator's: its verdict, measurements, predictions and worst mistakes.
        pushed_model: ReleasePusher's outcome.
        report: RunReport's page.
    """

    quarantine: Path | None = None
    statistics: Path | None = None
    anomalies: Path | None = None
    data_verdict: Path | None = None
    schema: Path | None = None
    model_run: Path | None = None
    evaluation: Path | None = None
    blessing: Path | None = None
    edge_models: Path | None = None
    edge_verdict: Path | None = None
    pushed_model: Path | None = None
    report: Path | None = None


# The step and the output that each folder of `Sources` comes from.
OUTPUTS = {(step, output): name for step, info in STEPS.items() for output, name in info.outputs.items()}
