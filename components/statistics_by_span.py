"""Statistics of spans from what was counted of each, which is kept for the next run.

What TensorFlow Data Validation has of a span before it becomes statistics is an accumulator; those of spans
are merged by its own code, as those of Beam's workers are. So counts, bounds and frequencies are what one
pass over the window gives; means, deviations and quantiles vary by what they do from pass to pass anyway.
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

from locations import whole

_Counts = dict[tuple[str, ...], Counter[Any]]


def count_spans(
    pipeline: beam.Pipeline,
    files: Mapping[str, str],
    spans: Collection[str] | None,
    options: Any,
    folder: Path,
) -> None:
    """Counts spans by key, `span_42`, or all; leaves FOLDER/span_42/train where a split has examples of one.

    `files` are the patterns of the splits; `options` a `tfdv.StatsOptions`.
    """
    slicer = tfdv.experimental_get_feature_value_slicer({"span": None})
    for split, pattern in files.items():
        records = pipeline | f"Read {split}" >> beam.io.ReadFromTFRecord(pattern)
        if spans is not None:
            records |= f"Choose {split}" >> beam.Filter(_is_of, set(spans))
        _ = (
            records
            | f"Decode {split}" >> TFExampleBeamRecord("inmem", ["edgeline"]).BeamSource()
            | f"PartSpans {split}" >> beam.FlatMap(slicer)
            | f"Project {split}" >> beam.Map(_project, options.feature_allowlist)
            | f"Count {split}" >> beam.CombinePerKey(_Accumulate(_generators(options)))
            | f"Write {split}" >> beam.Map(_write, folder, split)
        )


def merge_window(folder: Path, split: str, newest: str, options: Any) -> Any:
    """Returns a DatasetFeatureStatisticsList of a split: all of it, the newest span, and the rest."""
    paths = find_counts(folder, split)
    today = [path for span, path in paths.items() if span == newest]
    before = [path for span, path in paths.items() if span != newest]
    merged = statistics_pb2.DatasetFeatureStatisticsList()
    for name, chosen in (
        ("All Examples", paths.values()),
        ("newest_span_1", today),
        ("newest_span_0", before),
    ):
        if chosen:
            merged.datasets.append(merge_spans(chosen, options))
            merged.datasets[-1].name = name
    return merged


def find_counts(folder: Path, split: str) -> dict[str, Path]:
    """Returns the files that `count_spans` left of a split, by key of the span."""
    return {path.parent.name: path for path in sorted(folder.glob(f"span_*/{split}"))}


def merge_spans(counts: Iterable[Path], options: Any) -> Any:
    """Returns the DatasetFeatureStatistics of one or more spans together, by what was counted of each."""
    combine = stats_impl._CombinerStatsGeneratorsCombineFn(_generators(options))
    return combine.extract_output(
        combine.merge_accumulators(pickle.loads(path.read_bytes()) for path in counts)
    )


@beam.typehints.with_output_types(bytes)
class _Accumulate(stats_impl._CombinerStatsGeneratorsCombineFn):
    """Ends with the accumulator and not with what is made of it."""

    def extract_output(self, accumulator: Any) -> bytes:
        return pickle.dumps(self.compact(accumulator))


class _Values(tfdv.CombinerStatsGenerator):
    """How often each text is there: TFDV's own generator is no combiner, and its sketch no count."""

    def __init__(self, options: Any) -> None:
        super().__init__("values", options.schema)
        self._options = options

    def create_accumulator(self) -> _Counts:
        return {}

    def add_input(self, accumulator: _Counts, batch: Any) -> _Counts:
        found = values._to_topk_tuples(
            ("", batch),
            frozenset(schema_util.get_bytes_features(self.schema)),
            schema_util.get_categorical_numeric_feature_types(self.schema),
            self._options.example_weight_map,
        )
        for (_, path, value), (count, _) in found:
            accumulator.setdefault(path, Counter())[value] += count
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Counts]) -> _Counts:
        merged: _Counts = {}
        for accumulator in accumulators:
            for path, counts in accumulator.items():
                merged.setdefault(path, Counter()).update(counts)
        return merged

    def extract_output(self, accumulator: _Counts) -> Any:
        options, found = self._options, statistics_pb2.DatasetFeatureStatistics()
        most = max(options.num_top_values, options.num_rank_histogram_buckets)
        for path, counts in accumulator.items():
            top = heapq.nlargest(most, counts.items(), key=lambda item: (item[1], item[0]))
            found.features.append(
                top_k_uniques_stats_util.make_feature_stats_proto_topk_uniques(
                    FeaturePath(path),
                    options.num_top_values,
                    options.num_rank_histogram_buckets,
                    len(counts),
                    [top_k_uniques_stats_util.FeatureValueCount(*item) for item in top],
                    frequency_threshold=options.frequency_threshold,
                )
            )
        return found


def _generators(options: Any) -> list[Any]:
    """Those that TFDV would count by, as combiners."""
    found = stats_impl.get_generators(options)
    combiners = [it for it in found if isinstance(it, tfdv.CombinerStatsGenerator)]
    assert [type(it) for it in found if it not in combiners] == [values.TopKUniquesStatsGenerator]
    return [*combiners, _Values(options)]


def _is_of(record: bytes, spans: set[str]) -> bool:
    import tensorflow as tf

    features = tf.train.Example.FromString(record).features.feature
    return f"span_{features['span'].int64_list.value[0]}" in spans


def _project(sliced: tuple[str | None, Any], features: list[str]) -> tuple[str | None, Any]:
    return sliced[0], stats_impl._filter_features(sliced[1], features)


def _write(counted: tuple[str | None, bytes], folder: Path, split: str) -> None:
    key, content = counted
    with whole(folder / str(key) / split) as file:
        file.write(content)
