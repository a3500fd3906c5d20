"""The inputs of the report: the output folders of the steps of one run."""

from dataclasses import dataclass
from pathlib import Path

from edgeline.records.steps import STEPS


@dataclass(frozen=True)
class Sources:
    """The folders of a run's artifacts; None for a missing output. `STEPS` names the step of each."""

    quarantine: Path | None = None  # counts of the window, what was quarantined, thumbnails of it
    statistics: Path | None = None  # one folder a split
    anomalies: Path | None = None  # one folder a split
    data_verdict: Path | None = None  # and how far each feature drifted
    schema: Path | None = None
    inferred: Path | None = None
    search: Path | None = None  # the trials before the training, and the best of them as settings
    model_run: Path | None = None  # the logs of each epoch
    evaluation: Path | None = None  # metrics by slice, and the confusion matrix
    blessing: Path | None = None
    edge_models: Path | None = None  # how each variant was made
    edge_verdict: Path | None = None  # and measurements, predictions, worst mistakes
    pushed_model: Path | None = None
    report: Path | None = None


# The names of steps in workspaces of older versions.
_OLD_NAMES = {
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
    for name in (step, _OLD_NAMES.get(step, step))
}
