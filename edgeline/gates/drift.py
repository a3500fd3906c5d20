"""The drift of a span from other spans, by TensorFlow Data Validation's distances."""

import heapq
import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from edgeline.gates.design_effect import BINS, GROUP_VARIANCES, GroupVariances, estimate_variance
from edgeline.records.ingest import name_span, read_since
from edgeline.records.verdict import Anomaly, Drift

# With fewer examples, the distance between two samples of one distribution is as large as the thresholds.
_LEAST_TO_COMPARE = 50

# Distributions without a common value are 1 apart, however few their groups are.
_LARGEST_NOISE = 0.9

# So fine that the tenths of two samples together can be told from the quantiles of each. TFDV needs a hundred
# times as many, one by one in Python; what only the report shows has as few as its bars.
_QUANTILES, SHOWN_QUANTILES = 100, 10
_INFINITY = 2.0 * float(np.finfo(np.float32).max)

# Texts of a feature that are counted by name: enough for the words of a language, and a few MB a split.
_MOST_TEXTS = 100_000
_MOST_SHOWN = 5
# A constant span is told of if it is less likely than this.
_BY_CHANCE = 1e-6
_EMPTY = "(empty)"  # stands for a cell without a text in a message

# The statistics of a split that the report shows, as TFX calls them, with its slice of the newest span; and
# beside them those of the spans that are compared.
ALL_FEATURES, _NEWEST_SLICE = "FeatureStats.pb", "newest_span_1"
FOR_DRIFT = "for-drift.pb"
_OTHERS = "others than "

log = logging.getLogger("edgeline.gate")


def select_features(
    schema: schema_pb2.Schema, unmeasured: Collection[str] = (), group: str = ""
) -> dict[str, list[str]]:
    """Returns the names of the features to measure, not to count by value, and to compare; and `group`.

    Texts without a domain or a drift comparator in the schema, such as ids and times, are measured without
    counting each value: the counts would hold all of them in memory.

    Args:
        schema: The curated schema.
        unmeasured: The names of features without statistics, such as encoded photos.
        group: The feature by which examples depend on one another; empty if there is none.
    """
    measured = [feature for feature in schema.feature if feature.name not in unmeasured]
    uncounted = [
        feature.name
        for feature in measured
        if feature.type == schema_pb2.BYTES
        and not (feature.WhichOneof("domain_info") or feature.HasField("drift_comparator"))
    ]
    return {
        "measured": [feature.name for feature in measured],
        "uncounted": uncounted,
        "compared": [feature.name for feature in measured if feature.HasField("drift_comparator")],
        "group": [group] if group else [],
    }


def make_stats_options(
    measured: Sequence[str],
    uncounted: Sequence[str] = (),
    slicer: Callable[[Any], Iterator[Any]] | None = None,
    quantiles: int = _QUANTILES,
) -> Any:
    """Returns a `tfdv.StatsOptions` for features by name, and for the slices of `slicer`.

    Args:
        measured: The names of the features in the statistics; TFDV leaves out all others.
        uncounted: Those of `measured` that are texts whose values are not counted.
        slicer: A function of a batch that yields the name of a slice and its rows; None measures no slices.
        quantiles: The number of equally frequent ranges in the histogram of a number.
    """
    import tensorflow_data_validation as tfdv

    schema = schema_pb2.Schema()
    for name in uncounted:
        # TFDV does not count the values of images.
        schema.feature.add(name=name, type=schema_pb2.BYTES).image_domain.SetInParent()
    return tfdv.StatsOptions(
        feature_allowlist=list(measured),
        schema=schema,
        num_rank_histogram_buckets=_MOST_TEXTS,
        num_quantiles_histogram_buckets=quantiles,
        experimental_slice_functions=[slicer] if slicer else None,
    )


def choose_others(spans: Sequence[str], judged: Collection[str]) -> dict[str, list[str]]:
    """Returns the spans that each judged span is compared with; all by name.

    These are the spans that are not judged, or all others if none is. With two spans that are both judged,
    the newer one is compared with the older one.
    """
    others = [span for span in spans if span not in judged]
    if len(spans) == 2 and not others:
        others = [spans[0]]
    return {
        span: others or [other for other in spans if other != span]
        for span in (spans if len(spans) > 1 else ())
        if span not in others
    }


def make_slicer(others: Mapping[str, Sequence[str]]) -> Callable[[Any], Iterator[tuple[str, Any]]]:
    """Returns a slice function of TFDV: each judged span, and those that it is compared with."""
    slices: dict[str, Sequence[str]] = {}
    for span, names in others.items():
        slices |= {span: [span], _OTHERS + span: names}
    numbers = {name: [int(span.rpartition("-")[2]) for span in chosen] for name, chosen in slices.items()}

    def slice_spans(batch: Any) -> Iterator[tuple[str, Any]]:
        import pyarrow as pa
        from pyarrow import compute

        span_of_row = compute.list_flatten(batch.column(batch.schema.get_field_index("span")))
        for name, chosen in numbers.items():
            rows = batch.filter(compute.is_in(span_of_row, pa.array(chosen)))
            if rows.num_rows:
                yield name, rows

    return slice_spans


def measure_group_variances(
    columns: Mapping[str, Sequence[Any]], others: Mapping[str, Sequence[str]], group: str
) -> GroupVariances:
    """Measures how far samples of groups differ by chance, on columns of examples.

    Args:
        columns: A value per example, by feature, and None where it has none or several; `span` has numbers.
        others: The names of the spans that each judged span is compared with, as of `choose_others`.
        group: The column by which examples depend on one another; it has no variance of its own.
    """
    rows_of: dict[str, list[int]] = {}
    for row, number in enumerate(columns["span"]):
        rows_of.setdefault(name_span(number), []).append(row)

    def select(name: str, spans: Sequence[str]) -> tuple[list[str], list[Any]]:
        values, groups = columns[name], columns[group]
        of_spans = chain.from_iterable(rows_of.get(span, ()) for span in spans)
        rows = [row for row in of_spans if values[row] is not None]
        names = ["" if groups[row] is None else str(groups[row]) for row in rows]
        return names, [values[row] for row in rows]

    return GroupVariances(
        {
            span: {
                name: estimate_variance(select(name, names), select(name, [span]))
                for name in columns
                if name not in ("span", group)
            }
            for span, names in others.items()
        }
    )


def measure_spans(folder: Path, schema: Path) -> tuple[Drift, ...]:
    """Measures the drift of spans on what StatisticsGen writes to the folder of a split."""
    import tensorflow_data_validation as tfdv

    slices = {dataset.name: dataset for dataset in tfdv.load_stats_binary(str(folder / FOR_DRIFT)).datasets}
    variances = (GROUP_VARIANCES.find(folder) or GroupVariances()).spans
    drifts = list[Drift]()
    for name in sorted(slices):
        if others := slices.get(_OTHERS + name):
            drifts += measure_drift(name, slices[name], others, schema, variances.get(name, {}))
    return tuple(drifts)


def place_anomalies(
    anomalies: Collection[Anomaly], judged: Collection[str], newest: str, folder: Path, schema: Path
) -> list[Anomaly]:
    """Returns the anomalies of a window with the judged spans that they come from.

    StatisticsGen writes statistics of the newest span for all features, and of the other judged spans for
    those whose drift is measured. Anomalies of spans that were judged by an earlier run, such as those that
    a narrower schema shows, come from none of the judged ones.

    Args:
        anomalies: Those of the whole window; each gets the names of its spans.
        judged: The names of the spans that no run judged before.
        newest: The name of the last span in the window; it may have been judged before.
        folder: StatisticsGen's artifact, with a folder for each split.
        schema: The curated schema, a text proto.
    """
    import tensorflow_data_validation as tfdv

    if not anomalies:
        return []
    domain = tfdv.load_schema_text(str(schema))
    broken: dict[str, set[str]] = {name: set() for name in judged}

    def find_broken(dataset: Any) -> set[str]:
        statistics = statistics_pb2.DatasetFeatureStatisticsList(datasets=[dataset])
        return {*tfdv.validate_statistics(statistics, domain).anomaly_info}

    for path in folder.glob(f"*/{FOR_DRIFT}"):
        for dataset in tfdv.load_stats_binary(str(path)).datasets:
            if dataset.name in broken:
                broken[dataset.name] |= find_broken(dataset) & {_name(item) for item in dataset.features}
    if newest in broken:
        for path in folder.glob(f"*/{ALL_FEATURES}"):
            for dataset in tfdv.load_stats_binary(str(path)).datasets:
                if dataset.name == _NEWEST_SLICE:
                    broken[newest] |= find_broken(dataset)
    return [
        replace(item, spans=tuple(span for span in sorted(broken) if item.feature in broken[span]))
        for item in anomalies
    ]


def measure_drift(
    name: str, span: Any, others: Any, schema: Path, variances: Mapping[str, float] = MappingProxyType({})
) -> tuple[Drift, ...]:
    """Measures the drift of each feature for which the schema has a comparator.

    Nothing is measured on too few examples. A number that is missing, as NaN, counts as a value of its own.

    Args:
        name: The name of the span, for the report.
        span: Its DatasetFeatureStatistics, made with the options above.
        others: Those of the spans that it is compared with, taken together, made in the same way.
        schema: The curated schema, a text proto.
        variances: The span's group variances by feature; one that is missing counts as 0.
    """
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    if min(span.num_examples, others.num_examples) < _LEAST_TO_COMPARE:
        log.info("%s was not compared with other spans: fewer than %d examples.", name, _LEAST_TO_COMPARE)
        return ()
    curated = tfdv.load_schema_text(str(schema))
    added = read_since(curated)
    if added:
        span, others = _count_present(span, added), _count_present(others, added)
    binned = [
        statistics_pb2.DatasetFeatureStatisticsList(datasets=[dataset])
        for dataset in _count_in_tenths(span, others)
    ]
    result = tfdv.validate_statistics(binned[0], curated, previous_statistics=binned[1])
    drifts = []
    for info in result.drift_skew_info:
        feature = ".".join(info.path.step)
        before, now = _find_stats(feature, others), _find_stats(feature, span)
        if feature in added and not _has_values(before):
            continue
        for measurement in info.drift_measurements:
            compares_shares = measurement.type == anomalies_pb2.DriftSkewInfo.Measurement.L_INFTY
            noise = _estimate_noise(before, now, variances.get(feature, 0.0), compares_shares)
            drifts.append(
                Drift(
                    feature,
                    measurement.value,
                    max(measurement.threshold, min(noise, _LARGEST_NOISE)),
                    _describe(before),
                    _describe(now),
                    _find_gone(before, now, others.num_examples / span.num_examples),
                    *_find_unseen(before, now),
                    span=name,
                    turned_constant=_has_turned_constant(before, now),
                    measure="infinity_norm" if compares_shares else "jensen_shannon_divergence",
                )
            )
    return tuple(drifts)


def _count_present(dataset: Any, added: Collection[str]) -> Any:
    """Returns a dataset without the missing values of features that were added later.

    The spans before lack them, so that a missing value tells nothing.
    """
    copy = type(dataset).FromString(dataset.SerializeToString())
    for feature in copy.features:
        if _name(feature) in added and feature.HasField("num_stats"):
            for histogram in feature.num_stats.histograms:
                histogram.num_nan = 0
        elif _name(feature) in added:
            buckets = feature.string_stats.rank_histogram.buckets
            present = [bucket for bucket in buckets if bucket.label]
            del buckets[:]
            buckets.extend(present)
    return copy


def _has_values(stats: Any) -> bool:
    """Returns whether there is a number or a text."""
    if stats.HasField("num_stats"):
        return any(bucket.sample_count for hist in stats.num_stats.histograms for bucket in hist.buckets)
    return bool(stats.string_stats.rank_histogram.buckets)


def _count_in_tenths(*datasets: Any) -> list[Any]:
    """Returns two datasets with numbers counted in the tenths of both together, and those that are missing.

    The bins of TFDV have equal widths: a single outlier would put all other numbers into one of them, and a
    constant has a bin that nothing else compares with.
    """
    copies = [type(dataset).FromString(dataset.SerializeToString()) for dataset in datasets]
    by_name = [{_name(feature): feature for feature in copy.features} for copy in copies]
    for name in by_name[0].keys() & by_name[1].keys():
        pair = [features[name].num_stats for features in by_name]
        if not all(stats.histograms for stats in pair):
            continue
        quantiles = [max(stats.histograms, key=lambda hist: hist.type) for stats in pair]
        edges = _find_tenths(quantiles)
        for stats, histogram in zip(pair, quantiles, strict=True):
            counts = np.diff(_count_up_to(edges, histogram), prepend=0.0)
            # Both have the same bins, so that it does not matter where these lie.
            buckets = [
                statistics_pb2.Histogram.Bucket(low_value=place, high_value=place + 1, sample_count=count)
                for place, count in enumerate((*counts, histogram.num_nan))
            ]
            del stats.histograms[:]
            stats.histograms.add(type=statistics_pb2.Histogram.STANDARD, buckets=buckets)
    return copies


def _find_tenths(quantiles: Sequence[Any]) -> NDArray[np.float64]:
    """Returns the upper ends of the tenths of samples by their histograms; each sample weighs the same.

    A number that more than a tenth have is apart from those below it.
    """
    places = np.unique(np.concatenate([end for hist in quantiles for end in _read_buckets(hist)[:2]]))
    if not len(places):
        return places
    shares = [_count_up_to(places, hist) for hist in quantiles if hist.buckets]
    share = np.mean([counts / counts[-1] for counts in shares], axis=0)
    tenths = np.searchsorted(share, np.linspace(0, 1, BINS + 1)[1:-1] - 1e-9)
    below = np.flatnonzero(np.diff(share) > 1 / BINS)
    return places[np.unique([*tenths, *below, len(places) - 1])]


def _read_buckets(histogram: Any) -> list[NDArray[np.float64]]:
    """Returns lower ends, upper ends and counts, [n] each; infinity lies just beyond all float32."""
    columns = (
        np.array([getattr(bucket, name) for bucket in histogram.buckets], np.float64)
        for name in ("low_value", "high_value", "sample_count")
    )
    return [np.clip(column, -_INFINITY, _INFINITY) for column in columns]


def _count_up_to(places: NDArray[np.float64], histogram: Any) -> NDArray[np.float64]:
    """Returns how many numbers are at most as large as each place, [n]; evenly spread within a bucket."""
    low, high, count = _read_buckets(histogram)
    above = places[:, np.newaxis] - low
    share = np.where(high > low, above / np.where(high > low, high - low, 1.0), above >= 0)
    return (np.clip(share, 0, 1) * count).sum(axis=1)


def _estimate_noise(others: Any, span: Any, group_variance: float, compares_shares: bool) -> float:
    """Returns the distance that two samples of one distribution keep below: three deviations.

    Weeks of 60 examples of two classes are 0.1 apart by chance in one of seven weeks. Between numbers, the
    Jensen-Shannon divergence in bits is the chi-squared statistic of their bins, tenths and missing numbers,
    divided by 8 ln 2 (its second-order expansion). The divergence of texts by words has no such bound.
    """
    counts = [_count_values(stats) for stats in (others, span)]
    if not all(counts):
        return 0.0
    variance = sum(1 / count for count in counts) + group_variance
    if compares_shares:
        share = max(_read_counts(others).values(), default=0.0) / counts[0]
        return 3 * math.sqrt(share * (1 - share) * variance)
    if not others.HasField("num_stats"):
        return 0.0
    return variance / (8 * math.log(2)) * (BINS + 3 * math.sqrt(2 * BINS))


def _find_gone(others: Any, span: Any, ratio: float) -> tuple[str, ...]:
    """Returns the texts that the span lacks, though it should have many by their share in the others."""
    now = _read_counts(span)
    least = _LEAST_TO_COMPARE * ratio
    texts = (text for text, count in _read_counts(others).items() if count >= least and text not in now)
    return tuple(sorted(text or _EMPTY for text in texts))


def _has_turned_constant(others: Any, span: Any) -> bool:
    """Returns whether all values of the span are alike, which is no chance by their share in the others."""
    share = 1.0
    if span.HasField("num_stats") and others.HasField("num_stats"):
        stats = span.num_stats
        if stats.min == stats.max and not max((hist.num_nan for hist in stats.histograms), default=0):
            histogram = max(others.num_stats.histograms, key=lambda hist: hist.type)
            places = np.array([np.nextafter(stats.min, -np.inf), stats.min])
            below, up_to = _count_up_to(places, histogram)
            share = (up_to - below) / max(_count_values(others), 1)
    elif len(values := _read_counts(span)) == 1:
        share = _read_counts(others).get(next(iter(values)), 0.0) / max(_count_values(others), 1)
    return bool(share ** _count_values(span) < _BY_CHANCE)


def _find_unseen(others: Any, span: Any) -> tuple[float, float, tuple[str, ...]]:
    """Returns the share of words that the others lack, its expected value, and the commonest of these words.

    A new word is as likely as one that was there once (I. J. Good, The Population Frequencies of Species and
    the Estimation of Population Parameters, Biometrika 40, 1953). This does not hold for categories, one an
    example: a week with two new places is not another world.
    """
    before, now = _read_counts(others), _read_counts(span)
    if not before or span.string_stats.common_stats.max_num_values <= 1:
        return 0.0, 0.0, ()
    unseen = {word: count for word, count in now.items() if word not in before}
    # Words beyond those counted by name would be taken for new ones: they count as words seen once.
    repeated = sum(count for count in before.values() if count > 1) / _count_values(others)
    commonest = heapq.nlargest(_MOST_SHOWN, sorted(unseen), key=unseen.__getitem__)
    return sum(unseen.values()) / _count_values(span), 1 - repeated, tuple(commonest)


def _read_counts(stats: Any) -> dict[str, float]:
    return {bucket.label: bucket.sample_count for bucket in stats.string_stats.rank_histogram.buckets}


def _count_values(stats: Any) -> int:
    return int(getattr(stats, stats.WhichOneof("stats")).common_stats.tot_num_values)


def _find_stats(feature: str, dataset: Any) -> Any:
    return next(item for item in dataset.features if _name(item) == feature)


def _name(stats: Any) -> str:
    return stats.name or ".".join(stats.path.step)


def _describe(stats: Any) -> str:
    """Returns mean and deviation of a number, or the shares of the commonest values of a text."""
    if stats.HasField("num_stats"):
        missing = max((item.num_nan for item in stats.num_stats.histograms), default=0)
        share = missing / max(_count_values(stats), 1)
        if share == 1:
            return "no number"
        more = f"; {share:.1%} missing" if missing else ""
        return f"mean {stats.num_stats.mean:.4g} (standard deviation {stats.num_stats.std_dev:.3g}{more})"
    top = [(value.value or _EMPTY, value.frequency) for value in stats.string_stats.top_values]
    return ", ".join(f"{value} {count / _count_values(stats):.1%}" for value, count in top[:_MOST_SHOWN])
