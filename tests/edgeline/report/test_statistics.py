from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from data.importers.curated_schema import widen_schema
from edgeline.errors import UsageError
from edgeline.records.verdict import Difference, Drift
from edgeline.report.facts import Distribution, Feature
from edgeline.report.statistics import find_differences, read_features


def add_dataset(statistics, name, lanes, brightness):
    """Adds the statistics of one slice, as StatisticsGen writes them."""
    dataset = statistics.datasets.add(name=name)
    text = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
    text.path.step.append("lane_id")
    for lane, count in lanes.items():
        text.string_stats.rank_histogram.buckets.add(label=lane, sample_count=count)
    text.string_stats.common_stats.num_non_missing = sum(lanes.values())
    number = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.FLOAT)
    number.path.step.append("brightness")
    number.num_stats.mean, number.num_stats.std_dev = brightness
    number.num_stats.common_stats.num_non_missing = sum(lanes.values())
    histogram = number.num_stats.histograms.add()
    for low, count in ((0, 30), (10, 10)):
        histogram.buckets.add(low_value=low, high_value=low + 10, sample_count=count)
    number.num_stats.histograms.add().buckets.add(low_value=0, high_value=99, sample_count=40)
    dataset.features.add().path.step.append("photo_id")


@pytest.fixture
def statistics(tmp_path):
    message = statistics_pb2.DatasetFeatureStatisticsList()
    add_dataset(message, "All Examples", {"a": 40}, (100.0, 9.0))
    add_dataset(message, "newest_span_1", {"a": 30, "b": 10}, (80.0, 12.0))
    add_dataset(message, "newest_span_0", {"b": 10}, (float("nan"), 9.0))
    (tmp_path / "Split-train").mkdir()
    (tmp_path / "Split-train" / "FeatureStats.pb").write_bytes(message.SerializeToString())
    return tmp_path


def test_each_feature_has_its_distribution_now_and_before_and_its_distance(statistics):
    drift = {"lane_id": Drift("lane_id", 0.75, 0.1, measure="infinity_norm")}
    lanes, brightness = read_features(statistics, drift)
    assert (lanes.name, lanes.distance, lanes.threshold, lanes.drifted) == ("lane_id", 0.75, 0.1, True)
    assert lanes.measure == "infinity_norm"
    assert lanes.now.values == (("a", 0.75), ("b", 0.25))
    assert lanes.before.values == (("b", 1.0),)
    assert (brightness.name, brightness.distance, brightness.drifted) == ("brightness", None, False)
    assert brightness.now.bins == ((0.0, 10.0, 0.75), (10.0, 20.0, 0.25))
    assert brightness.now.mean == 80.0
    assert brightness.before.mean is None
    assert read_features(statistics / "nothing", {}) == ()


@pytest.mark.parametrize(
    ("before", "now", "beyond"),
    [
        ((), ((0.0, 10.0, 1.0),), 0.0),
        (((0.0, 5.0, 0.5), (5.0, 10.0, 0.5)), ((0.0, 10.0, 0.75), (10.0, 20.0, 0.25)), 0.25),
        # A number that was always the same is beyond when it moves.
        (((3.0, 3.0, 1.0),), ((3.0, 3.0, 0.9), (4.0, 4.0, 0.1)), 0.1),
    ],
)
def test_numbers_beyond_those_of_earlier_spans_are_counted(before, now, beyond):
    feature = Feature("days", Distribution(bins=now), Distribution(bins=before))
    assert feature.beyond == pytest.approx(beyond)


CURATED = """\
# Reviewed.
string_domain {
  name: "site"
  value: "north"
}
feature {
  name: "site"
  type: BYTES
  domain: "site"
}
# Degrees Celsius.
feature {
  name: "heat"
  type: FLOAT
  float_domain { min: -5 max: 40 }
}
feature {
  name: "span"
  type: INT
  int_domain { min: 1 }
}
"""
INFERRED = """
string_domain { name: "site" value: "north" value: "south" }
feature { name: "site" type: BYTES domain: "site" }
feature { name: "heat" type: FLOAT }
feature { name: "speed" type: INT }
"""


@pytest.fixture
def diff(tmp_path: Path) -> dict[str, Difference]:
    for name, text in (("curated", CURATED), ("inferred", INFERRED)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "schema.pbtxt").write_text(text)
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    features = statistics.datasets.add().features
    for name, low, high in (("heat", 3.5, 71.25), ("span", 1, 8)):
        feature = features.add(name=name)
        feature.num_stats.min, feature.num_stats.max = low, high
        feature.num_stats.common_stats.num_non_missing = 9
    (tmp_path / "statistics" / "Split-train").mkdir(parents=True)
    (tmp_path / "statistics" / "Split-train" / "FeatureStats.pb").write_bytes(statistics.SerializeToString())
    differences = find_differences(tmp_path / "curated", tmp_path / "inferred", tmp_path / "statistics")
    return {item.feature: item for item in differences}


def parse_schema(text: str) -> schema_pb2.Schema:
    return text_format.Parse(text, schema_pb2.Schema())


def test_new_values_new_features_and_numbers_out_of_bounds_are_different_kinds(diff):
    assert (diff["site"].kind, diff["site"].values, diff["site"].breaks) == ("values", ("south",), True)
    assert (diff["speed"].kind, diff["speed"].type) == ("feature", "INT")
    assert (diff["heat"].curated, diff["heat"].seen) == ("-5 to 40", "3.5 to 71.25")
    assert set(diff) == {"site", "speed", "heat"}  # ingest numbers the spans, and no person bounds that


def test_accepting_widens_the_schema_and_leaves_all_else_of_its_text(diff):
    text = CURATED
    for item in diff.values():
        text = widen_schema(text, item, "Widened by Ada: a new site")
    schema = parse_schema(text)

    assert list(schema.string_domain[0].value) == ["north", "south"]
    assert [feature.name for feature in schema.feature] == ["site", "heat", "span", "speed"]
    heat = schema.feature[1].float_domain
    assert (heat.min, heat.max) == (-5, 71.25)
    assert text.count("# Widened by Ada: a new site") == 3
    rest = [line for line in CURATED.splitlines() if "float_domain" not in line]
    assert [line for line in text.splitlines() if line in rest][: len(rest)] == rest


def test_bounds_with_commas_are_widened_too_and_a_schema_in_another_format_is_left_to_a_person(diff):
    heat = parse_schema(widen_schema(CURATED.replace("-5 max", "-5, max"), diff["heat"], "")).feature[1]
    assert (heat.float_domain.min, heat.float_domain.max) == (-5, 71.25)
    with pytest.raises(UsageError, match=r"no bounds of heat.*by hand"):
        widen_schema(CURATED.replace("float_domain { min: -5 max: 40 }", ""), diff["heat"], "")
