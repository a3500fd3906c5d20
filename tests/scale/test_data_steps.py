"""Steps on a cluster of two workers give what they give in memory, from the same inputs.

What is counted is equal to the last digit. What is not:
- sums of floats depend on the order in which parts are added: 1e-9 of a double, 1e-5 of a float32, which has
  seven digits and loses one or two in sums of thousands;
- the quantiles of TFDV's histograms are approximate, each within 0.01 of its rank
  (`quantile_slot_size` and `num_quantiles_histogram_buckets` in its StatsOptions), two of them within 0.02.
"""

from pathlib import Path

import numpy as np
import pytest
from tfx.types.standard_artifacts import Model

from components.transformed_examples import read_examples
from edgeline.records.evaluation import METRICS
from edgeline.records.verdict import VERDICT
from tests.components.steps import IN_MEMORY, artifact
from tests.scale.steps import WORKLOADS, Steps

pytestmark = pytest.mark.scale
DOUBLE, FLOAT = {"rel": 1e-9, "abs": 1e-12}, {"rel": 1e-5, "abs": 1e-5}
OF_A_RANK = 0.02
SPLITS = ("train", "eval")


@pytest.fixture(scope="module", params=WORKLOADS)
def steps(request, tmp_path_factory):
    return Steps(tmp_path_factory.mktemp(request.param), request.param)


def records(examples, split):
    """The serialized examples of a split by file, in their order."""
    import tensorflow as tf

    paths = sorted(Path(examples.uri, f"Split-{split}").iterdir())
    read = (tf.data.TFRecordDataset(str(path), compression_type="GZIP") for path in paths)
    return {path.name: list(found.as_numpy_iterator()) for path, found in zip(paths, read, strict=True)}


def same_examples(there, here):
    for split in SPLITS:
        assert records(there["examples"], split) == records(here["examples"], split)
    there, here = (Path(made["quarantine"].uri) for made in (there, here))
    found = {path.name for path in here.rglob("*") if path.is_file()}
    assert {path.name for path in there.rglob("*") if path.is_file()} == found and "ingest.json" in found
    for path in (path for path in here.rglob("*") if path.is_file()):
        assert (there / path.relative_to(here)).read_bytes() == path.read_bytes(), path.name


def numbers(examples, split):
    """The sorted values of each numeric feature."""
    import tensorflow as tf

    found = {}
    for record in (record for file in records(examples, split).values() for record in file):
        for name, feature in tf.train.Example.FromString(record).features.feature.items():
            if (kind := feature.WhichOneof("kind")) and kind != "bytes_list":
                found.setdefault(name, []).extend(getattr(feature, kind).value)
    return {name: np.sort(np.asarray(values, np.float64)) for name, values in found.items()}


def statistics(made, split):
    """By slice and feature."""
    import tensorflow_data_validation as tfdv

    read = tfdv.load_stats_binary(str(Path(made["statistics"].uri, f"Split-{split}", "FeatureStats.pb")))
    return {
        dataset.name: (dataset.num_examples, {f.path.step[0]: f for f in dataset.features})
        for dataset in read.datasets
    }


def same_statistics(there, here, examples):
    for split in SPLITS:
        found, expected = statistics(there, split), statistics(here, split)
        values = numbers(examples, split)
        assert {name: n for name, (n, _) in found.items()} == {name: n for name, (n, _) in expected.items()}
        for slice_, (_, features) in expected.items():
            assert set(found[slice_][1]) == set(features)
            for name, feature in features.items():
                of_all = values.get(name) if slice_ == "All Examples" else None
                same_feature(found[slice_][1][name], feature, of_all)


def same_feature(there, here, values):
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
        counted = ({b.label: b.sample_count for b in found.rank_histogram.buckets} for found in (there, here))
        assert next(counted) == next(counted)
    if kind == "num_stats":
        for field in ("min", "max", "num_zeros"):
            assert getattr(there, field) == getattr(here, field), field
        for field in ("mean", "std_dev"):
            assert getattr(there, field) == pytest.approx(getattr(here, field), **DOUBLE), field
        if values is not None:
            quantiles = [[h for h in found.histograms if h.type == h.QUANTILES] for found in (there, here)]
            for a, b in zip(*(h[0].buckets if h else () for h in quantiles), strict=True):
                apart = np.searchsorted(values, [a.high_value, b.high_value])
                assert abs(apart[0] - apart[1]) <= OF_A_RANK * len(values) + 1


def test_ingest_writes_the_same_examples_in_the_same_order(steps, flags, tmp_path):
    same_examples(steps.again("ExampleGen", tmp_path, flags), steps.outputs["ExampleGen"])


def test_statistics_count_the_same_and_examples_are_found_as_valid(steps, flags, tmp_path):
    made = steps.again("StatisticsGen", tmp_path, flags)
    examples = steps.outputs["ExampleGen"]["examples"]
    same_statistics(made, steps.outputs["StatisticsGen"], examples)
    made["statistics"].split_names = examples.split_names
    found = steps.again("ExampleValidator", tmp_path, flags, **made)
    here = Path(steps.outputs["ExampleValidator"]["anomalies"].uri)
    files = [path for path in here.rglob("*") if path.is_file()]
    assert len(files) == 2
    for path in files:
        assert Path(found["anomalies"].uri, path.relative_to(here)).read_bytes() == path.read_bytes()


def same_transform(there, here, steps):
    """Returns true if each example goes into the model as the same numbers."""
    examples, workload = steps.outputs["ExampleGen"]["examples"], steps.workload
    found, expected = (
        read_examples(examples, made["transform_graph"].uri, "eval", 500, workload) for made in (there, here)
    )
    assert found.ids == expected.ids and (found.labels == expected.labels).all()
    if expected.inputs.dtype.kind in "iuSO":
        assert (found.inputs == expected.inputs).all()
    else:
        np.testing.assert_allclose(found.inputs, expected.inputs, rtol=1e-5, atol=1e-5)


def test_transform_makes_the_same_graph(steps, flags, tmp_path):
    same_transform(steps.again("Transform", tmp_path, flags), steps.outputs["Transform"], steps)


def test_the_evaluator_measures_the_same_of_both_models(steps, flags, tmp_path):
    model = steps.outputs["Trainer"]["model"]
    made = []
    for name, given in (("spark", flags), ("memory", IN_MEMORY)):
        production = artifact(Model, Path(model.uri), has_model=1, version=7)
        made.append(steps.again("Evaluator", tmp_path / name, given, baseline_model=production))
    there, here = (METRICS.read(Path(found["evaluation"].uri)) for found in made)
    assert there.confusion == here.confusion and there.baseline_version == 7
    for found, expected in ((there.candidate, here.candidate), (there.baseline, here.baseline)):
        assert {kind: set(slices) for kind, slices in found.items()} == {
            kind: set(slices) for kind, slices in expected.items()
        }
        for kind, slices in expected.items():
            for name, metrics in slices.items():
                assert found[kind][name]["example_count"] == metrics["example_count"]
                # None, as of a slice without an example of a class, is equal to None alone.
                same = {
                    key: pytest.approx(value, nan_ok=True, **FLOAT)
                    for key, value in metrics.items()
                    if value is not None
                }
                assert found[kind][name] == metrics | same, (kind, name)
    there, here = (VERDICT.read(Path(found["blessing"].uri)) for found in made)
    assert (there.result, there.slices) == (here.result, here.slices)
