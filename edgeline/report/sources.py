"""The inputs of the report: the output folders of the steps of one run."""

import os
from dataclasses import dataclass
from pathlib import Path

from edgeline.records.run import Run
from edgeline.records.steps import STEPS

# The name in `Sources` of each output of a step that the report reads.
OUTPUTS = {(step, output): name for step, info in STEPS.items() for output, name in info.outputs.items()}


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

    @classmethod
    def of(cls, run: Run) -> "Sources":
        """Returns the folders of a run's artifacts that are on this machine."""
        named = {OUTPUTS.get((artifact.step, artifact.output)): artifact.uri for artifact in run.artifacts}
        return cls(**{name: Path(uri) for name, uri in named.items() if name and os.path.isdir(uri)})
