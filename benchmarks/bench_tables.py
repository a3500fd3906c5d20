"""Compares the model of a table with scikit-learn's gradient boosting.

    .venv/bin/python -m benchmarks.bench_tables TABLE.csv --label COLUMN [--group COLUMN] [--side a.b=c]

The table is imported and run through the DAG; then `HistGradientBoostingClassifier` with default settings
learns from the train split of ExampleGen. Both are measured on the eval split, without the columns that the
import left out. With `--side`, repeatable, the DAG runs once with the settings of each side.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from data.spans.tfrecords import read_examples
from edgeline.records.evaluation import METRICS
from edgeline.records.workload import Workload
from pipeline.workloads import find_workload, with_features

_EDGELINE = (sys.executable, "-m", "runners.cli")
_MOST_RECORD_BYTES = 2**20


def main() -> None:
    """Trains both models, and prints accuracy and mean recall of the classes side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="a CSV or Parquet file")
    parser.add_argument("--label", required=True, help="the column to learn")
    parser.add_argument("--group", help="the column whose rows stay in one split")
    parser.add_argument("--side", action="append", metavar="SETTINGS", help="settings of a run; repeatable")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, workspace = f"{folder}/data", Path(folder)
        imported = ["data", "import", str(arguments.table), "--label", arguments.label, "--data", data]
        imported += ["--group", arguments.group] if arguments.group else []
        subprocess.run([*_EDGELINE, *imported], check=True)
        rows = []
        for number, side in enumerate(arguments.side or [""]):
            began, workspace = time.monotonic(), Path(folder, f"workspace-{number}")
            command = [*_EDGELINE, "run", "--workload", f"{data}/workload.yaml", "--data", data]
            sets = [part for setting in side.split() for part in ("--set", setting)]
            subprocess.run([*command, "--workspace", str(workspace), *sets], check=False)
            metrics = METRICS.read(next(workspace.glob("artifacts/Evaluator/*/*/metrics.json")).parent)
            recalls = [of_class["recall"] or 0.0 for of_class in metrics.candidate["class"].values()]
            (overall,) = metrics.candidate["overall"].values()
            recall = sum(recalls) / len(recalls)
            rows.append((side or "the DAG", overall["accuracy"], recall, time.monotonic() - began))
        print(f"{'':40} {'accuracy':>8} {'macro recall':>12} {'seconds':>7}")
        for row in rows:
            print_row(*row)
        workload = with_features(find_workload(f"{data}/workload.yaml"))
        train, test = (
            read_split(next(workspace.glob(f"artifacts/ExampleGen/examples/*/Split-{split}")), workload)
            for split in ("train", "eval")
        )
        began = time.monotonic()
        print_row("gradient boosting", *boost(train, test, workload), time.monotonic() - began)


def print_row(name: str, accuracy: Any, recall: float, seconds: float) -> None:
    """Prints a line of the table."""
    print(f"{name:40} {accuracy:>8.4f} {recall:>12.4f} {seconds:>7.0f}", flush=True)


def read_split(split: Path, workload: Workload) -> Any:
    """Reads the examples of a split as a data frame: numbers, categories and the label."""
    rows = []
    for path in split.glob("*.gz"):
        for _, feature in read_examples(path, _MOST_RECORD_BYTES):
            row: dict[str, Any] = {name: feature[name].float_list.value[0] for name in workload.numbers}
            names = (*workload.categories, "label")
            rows.append(row | {name: feature[name].bytes_list.value[0].decode() for name in names})
    return pd.DataFrame(rows)


def boost(train: Any, test: Any, workload: Workload) -> tuple[float, float]:
    """Trains gradient boosting; returns accuracy and macro recall on `test`."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=255)
    prepared = make_column_transformer((encoder, list(workload.categories)), remainder="passthrough")
    model = HistGradientBoostingClassifier(
        categorical_features=range(len(workload.categories)), random_state=0
    )
    fitted = make_pipeline(prepared, model).fit(train.drop(columns="label"), train["label"])
    predicted = fitted.predict(test.drop(columns="label"))
    return accuracy_score(test["label"], predicted), recall_score(test["label"], predicted, average="macro")


if __name__ == "__main__":
    main()
