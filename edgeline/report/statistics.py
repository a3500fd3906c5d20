"""Reads the distributions of features from the output of StatisticsGen, without TensorFlow."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeline.records.data_checks import Drift
from edgeline.report.facts import Distribution, Feature

# Features that ingest makes; their distribution says nothing of the world.
_BOOKKEEPING = frozenset({"span", "newest_span"})
# Names of StatisticsGen's slices by the feature `newest_span`.
_WHOLE_WINDOW, _NEWEST, _BEFORE = "All Examples", "newest_span_1", "newest_span_0"
_MOST_VALUES = 200


def read_features(statistics: Path, drift: Mapping[str, Drift]) -> tuple[Feature, ...]:
    """Returns the features of the training examples, those with a measured drift first, then by name."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    file = statistics / "Split-train" / "FeatureStats.pb"
    if not file.is_file():
        return ()
    content = file.read_bytes()
    datasets = {d.name: d for d in statistics_pb2.DatasetFeatureStatisticsList.FromString(content).datasets}
    newest = datasets.get(_NEWEST) or datasets.get(_WHOLE_WINDOW)
    if newest is None:
        return ()
    now = dict(_read_distributions(newest))
    before = dict(_read_distributions(datasets[_BEFORE])) if _BEFORE in datasets else {}
    features = []
    for name, distribution in now.items():
        measured = (drift[name].distance, drift[name].threshold) if name in drift else ()
        features.append(Feature(name, distribution, before.get(name), *measured))
    return tuple(sorted(features, key=lambda feature: (feature.distance is None, feature.name)))


def _read_distributions(dataset: Any) -> Iterator[tuple[str, Distribution]]:
    for stats in dataset.features:
        name = stats.name or ".".join(stats.path.step)
        if name in _BOOKKEEPING:
            continue
        kind = stats.WhichOneof("stats")
        if kind == "num_stats":
            yield name, _read_numbers(stats.num_stats)
        elif kind == "string_stats":
            yield name, _read_texts(stats.string_stats)


def _read_numbers(stats: Any) -> Distribution:
    # The first histogram has bins of equal width; the second one's are quantiles.
    buckets = [
        (bucket.low_value, bucket.high_value, bucket.sample_count)
        for histogram in stats.histograms[:1]
        for bucket in histogram.buckets
        if math.isfinite(bucket.low_value) and math.isfinite(bucket.high_value)
    ]
    total = sum(count for _, _, count in buckets) or 1.0
    return Distribution(
        mean=stats.mean if math.isfinite(stats.mean) else None,
        bins=tuple((low, high, count / total) for low, high, count in buckets),
    )


def _read_texts(stats: Any) -> Distribution:
    counted = sorted(((b.sample_count, b.label) for b in stats.rank_histogram.buckets), reverse=True)
    total = sum(count for count, _ in counted) or 1.0
    return Distribution(
        values=tuple((label, count / total) for count, label in counted[:_MOST_VALUES]),
    )
