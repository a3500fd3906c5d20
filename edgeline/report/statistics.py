"""Reads the distributions of features, and how a window differs from the curated schema; no TensorFlow."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeline.labels import format_count, join_names
from edgeline.records.verdict import Difference, Drift
from edgeline.report.facts import Distribution, Feature

# Features that ingest makes; their distribution says nothing of the world.
_BOOKKEEPING = frozenset({"span", "newest_span"})
# Names of StatisticsGen's slices by the feature `newest_span`.
_WHOLE_WINDOW, _NEWEST, _BEFORE = "All Examples", "newest_span_1", "newest_span_0"
_MOST_VALUES = 200


def read_features(statistics: Path, drift: Mapping[str, Drift]) -> tuple[Feature, ...]:
    """Returns the features of the training examples, those with a measured drift first, then by name."""
    datasets = {dataset.name: dataset for dataset in _read_datasets(statistics, "train")}
    newest = datasets.get(_NEWEST) or datasets.get(_WHOLE_WINDOW)
    if newest is None:
        return ()
    now = dict(_read_distributions(newest))
    before = dict(_read_distributions(datasets[_BEFORE])) if _BEFORE in datasets else {}
    features = []
    for name, distribution in now.items():
        measurement = drift.get(name)
        measured = (measurement.distance, measurement.threshold, measurement.measure) if measurement else ()
        features.append(Feature(name, distribution, before.get(name), *measured))
    return tuple(sorted(features, key=lambda feature: (feature.distance is None, feature.name)))


def _read_datasets(statistics: Path, split: str) -> Iterator[Any]:
    """Yields the statistics of each slice of a split, or of several splits by a pattern."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    for path in sorted(statistics.glob(f"Split-{split}/FeatureStats.pb")):
        yield from statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes()).datasets


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
        for bucket in (stats.histograms[0].buckets if stats.histograms else ())
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
    return Distribution(values=tuple((label, count / total) for count, label in counted[:_MOST_VALUES]))


_MOST_NEW_VALUES = 8


def find_differences(curated: Path, inferred: Path, statistics: Path) -> tuple[Difference, ...]:
    """Returns all differences that matter for a change of the curated schema, those that break it first.

    Args:
        curated: The output of ImportSchemaGen: a folder with the schema that people keep, `schema.pbtxt`.
        inferred: The output of SchemaGen: the schema of the window's data; its features and values count.
        statistics: The output of StatisticsGen, a folder a split; the ranges of numbers come from all splits.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema, inferred_schema = (
        text_format.Parse((folder / "schema.pbtxt").read_text(encoding="utf-8"), schema_pb2.Schema())
        for folder in (curated, inferred)
    )
    new = (*_find_new_features(schema, inferred_schema), *_find_new_values(schema, inferred_schema))
    differences = (*new, *_compare_ranges(schema, statistics))
    return tuple(sorted(differences, key=lambda item: (not item.breaks, item.kind == "range", item.feature)))


def _list_values(schema: Any, feature: Any) -> list[str]:
    named = {domain.name: domain for domain in schema.string_domain}
    domain = named.get(feature.domain, feature.string_domain)
    return list(domain.value)


def _find_new_features(schema: Any, inferred: Any) -> Iterator[Difference]:
    from tensorflow_metadata.proto.v0 import schema_pb2

    names = {feature.name for feature in schema.feature}
    for feature in inferred.feature:
        if feature.name not in names:
            kind = schema_pb2.FeatureType.Name(feature.type)
            yield Difference(feature.name, "feature", "absent", f"of type {kind}", breaks=True, type=kind)


def _find_new_values(schema: Any, inferred: Any) -> Iterator[Difference]:
    values = {feature.name: set(_list_values(inferred, feature)) for feature in inferred.feature}
    for feature in schema.feature:
        allowed = _list_values(schema, feature)
        new = sorted(values.get(feature.name, set()) - set(allowed))
        if allowed and new:
            some = join_names(new, _MOST_NEW_VALUES)
            curated = format_count(len(allowed), "value")
            yield Difference(feature.name, "values", curated, f"also {some}", breaks=True, values=tuple(new))


def _compare_ranges(schema: Any, statistics: Path) -> Iterator[Difference]:
    ranges = _read_ranges(statistics)
    for feature in schema.feature:
        kind = feature.WhichOneof("domain_info")
        is_bounded = kind in ("int_domain", "float_domain") and feature.name in ranges
        if not is_bounded or feature.name in _BOOKKEEPING:
            continue
        domain = getattr(feature, kind)
        low, high = ranges[feature.name]
        least = domain.min if domain.HasField("min") else None
        most = domain.max if domain.HasField("max") else None
        breaks = (least is not None and low < least) or (most is not None and high > most)
        curated = f"{'any' if least is None else f'{least:g}'} to {'any' if most is None else f'{most:g}'}"
        yield Difference(feature.name, "range", curated, f"{low:g} to {high:g}", breaks, bounds=(low, high))


def _read_ranges(statistics: Path) -> dict[str, tuple[float, float]]:
    ranges: dict[str, tuple[float, float]] = {}
    for dataset in _read_datasets(statistics, "*"):
        for feature in dataset.features:
            if feature.HasField("num_stats") and feature.num_stats.common_stats.num_non_missing:
                name = feature.name or ".".join(feature.path.step)
                low, high = feature.num_stats.min, feature.num_stats.max
                before = ranges.get(name, (low, high))
                ranges[name] = (min(low, before[0]), max(high, before[1]))
    return ranges
