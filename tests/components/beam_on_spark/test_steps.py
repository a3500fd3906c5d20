"""TFX's own executors, and ours, on Spark beside the in-memory runner."""

import json
from pathlib import Path

import pytest
from tfx.components.transform.executor import Executor as TransformExecutor
from tfx.types.standard_artifacts import Examples, ExampleStatistics, Schema, TransformGraph

from components.import_schema_gen import ImportSchemaGen
from components.statistics_gen import StatisticsExecutor
from data.photos.labels_file import write_span
from edgeline.gates.drift import features_to_count
from pipeline.settings import load
from pipeline.workloads import read_schema
from tests.components.steps import IN_MEMORY, LABELS, SHELF, artifact, execute, ingest
from tests.components.test_example_gen import good, row

pytestmark = pytest.mark.e2e
SPLITS = ("train", "eval")


class Steps:
    """What ExampleGen, StatisticsGen and Transform put out."""

    def __init__(self, data, folder, flags):
        self.ingested = ingest(data, folder, flags)
        self.statistics = artifact(ExampleStatistics, folder / "statistics")
        counted = features_to_count(read_schema(SHELF), SHELF.unmeasured, SHELF.group)
        execute(
            StatisticsExecutor,
            {"examples": self.ingested.examples},
            {"statistics": self.statistics},
            folder,
            flags,
            features=json.dumps(counted),
            push=str(folder / "push"),
            model_name="shelf",
        )
        schema, self.graph = artifact(Schema, folder / "schema"), artifact(TransformGraph, folder / "graph")
        execute(ImportSchemaGen, {}, {"schema": schema}, folder, text=Path(SHELF.schema).read_text())
        self.transformed = artifact(Examples, folder / "transformed")
        execute(
            TransformExecutor,
            {"examples": self.ingested.examples, "schema": schema},
            {"transform_graph": self.graph, "transformed_examples": self.transformed},
            folder,
            flags,
            preprocessing_fn="trainer_module.workloads.photos.preprocessing_fn",
            custom_config=json.dumps({"labels": LABELS, "image_size": 32, "channels": 1, "max_side": 512}),
            force_tf_compat_v1=0,
            disable_statistics=1,
        )

    def transformed_records(self, split):
        import tensorflow as tf

        files = [str(path) for path in Path(self.transformed.uri, f"Split-{split}").iterdir()]
        records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
        return sorted(str(tf.train.Example.FromString(record)) for record in records)

    def counted(self, split):
        """Of each slice and feature how often it is there, and what else is counted exactly."""
        import tensorflow_data_validation as tfdv

        path = str(Path(self.statistics.uri, f"Split-{split}", "FeatureStats.pb"))
        found = {}
        for dataset in tfdv.load_stats_binary(path).datasets:
            found[dataset.name] = dataset.num_examples
            for feature in dataset.features:
                stats = getattr(feature, feature.WhichOneof("stats"))
                common, name = stats.common_stats, (dataset.name, feature.path.step[0])
                found[name] = [common.num_non_missing, common.num_missing]
                if feature.WhichOneof("stats") == "num_stats":
                    found[name] += [stats.min, stats.max, stats.num_zeros]
                if feature.WhichOneof("stats") == "string_stats":
                    buckets = stats.rank_histogram.buckets
                    found[name] += [stats.unique, sorted((b.label, b.sample_count) for b in buckets)]
        return found


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps")
    first = [*good(range(15), "walk-1"), *good(range(15, 30), "walk-2"), (row("missing.jpg"), None)]
    for week in (first, good(range(30, 45), "walk-3")):
        write_span(folder / "data", week)
    spark = load({}, None, ["beam.engine=spark", "beam.master=local[2]"]).beam.as_flags()
    return [Steps(folder / "data", folder / name, flags) for name, flags in (("a", IN_MEMORY), ("b", spark))]


def test_ingest_writes_the_same_examples_in_the_same_order(steps):
    here, there = (step.ingested for step in steps)
    for split in SPLITS:
        assert there.files(split) == here.files(split) and there.records(split)
    assert there.quarantined() == here.quarantined() and there.quarantined()
    assert there.summary == here.summary


@pytest.mark.parametrize("split", SPLITS)
def test_statistics_count_the_same(steps, split):
    here, there = (step.counted(split) for step in steps)
    assert there == here and len(here) > 20


@pytest.mark.parametrize("split", SPLITS)
def test_transform_makes_the_same_examples(steps, split):
    here, there = (step.transformed_records(split) for step in steps)
    assert there == here and here
