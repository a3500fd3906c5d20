from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from data.importers.curated_schema import widen_schema
from edgeline.errors import UsageError
from edgeline.records.schema import Difference
from edgeline.report.schema import find_differences

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
"""
INFERRED = """
string_domain { name: "site" value: "north" value: "south" }
feature { name: "site" type: BYTES domain: "site" }
feature { name: "heat" type: FLOAT }
feature { name: "speed" type: INT }
"""


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Difference]:
    for name, text in (("curated", CURATED), ("inferred", INFERRED)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "schema.pbtxt").write_text(text)
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    heat = statistics.datasets.add().features.add(name="heat")
    heat.num_stats.min, heat.num_stats.max = 3.5, 71.25
    heat.num_stats.common_stats.num_non_missing = 9
    (tmp_path / "statistics" / "Split-train").mkdir(parents=True)
    (tmp_path / "statistics" / "Split-train" / "FeatureStats.pb").write_bytes(statistics.SerializeToString())
    made = find_differences(tmp_path / "curated", tmp_path / "inferred", tmp_path / "statistics")
    return {item.feature: item for item in made}


def schema_of(text: str) -> schema_pb2.Schema:
    return text_format.Parse(text, schema_pb2.Schema())


def test_new_values_new_features_and_numbers_out_of_bounds_are_told_apart(found):
    assert (found["site"].kind, found["site"].values, found["site"].breaks) == ("values", ("south",), True)
    assert (found["speed"].kind, found["speed"].type) == ("feature", "INT")
    assert (found["heat"].curated, found["heat"].seen) == ("-5 to 40", "3.5 to 71.25")


def test_accepting_widens_the_schema_and_leaves_all_else_of_its_text(found):
    text = CURATED
    for item in found.values():
        text = widen_schema(text, item, "Widened by Ada: a new site")
    schema = schema_of(text)

    assert list(schema.string_domain[0].value) == ["north", "south"]
    assert [feature.name for feature in schema.feature] == ["site", "heat", "speed"]
    heat = schema.feature[1].float_domain
    assert (heat.min, heat.max) == (-5, 71.25)
    assert text.count("# Widened by Ada: a new site") == 3
    left = [line for line in CURATED.splitlines() if "float_domain" not in line]
    assert [line for line in text.splitlines() if line in left][: len(left)] == left


def test_a_schema_written_in_another_way_is_left_to_a_person(found):
    with pytest.raises(UsageError, match=r"no bounds of heat.*by hand"):
        widen_schema(CURATED.replace("float_domain { min: -5 max: 40 }", ""), found["heat"], "")
