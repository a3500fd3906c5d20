"""Where the report reads from: the folders that the steps of one run put out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import reading


@dataclass(frozen=True)
class Sources:
    """The folders of a run's artifacts; None for a step that put out nothing.

    Attributes:
        quarantine: PhotoIngest's: counts of the window, what was set aside, thumbnails of it.
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
OUTPUTS = {
    ("PhotoIngest", "quarantine"): "quarantine",
    ("StatisticsGen", "statistics"): "statistics",
    ("ExampleValidator", "anomalies"): "anomalies",
    ("DataGate", "verdict"): "data_verdict",
    ("CuratedSchema", "schema"): "schema",
    ("Trainer", "model_run"): "model_run",
    ("ModelEvaluator", "evaluation"): "evaluation",
    ("ModelEvaluator", "blessing"): "blessing",
    ("EdgeConverter", "edge_models"): "edge_models",
    ("EdgeValidator", "verdict"): "edge_verdict",
    ("ReleasePusher", "pushed_model"): "pushed_model",
    ("RunReport", "report"): "report",
}


def read_json(folder: Path | None, name: str) -> Any:
    """The content of a JSON file; None where its folder or the file is not there.

    Raises:
        OSError: It is there and cannot be read.
        ValueError: It is no JSON.
    """
    try:
        return None if folder is None else reading.read_json(folder / name)
    except FileNotFoundError:
        return None


def read_lines(folder: Path | None, name: str) -> Iterator[Any]:
    """The objects of a file with one JSON object a line; nothing where it is not there."""
    if folder is None or not (folder / name).exists():
        return
    with open(folder / name, "rb", opener=reading.regular_file) as file:
        yield from (json.loads(line) for line in file if line.strip())
