"""Statistics of spans from the counts of each span, which are kept for the next run.

TensorFlow Data Validation collects an accumulator before it computes statistics. Its own code merges the
accumulators of spans, as it does those of Beam's workers. So counts, bounds and frequencies are the same as
in one pass over the window; means, deviations and quantiles vary as much as they do from pass to pass anyway.
"""

import heapq
import pickle
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_data_validation.statistics.generators import top_k_uniques_stats_generator as values
from tensorflow_data_validation.types import FeaturePath
from tensorflow_data_validation.utils import schema_util, top_k_uniques_stats_util
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx_bsl.tfxio.tf_example_record import TFExampleBeamRecord

from edgeline.store.locations import write_atomically

_Counts = dict[tuple[str, ...], Counter[Any]]


def count_spans(
    pipeline: beam.Pipeline,
    files: Mapping[str, str],
    spans: Collection[str] | None,
    options: Any,
    folder: Path,
) -> None:
    """Counts the spans with these keys (`span_42`), all for None, and writes FOLDER/span_42/train and so on.

    A split without examples of a span gets no file. `files` are the patterns of the splits; `options` is a
    `tfdv.StatsOptions`.
    """
    slicer = tfdv.experimental_get_feature_value_slicer({"span": None})
    for split, pattern in files.items():
        records = pipeline | f"Read {split}" >> beam.io.ReadFromTFRecord(pattern)
        if spans is not None:
            records |= f"Choose {split}" >> beam.Filter(_is_in, set(spans))
        _ = (
            records
            | f"Decode {split}" >> TFExampleBeamRecord("inmem", ["edgeline"]).BeamSource()
            | f"PartSpans {split}" >> beam.FlatMap(slicer)
            | f"Project {split}" >> beam.Map(_project, options.feature_allowlist)
            | f"Count {split}" >> beam.CombinePerKey(_Accumulate(_make_generators(options)))
            | f"Write {split}" >> beam.Map(_write_counts, folder, split)
        )


def merge_window(folder: Path, split: str, newest: str, options: Any) -> Any:
    """Returns a DatasetFeatureStatisticsList of a split: the whole split, the newest span, and the rest."""
    paths = find_counts(folder, split)
    latest = [path for span, path in paths.items() if span == newest]
    before = [path for span, path in paths.items() if span != newest]
    merged = statistics_pb2.DatasetFeatureStatisticsList()
    for name, chosen in (
        ("All Examples", paths.values()),
        ("newest_span_1", latest),
        ("newest_span_0", before),
    ):
        if chosen:
            merged.datasets.append(merge_spans(chosen, options))
            merged.datasets[-1].name = name
    return merged


def find_counts(folder: Path, split: str) -> dict[str, Path]:
    """Returns the files that `count_spans` wrote for a split, by key of the span."""
    return {path.parent.name: path for path in sorted(folder.glob(f"span_*/{split}"))}


def merge_spans(counts: Iterable[Path], options: Any) -> Any:
    """Returns the DatasetFeatureStatistics of one or more spans together, from the counts of each."""
    combine = stats_impl._CombinerStatsGeneratorsCombineFn(_make_generators(options))
    return combine.extract_output(
        combine.merge_accumulators(pickle.loads(path.read_bytes()) for path in counts)
    )


@beam.typehints.with_output_types(bytes)
class _Accumulate(stats_impl._CombinerStatsGeneratorsCombineFn):
    """A CombineFn that returns the accumulator instead of the statistics."""

    def extract_output(self, accumulator: Any) -> bytes:
        return pickle.dumps(self.compact(accumulator))


class _Values(tfdv.CombinerStatsGenerator):
    """A generator that counts each text: TFDV's own is not a combiner, and its sketch does not count."""

    def __init__(self, options: Any) -> None:
        super().__init__("values", options.schema)
        self._options = options

    def create_accumulator(self) -> _Counts:
        return {}

    def add_input(self, accumulator: _Counts, batch: Any) -> _Counts:
        counted = values._to_topk_tuples(
            ("", batch),
            frozenset(schema_util.get_bytes_features(self.schema)),
            schema_util.get_categorical_numeric_feature_types(self.schema),
            self._options.example_weight_map,
        )
        for (_, path, value), (count, _) in counted:
            accumulator.setdefault(path, Counter())[value] += count
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Counts]) -> _Counts:
        merged: _Counts = {}
        for accumulator in accumulators:
            for path, counts in accumulator.items():
                merged.setdefault(path, Counter()).update(counts)
        return merged

    def extract_output(self, accumulator: _Counts) -> Any:
        options, statistics = self._options, statistics_pb2.DatasetFeatureStatistics()
        most = max(options.num_top_values, options.num_rank_histogram_buckets)
        for path, counts in accumulator.items():
            top = heapq.nlargest(most, counts.items(), key=lambda item: (item[1], item[0]))
            statistics.features.append(
                top_k_uniques_stats_util.make_feature_stats_proto_topk_uniques(
                    FeaturePath(path),
                    options.num_top_values,
                    options.num_rank_histogram_buckets,
                    len(counts),
                    [top_k_uniques_stats_util.FeatureValueCount(*item) for item in top],
                    frequency_threshold=options.frequency_threshold,
                )
            )
        return statistics


def _make_generators(options: Any) -> list[Any]:
    """Returns the generators that TFDV would use, all of them as combiners."""
    generators = stats_impl.get_generators(options)
    combiners = [it for it in generators if isinstance(it, tfdv.CombinerStatsGenerator)]
    assert [type(it) for it in generators if it not in combiners] == [values.TopKUniquesStatsGenerator]
    return [*combiners, _Values(options)]


def _is_in(record: bytes, spans: set[str]) -> bool:
    import tensorflow as tf

    features = tf.train.Example.FromString(record).features.feature
    return f"span_{features['span'].int64_list.value[0]}" in spans


def _project(sliced: tuple[str | None, Any], features: list[str]) -> tuple[str | None, Any]:
    return sliced[0], stats_impl._filter_features(sliced[1], features)


def _write_counts(counted: tuple[str | None, bytes], folder: Path, split: str) -> None:
    key, content = counted
    with write_atomically(folder / str(key) / split) as file:
        file.write(content)
