import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from tests.outputs import leave, write_run

CURATED = b"""\
# Reviewed.
string_domain {
  name: "label"
  value: "ok"
  value: "bent"
}
string_domain {
  name: "site"
  value: "north"
}
feature {
  name: "photo"
  type: BYTES
}
feature {
  name: "label"
  type: BYTES
  domain: "label"
}
feature {
  name: "loading site"
  type: BYTES
  domain: "site"
}
"""
INFERRED = CURATED.replace(b'"north"', b'"north"\n  value: "south"')


@pytest.fixture
def run_schema(tmp_path, make_run, command):
    """Runs `edgeline schema` for a window with a new site; returns how it ended, and the schema."""
    path = tmp_path / "schema.pbtxt"
    path.write_bytes(CURATED)
    workload = tmp_path / "workload.yaml"
    workload.write_text("name: parts\nkind: photos\nschema: schema.pbtxt\n", encoding="utf-8")
    run = make_run(workload="parts", workload_source=str(workload))
    folder = write_run(tmp_path / "workspace", run)
    leave(folder, "ImportSchemaGen", "schema", "schema.pbtxt", CURATED)
    leave(folder, "SchemaGen", "schema", "schema.pbtxt", INFERRED)
    statistics = statistics_pb2.DatasetFeatureStatisticsList(datasets=[{}]).SerializeToString()
    leave(folder, "StatisticsGen", "statistics", "FeatureStats.pb", statistics)

    return lambda *arguments: (command("schema", *arguments), path.read_bytes())


def test_a_value_that_the_schema_lacks_is_shown_with_the_command_that_accepts_it(run_schema):
    result, text = run_schema("diff")
    assert result.code == 0 and text == CURATED
    assert result.out.startswith("Run 20261005-091233 on /data:\n")
    assert "! loading site" in result.out and "also south" in result.out
    assert "edgeline schema accept 'loading site' --reason R" in result.out
    (difference,) = run_schema("diff", "--json")[0].json
    assert (difference["feature"], difference["values"]) == ("loading site", ["south"])


def test_an_accepted_value_is_in_the_schema_with_its_author_and_reason(run_schema):
    result, text = run_schema("accept", "loading site", "--reason", "a second  site")
    assert result.code == 0 and "schema.pbtxt now accepts loading site" in result.out
    added = [line for line in text.decode().splitlines() if line not in CURATED.decode().splitlines()]
    assert len(added) == 2 and added[1] == '  value: "south"'
    assert added[0].strip().startswith("# Widened") and added[0].endswith(": a second site")


def test_a_feature_that_does_not_differ_from_the_schema_is_refused_and_nothing_is_written(run_schema):
    result, text = run_schema("accept", "loading site", "label", "--reason", "a second site")
    assert result.code == 2 and "nothing outside the curated schema in label" in result.err
    assert "site." in result.err and text == CURATED


def test_a_run_that_made_no_schema_widens_none(workspace, command):
    result = command("schema", "diff")
    assert result.code == 2 and "did not reach SchemaGen" in result.err
