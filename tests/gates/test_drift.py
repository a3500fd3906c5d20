"""What is measured of texts, on statistics as StatisticsGen writes them."""

from pathlib import Path

import pytest

from gates.drift import features_to_count, measure_drift, statistics_options

SCHEMA = """
feature {
  name: "words" type: BYTES
  drift_comparator { jensen_shannon_divergence { threshold: 0.5 } }
}
"""


@pytest.fixture
def measured(tmp_path):
    """Measures texts of the newest span against those before."""
    import pyarrow as pa
    from google.protobuf import text_format
    from tensorflow_data_validation.statistics import stats_impl
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

    schema = tmp_path / "schema.pbtxt"
    schema.write_text(SCHEMA)

    def counted(name, texts):
        batch = pa.record_batch([pa.array([text.split() for text in texts])], ["words"])
        options = statistics_options(**features_to_count(text_format.Parse(SCHEMA, schema_pb2.Schema())))
        (found,) = stats_impl.generate_statistics_in_memory(batch, options).datasets
        found.name = name
        return found

    def measure(before, now):
        both = [counted("newest_span_0", before), counted("newest_span_1", now)]
        found = statistics_pb2.DatasetFeatureStatisticsList(datasets=both)
        Path(tmp_path / "FeatureStats.pb").write_bytes(found.SerializeToString())
        (drift,) = measure_drift(tmp_path, schema)
        return drift

    return measure


def test_words_that_no_span_had_are_a_share_of_all_words_and_the_commonest_are_named(measured):
    drift = measured(["the pump leaks"] * 100, ["the qzx leaks"] * 90 + ["vvw qzx leaks"] * 10)

    assert (drift.unseen, drift.new) == (pytest.approx(110 / 300), ("qzx", "vvw"))
    assert drift.expected_unseen == pytest.approx(0)
    assert drift.gone == ("pump",)


def test_as_many_new_words_are_expected_as_there_were_words_that_came_once(measured):
    drift = measured([f"the pump of {n}" for n in range(100)], [f"the pump of {n}" for n in range(900, 1000)])

    assert drift.unseen == pytest.approx(drift.expected_unseen) == 0.25


def test_words_beyond_those_that_are_counted_by_name_are_not_taken_for_new_ones(measured, monkeypatch):
    monkeypatch.setattr("gates.drift._MOST_TEXTS", 50)
    texts = [f"{n % 100} the" for n in range(1000)]

    drift = measured(texts, texts[:500])

    assert drift.unseen <= drift.expected_unseen
    assert drift.expected_unseen == pytest.approx(0.5 * 51 / 100)


def test_ids_are_counted_without_their_values():
    import pyarrow as pa
    from google.protobuf import text_format
    from tensorflow_data_validation.statistics import stats_impl
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = text_format.Parse(SCHEMA + 'feature { name: "id" type: BYTES }', schema_pb2.Schema())
    batch = pa.record_batch([pa.array([["a"]] * 9)] * 2, ["words", "id"])

    (found,) = stats_impl.generate_statistics_in_memory(
        batch, statistics_options(**features_to_count(schema))
    ).datasets

    kinds = {feature.path.step[0]: feature.WhichOneof("stats") for feature in found.features}
    assert kinds == {"words": "string_stats", "id": "bytes_stats"}
    assert {feature.bytes_stats.common_stats.num_non_missing for feature in found.features} == {0, 9}
