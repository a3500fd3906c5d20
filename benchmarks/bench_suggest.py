"""Suggested examples against random ones, by the number of labels before them.

`python -m benchmarks.bench_suggest WORKLOAD DATA` with a built-in workload of photos or a workload.yaml, and
the folder of its spans. 20 divisions of the labelled photos by group each hide labels, and a logistic
regression on features of a frozen network learns from those that are left and from 10 to 100 more: see
`runners/suggest/gain.py`.
"""

import argparse
from pathlib import Path

import numpy as np

from data.settings import DataSettings
from data.spans.layout import find_usable_spans
from pipeline.workloads import find_workload, with_features
from runners.suggest.examples import compute_features, read_labelled
from runners.suggest.gain import estimate_gain

_KNOWN = (15, 30, 60, 120, 300, 600)


def main() -> None:
    """Prints the accuracy with random examples, and that with suggestions and their gain in points."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("workload")
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    workload, spans = with_features(find_workload(options.workload)), find_usable_spans(options.data)
    examples, count = read_labelled(spans, workload, DataSettings(), {"kind": "image"}, "")
    features = compute_features({"kind": "image"}, [each.content for each in examples])
    labels, groups, slices = (
        np.array([getattr(each, name) for each in examples]) for name in ("label", "group", "slice")
    )
    print(f"{len(examples):,} of {count:,} labelled photos, {len(workload.labels)} classes")
    print(f"{'labels':>6} {'more':>5} {'random':>8} {'k-means':>20} {'margin':>20}")
    for known in _KNOWN:
        more = min(100, max(10, known))
        line = ""
        for few in (True, False):
            if gain := estimate_gain(features, labels, groups, slices, more, few, known):
                line = line or f"{known:>6} {more:>5} {gain.at_random:>8.3f}"
                points = f"{100 * (gain.accuracy - gain.at_random):+.1f} ± {100 * gain.error:.1f}"
                line += f" {f'{gain.accuracy:.3f}, {points}':>20}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
