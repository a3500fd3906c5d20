"""The thresholds of schema/text.pbtxt on what they are for: generated weeks, with and without faults."""

from pathlib import Path

import pytest

from data.reviews.generator import LABELS, SOURCES, generate
from data.settings import DataSettings
from data.spans.source import Row
from data.texts.source import LENGTH_BANDS, LONGEST_BAND, UNKNOWN_SOURCE, open_source
from records.workload import Workload

SCHEMA = Path("schema/text.pbtxt")
WORKLOAD = Workload("text", "", "trainer_module.texts", "data.texts.source", labels=tuple(LABELS.values()))
WEEK = 300


@pytest.fixture(scope="module")
def schema():
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    return text_format.Parse(SCHEMA.read_text(), schema_pb2.Schema())


def test_the_schema_has_the_domains_that_source_and_generator_know(schema):
    domains = {domain.name: list(domain.value) for domain in schema.string_domain}
    assert domains == {
        "label": list(LABELS.values()),
        "source": [*SOURCES, UNKNOWN_SOURCE],
        "length_band": [*LENGTH_BANDS, LONGEST_BAND],
    }


@pytest.mark.e2e
def test_faults_that_drift_are_found_by_what_they_change_and_a_clean_week_by_nothing(schema, tmp_path):
    import pyarrow as pa
    import tensorflow_data_validation as tfdv
    from tensorflow_data_validation.statistics import stats_impl

    source = open_source(WORKLOAD, DataSettings())

    def statistics(folder, weeks, faults):
        spans = generate(tmp_path / folder, weeks=weeks, per_week=WEEK, seed=20, faults=faults)
        rows = [(span, row) for span in spans for row in source.rows(span) if isinstance(row, Row)]
        found = [{**source.example(span, row).features, "label": row.label} for span, row in rows]
        columns = {
            name: [
                [value] if not isinstance(value, list) else value for value in (one[name] for one in found)
            ]
            for name in found[0]
            if name != "text"
        }
        batch = pa.record_batch([pa.array(values) for values in columns.values()], list(columns))
        options = tfdv.StatsOptions(schema=schema)
        return stats_impl.generate_statistics_in_memory(batch, options)

    before = statistics("before", 7, {})

    def drifted(**faults):
        faults = {name.replace("_", "-"): rate for name, rate in faults.items()}
        week = statistics("before", 1, faults)
        found = tfdv.validate_statistics(week, schema, previous_statistics=before).drift_skew_info
        limits = {
            feature.name: feature.drift_comparator.jensen_shannon_divergence.threshold
            or feature.drift_comparator.infinity_norm.threshold
            for feature in schema.feature
        }
        return {d.path.step[0] for d in found if d.drift_measurements[0].value > limits[d.path.step[0]]}

    assert drifted() == set()
    assert drifted(vocabulary_drift=0.2) == {"words"}
    assert drifted(unknown_tokens=0.1) == {"words"}
    assert drifted(length_shift=0.2) == {"length"}
    assert drifted(label_shift=0.3) == {"label"}
