"""Steps on a cluster of two workers have the same outputs as in memory, from the same inputs.

Counts are equal to the last digit. Other numbers are not:
- sums of floats depend on the order in which parts are added: 1e-9 of a double, 1e-5 of a float32, which has
  seven digits and loses one or two in sums of thousands;
- the quantiles of TFDV's histograms are approximate, each within 0.01 of its rank
  (`quantile_slot_size` and `num_quantiles_histogram_buckets` in its StatsOptions), two of them within 0.02.
"""

from pathlib import Path

import numpy as np
import pytest
from tfx.types.standard_artifacts import Model

from components.answers import read_answers
from components.transformed_examples import read_examples
from edgeline.gates.figures import compute_metrics
from tests.components.steps import IN_MEMORY, artifact
from tests.scale.steps import WORKLOADS, Steps

pytestmark = pytest.mark.scale
DOUBLE, FLOAT = {"rel": 1e-9, "abs": 1e-12}, {"rel": 1e-5, "abs": 1e-5}
RANK_TOLERANCE = 0.02
SPLITS = ("train", "eval")


@pytest.fixture(scope="module", params=WORKLOADS)
def steps(request, tmp_path_factory):
    return Steps(tmp_path_factory.mktemp(request.param), request.param)


def read_records(examples, split):
    """Returns the serialized examples of a split by file, in their order."""
    import tensorflow as tf

    paths = sorted(Path(examples.uri, f"Split-{split}").iterdir())
    files = (tf.data.TFRecordDataset(str(path), compression_type="GZIP") for path in paths)
    return {path.name: list(file.as_numpy_iterator()) for path, file in zip(paths, files, strict=True)}


def assert_same_examples(there, here):
    for split in SPLITS:
        assert read_records(there["examples"], split) == read_records(here["examples"], split)
    there, here = (Path(outputs["quarantine"].uri) for outputs in (there, here))
    names = {path.name for path in here.rglob("*") if path.is_file()}
    assert {path.name for path in there.rglob("*") if path.is_file()} == names and "ingest.json" in names
    for path in (path for path in here.rglob("*") if path.is_file()):
        assert (there / path.relative_to(here)).read_bytes() == path.read_bytes(), path.name


def read_numbers(examples, split):
    """Returns the sorted values of each numeric feature."""
    import tensorflow as tf

    numbers = {}
    for record in (record for file in read_records(examples, split).values() for record in file):
        for name, feature in tf.train.Example.FromString(record).features.feature.items():
            if (kind := feature.WhichOneof("kind")) and kind != "bytes_list":
                numbers.setdefault(name, []).extend(getattr(feature, kind).value)
    return {name: np.sort(np.asarray(values, np.float64)) for name, values in numbers.items()}


def read_statistics(outputs, split):
    """Returns the count of examples and the features of each slice."""
    import tensorflow_data_validation as tfdv

    path = Path(outputs["statistics"].uri, f"Split-{split}", "FeatureStats.pb")
    return {
        dataset.name: (dataset.num_examples, {f.path.step[0]: f for f in dataset.features})
        for dataset in tfdv.load_stats_binary(str(path)).datasets
    }


def assert_same_statistics(there, here, examples):
    for split in SPLITS:
        actual, expected = read_statistics(there, split), read_statistics(here, split)
        values = read_numbers(examples, split)
        assert {name: n for name, (n, _) in actual.items()} == {name: n for name, (n, _) in expected.items()}
        for slice_, (_, features) in expected.items():
            assert set(actual[slice_][1]) == set(features)
            for name, feature in features.items():
                feature_values = values.get(name) if slice_ == "All Examples" else None
                assert_same_feature(actual[slice_][1][name], feature, feature_values)


def assert_same_feature(there, here, values):
    assert (there.type, there.WhichOneof("stats")) == (here.type, here.WhichOneof("stats"))
    if there.HasField("bytes_stats") or there.HasField("struct_stats"):
        return
    kind = here.WhichOneof("stats")
    there, here = getattr(there, kind), getattr(here, kind)
    for field in ("num_non_missing", "num_missing", "min_num_values", "max_num_values", "tot_num_values"):
        assert getattr(there.common_stats, field) == getattr(here.common_stats, field), field
    if kind == "string_stats":
        assert there.unique == here.unique
        assert there.avg_length == pytest.approx(here.avg_length, **FLOAT)
        counted = ({b.label: b.sample_count for b in each.rank_histogram.buckets} for each in (there, here))
        assert next(counted) == next(counted)
    if kind == "num_stats":
        for field in ("min", "max", "num_zeros"):
            assert getattr(there, field) == getattr(here, field), field
        for field in ("mean", "std_dev"):
            assert getattr(there, field) == pytest.approx(getattr(here, field), **DOUBLE), field
        if values is not None:
            quantiles = [[h for h in each.histograms if h.type == h.QUANTILES] for each in (there, here)]
            for a, b in zip(*(h[0].buckets if h else () for h in quantiles), strict=True):
                ranks = np.searchsorted(values, [a.high_value, b.high_value])
                assert abs(ranks[0] - ranks[1]) <= RANK_TOLERANCE * len(values) + 1


def test_ingest_writes_the_same_examples_in_the_same_order(steps, flags, tmp_path):
    assert_same_examples(steps.run_again("ExampleGen", tmp_path, flags), steps.outputs["ExampleGen"])


def test_statistics_count_the_same_and_examples_have_the_same_anomalies(steps, flags, tmp_path):
    outputs = steps.run_again("StatisticsGen", tmp_path, flags)
    examples = steps.outputs["ExampleGen"]["examples"]
    assert_same_statistics(outputs, steps.outputs["StatisticsGen"], examples)
    outputs["statistics"].split_names = examples.split_names
    validation = steps.run_again("ExampleValidator", tmp_path, flags, **outputs)
    here = Path(steps.outputs["ExampleValidator"]["anomalies"].uri)
    files = [path for path in here.rglob("*") if path.is_file()]
    assert len(files) == 2
    for path in files:
        assert Path(validation["anomalies"].uri, path.relative_to(here)).read_bytes() == path.read_bytes()


def assert_same_transform(there, here, steps):
    """Checks that each example goes into the model as the same numbers."""
    examples, workload = steps.outputs["ExampleGen"]["examples"], steps.workload
    actual, expected = (
        read_examples(examples, each["transform_graph"].uri, "eval", 500, workload) for each in (there, here)
    )
    assert actual.ids == expected.ids and (actual.labels == expected.labels).all()
    if expected.inputs.dtype.kind in "iuSO":
        assert (actual.inputs == expected.inputs).all()
    else:
        np.testing.assert_allclose(actual.inputs, expected.inputs, rtol=1e-5, atol=1e-5)


def test_transform_makes_the_same_graph(steps, flags, tmp_path):
    assert_same_transform(steps.run_again("Transform", tmp_path, flags), steps.outputs["Transform"], steps)


def test_the_evaluator_measures_the_same_of_both_models(steps, flags, tmp_path):
    model = steps.outputs["Trainer"]["model"]
    runs = []
    for name, engine_flags in (("spark", flags), ("memory", IN_MEMORY)):
        production = artifact(Model, Path(model.uri), has_model=1, version=7)
        runs.append(steps.run_again("Evaluator", tmp_path / name, engine_flags, baseline_model=production))
    there, here = (
        compute_metrics(read_answers(Path(outputs["evaluation"].uri), steps.workload), "group", 0.05)
        for outputs in runs
    )
    assert there.confusion == here.confusion and there.baseline is not None
    for actual, expected in ((there.candidate, here.candidate), (there.baseline, here.baseline)):
        assert {kind: set(slices) for kind, slices in actual.items()} == {
            kind: set(slices) for kind, slices in expected.items()
        }
        for kind, slices in expected.items():
            for name, metrics in slices.items():
                assert actual[kind][name]["example_count"] == metrics["example_count"]
                # A slice without an example of a class has None, which is equal to None alone.
                approximate = {
                    key: pytest.approx(value, nan_ok=True, **FLOAT)
                    for key, value in metrics.items()
                    if value is not None
                }
                assert actual[kind][name] == metrics | approximate, (kind, name)
