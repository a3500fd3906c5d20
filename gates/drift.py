"""How far the newest span is from the spans before it: TensorFlow Data Validation's distances."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from records.data_checks import Drift

# Below this, the distance between two samples of one distribution is of the size of the thresholds
# themselves.
_LEAST_TO_COMPARE = 50

log = logging.getLogger("edgeline.gate")


def statistics_options(features: Sequence[str]) -> Any:
    """A `tfdv.StatsOptions` that counts these features of the window, of its newest span, and of the rest."""
    import tensorflow_data_validation as tfdv
    from tfx_bsl.public.proto import slicing_spec_pb2

    slicing = slicing_spec_pb2.SlicingConfig()
    slicing.slicing_specs.add().feature_keys.append("newest_span")
    return tfdv.StatsOptions(feature_allowlist=list(features), slicing_config=slicing)


def measure_drift(statistics: Path, schema: Path) -> tuple[Drift, ...]:
    """Every feature that the schema, a text proto, has a comparator for; none where too little is there.

    `statistics` is the folder of one split, counted with the options above.
    """
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

    datasets = tfdv.load_stats_binary(str(statistics / "FeatureStats.pb")).datasets
    by_name = {dataset.name: dataset for dataset in datasets}
    newest, older = by_name.get("newest_span_1"), by_name.get("newest_span_0")
    if newest is None or older is None or min(newest.num_examples, older.num_examples) < _LEAST_TO_COMPARE:
        log.info(
            "The newest span was not compared with older ones: fewer than %d examples.", _LEAST_TO_COMPARE
        )
        return ()
    result = tfdv.validate_statistics(
        statistics_pb2.DatasetFeatureStatisticsList(datasets=[newest]),
        tfdv.load_schema_text(str(schema)),
        previous_statistics=statistics_pb2.DatasetFeatureStatisticsList(datasets=[older]),
    )
    kinds = anomalies_pb2.DriftSkewInfo.Measurement.Type
    drifts = []
    for info in result.drift_skew_info:
        feature = ".".join(info.path.step)
        before, now = _describe(feature, older), _describe(feature, newest)
        for found in info.drift_measurements:
            measure = kinds.Name(found.type).lower()
            gone = _gone(feature, older, newest)
            drifts.append(Drift(feature, measure, found.value, found.threshold, before, now, gone))
    return tuple(drifts)


def _gone(feature: str, older: Any, newest: Any) -> tuple[str, ...]:
    """Texts that the newest span lacks, though it should have many by their share before."""
    counts: list[dict[str, float]] = []
    for dataset in (older, newest):
        buckets = _stats(feature, dataset).string_stats.rank_histogram.buckets
        counts.append({bucket.label: bucket.sample_count for bucket in buckets})
    before, now = counts
    least = _LEAST_TO_COMPARE * max(1, older.num_examples) / newest.num_examples
    return tuple(sorted(text for text, count in before.items() if count >= least and text not in now))


def _stats(feature: str, dataset: Any) -> Any:
    return next(item for item in dataset.features if (item.name or ".".join(item.path.step)) == feature)


def _describe(feature: str, dataset: Any) -> str:
    """Mean and deviation of a number, shares of the commonest values of a text."""
    stats = _stats(feature, dataset)
    if stats.HasField("num_stats"):
        return f"mean {stats.num_stats.mean:.4g} (deviation {stats.num_stats.std_dev:.3g})"
    top = [(value.value, value.frequency) for value in stats.string_stats.top_values]
    total = stats.string_stats.common_stats.num_non_missing
    return ", ".join(f"{value} {count / total:.1%}" for value, count in top[:5])
