"""StatisticsGen counts the spans that it has not counted yet, and puts out what it does of all of them."""

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from tfx.types.standard_artifacts import ExampleStatistics

from components.tfx_steps import StatisticsGen
from data.photos.labels_file import write_span
from edgeline.gates.drift import features_to_count
from pipeline.workloads import read_schema
from tests.components.steps import LABELS, SHELF, artifact, execute, ingest
from tests.components.test_example_gen import good, row
from tests.data.sample_photos import jpeg

pytestmark = pytest.mark.e2e


def add_week(data, week):
    """A span with a copy of a photo of the week before."""
    first = 20 * week
    photos = [*good(range(first, first + 4), f"a{week}"), *good(range(first + 4, first + 8), f"b{week}")]
    write_span(
        data, [*photos, (row("copy.jpg", LABELS[(first - 19) % 3], f"c{week}"), jpeg(seed=first - 19))]
    )


def count(ingested, folder, kept=""):
    """The statistics of each split and slice, each as a dictionary, floats as they are to nine digits."""
    import tensorflow_data_validation as tfdv

    made = artifact(ExampleStatistics, folder / "statistics")
    features = json.dumps(features_to_count(read_schema(SHELF), SHELF.unmeasured))
    inputs, outputs = {"examples": ingested.examples}, {"statistics": made}
    execute(StatisticsGen, inputs, outputs, folder, features=features, kept=str(kept), code="")
    assert sorted(path.name for path in Path(made.uri).iterdir()) == ["Split-eval", "Split-train", "spans"]
    found = {}
    for path in Path(made.uri).glob("Split-*/FeatureStats.pb"):
        for dataset in tfdv.load_stats_binary(str(path)).datasets:
            features = {".".join(feature.path.step): rounded(feature) for feature in dataset.features}
            found[path.parent.name, dataset.name] = (dataset.num_examples, features)
    return found


def rounded(feature):
    # What lies between two numbers of a sketch is a matter of order.
    for histogram in feature.num_stats.histograms:
        del histogram.buckets[:]
    return json.loads(json.dumps(MessageToDict(feature)), parse_float=lambda text: f"{float(text):.9g}")


def test_a_later_window_counts_what_is_new_or_changed_and_its_statistics_are_those_of_one_pass(
    tmp_path, caplog
):
    for week in range(1, 6):
        add_week(tmp_path / "data", week)
    caplog.set_level("INFO", "edgeline.statistics")
    first = ingest(tmp_path / "data", tmp_path / "1", window=4)
    add_week(tmp_path / "data", 6)
    then = ingest(tmp_path / "data", tmp_path / "2", window=4)
    count(first, tmp_path / "3", tmp_path / "kept")
    assert "4 of 4 spans are counted" in caplog.text
    found = count(then, tmp_path / "4", tmp_path / "kept")
    assert found == count(then, tmp_path / "5")
    # The third has an example that was a copy while the second was in the window; the fifth was the newest.
    assert "3 of 4 spans are counted" in caplog.text
    assert set(found) >= {
        ("Split-train", name) for name in ("All Examples", "newest_span_0", "newest_span_1")
    }
    assert count(then, tmp_path / "6", tmp_path / "kept") == found
    assert "0 of 4 spans are counted" in caplog.text
