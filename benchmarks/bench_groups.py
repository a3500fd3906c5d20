"""Compares what a run says of its model with what is then true on groups that it never saw.

    .venv/bin/python -m benchmarks.bench_groups pump.csv --label anomaly --group experiment --share 0.4

For each seed, a share of the groups of a CSV is held out, and a run imports the others and trains on them.
Its accuracy, with the 95 % interval that it prints, stands beside that of the released file on the groups
that were held out, and beside gradient boosting with scikit-learn's defaults, which learned from the same
columns. The limits that would hold a model back are lifted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import OrdinalEncoder

from edgeline.records.evaluation import METRICS

_EDGELINE = (sys.executable, "-m", "runners.cli")
_LIFTED = (
    "registry.enabled=false",
    "evaluation.bounds=[]",
    "evaluation.beat_majority=false",
    "evaluation.min_class_recall=0",
)


def main() -> None:
    """Runs each seed, and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--label", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--share", type=float, default=0.2, help="the share of the groups that is held out")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()

    rows = pd.read_csv(options.table)
    groups = rows[options.group].unique()
    print("seed  groups  rows    said (95 %)            true   boosting  CPU s")
    for seed in options.seeds:
        order = np.random.default_rng(seed).permutation(groups)
        is_held = rows[options.group].isin(order[: max(1, round(options.share * len(groups)))])
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rows[~is_held].to_csv(folder / "known.csv", index=False)
            rows[is_held].to_csv(folder / "unseen.csv", index=False)
            before = os.times()
            said = _run(folder, options)
            after = os.times()
            true = _measure(folder, rows[is_held], options.label)
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        boosting = _boost(rows[~is_held], rows[is_held], [options.label, options.group])
        sizes = f"{seed:4}  {is_held.groupby(rows[options.group]).first().sum():6}  {is_held.sum():6}"
        print(f"{sizes}  {said}  {true:.3f}  {boosting:.3f}     {cpu_s:.0f}", flush=True)


def _run(folder: Path, options: argparse.Namespace) -> str:
    """Trains on the known groups; returns the accuracy that the run says, with its interval."""
    sets = [part for setting in (*_LIFTED, *options.set) for part in ("--set", setting)]
    roles = ["--label", options.label, "--group", options.group]
    command = [*_EDGELINE, "run", str(folder / "known.csv"), *roles, "--workspace", str(folder / "workspace")]
    ended = subprocess.run([*command, *sets], capture_output=True, text=True)
    if ended.returncode:
        sys.exit(ended.stdout[-2000:] + ended.stderr[-2000:])
    metrics = METRICS.read(next(folder.glob("workspace/artifacts/ModelValidator/evaluation/*")))
    overall = (metrics.out_of_fold or metrics).estimates["overall"]["all"]
    kind = "out of fold" if metrics.out_of_fold else "on eval"
    return f"{overall.share:.3f} ({overall.low:.3f} to {overall.high:.3f}) {kind}"


def _measure(folder: Path, unseen: pd.DataFrame, label: str) -> float:
    """Returns the accuracy of the released file on the groups that the run did not see."""
    command = [*_EDGELINE, "predict", str(folder / "unseen.csv"), "--json"]
    command += ["--workspace", str(folder / "workspace")]
    answers = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    labels = [answer["label"] for answer in json.loads(answers)["answers"]]
    return float((np.array(labels) == unseen[label].astype(str).to_numpy()).mean())


def _boost(known: pd.DataFrame, unseen: pd.DataFrame, left_out: list[str]) -> float:
    """Returns the accuracy of gradient boosting on the groups that it did not see."""
    texts = [name for name in known if known[name].dtype == object and name not in left_out]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    features = [frame.drop(columns=left_out) for frame in (known, unseen)]
    if texts:
        encoder.fit(known[texts])
        for frame in features:
            frame[texts] = encoder.transform(frame[texts])
    model = HistGradientBoostingClassifier(random_state=0).fit(features[0], known[left_out[0]])
    return float(model.score(features[1], unseen[left_out[0]]))


if __name__ == "__main__":
    main()
