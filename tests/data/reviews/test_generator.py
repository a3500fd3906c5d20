"""Generated weeks, with and without faults, and the thresholds of schema/text.pbtxt on them."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from data.reviews.generator import LABELS, SOURCES, generate
from data.settings import DataSettings
from data.spans.source import Rejected, Row
from data.texts.source import LENGTH_BANDS, LONGEST_BAND, UNKNOWN_SOURCE, open_source
from edgeline.gates.data import Week, judge_data
from edgeline.gates.drift import make_stats_options, measure_drift, select_features
from edgeline.gates.settings import DEFAULT_SEVERITY, GateSettings
from edgeline.records.ingest import Ingest, Span
from edgeline.records.workload import Workload

SCHEMA = Path("schema/text.pbtxt")
WORKLOAD = Workload(
    "text", "", "trainer_module.workloads.texts", "data.texts.source", labels=tuple(LABELS.values())
)
WEEK = 300
WINDOW = Ingest(splits={}, classes={}, spans=(Span("span-00008", 8, WEEK, WEEK),), noun="text")


def test_the_same_seed_gives_the_same_bytes_week_by_week(tmp_path):
    spans = [generate(tmp_path / name, weeks=2, per_week=40, seed=3, faults={}) for name in ("one", "two")]
    contents = [[(span.path / "reviews.csv").read_bytes() for span in part] for part in spans]
    assert contents[0] == contents[1]
    assert contents[0][0] != contents[0][1]
    assert [span.number for span in generate(tmp_path / "one", weeks=1, per_week=5, seed=3, faults={})] == [3]


def test_a_week_without_faults_is_read_whole(tmp_path):
    (span,) = generate(tmp_path, weeks=1, per_week=300, seed=3, faults={})
    items = list(open_source(WORKLOAD, DataSettings()).rows(span))
    assert len(items) == 300 and not any(isinstance(item, Rejected) for item in items)
    assert {item.content[1] for item in items} == {"app", "web", "mail"}
    assert {item.label for item in items} == {"negative", "positive"}


def test_faults_that_are_rejected_hit_their_shares_of_different_texts(tmp_path):
    reasons = {name: name for name in ("unlabelled", "unknown-label", "empty", "control-character")}
    reasons["huge"] = "oversized"
    (span,) = generate(tmp_path, weeks=1, per_week=100, seed=3, faults=dict.fromkeys(reasons, 0.1))
    items = open_source(WORKLOAD, DataSettings()).rows(span)
    counts = Counter(item.reason for item in items if isinstance(item, Rejected))
    assert counts == dict.fromkeys(reasons.values(), 10)


def test_a_duplicate_is_typed_otherwise_and_found_by_its_digest(tmp_path):
    (span,) = generate(tmp_path, weeks=1, per_week=100, seed=3, faults={"duplicate": 0.1})
    source = open_source(WORKLOAD, DataSettings())
    digests = [source.example(span, row).digest for row in source.rows(span)]
    assert len(digests) == 110
    assert len(set(digests)) <= 100
    with (span.path / "reviews.csv").open(encoding="utf-8") as file:
        assert len({row["text"] for row in csv.DictReader(file)}) >= 105


def enable_only(rule):
    """Returns settings under which only this rule does something."""
    return GateSettings(severity={**dict.fromkeys(DEFAULT_SEVERITY, "off"), rule: "block"})


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
    from tensorflow_data_validation.statistics import stats_impl

    source = open_source(WORKLOAD, DataSettings())
    options = make_stats_options(select_features(schema)["compared"])

    def count_statistics(weeks, faults):
        spans = generate(tmp_path / "weeks", weeks=weeks, per_week=WEEK, seed=20, faults=faults)
        rows = [(span, row) for span in spans for row in source.rows(span) if isinstance(row, Row)]
        examples = [{**source.example(span, row).features, "label": row.label} for span, row in rows]
        columns = {
            name: [
                [value] if not isinstance(value, list) else value for value in (one[name] for one in examples)
            ]
            for name in examples[0]
            if name != "text"
        }
        batch = pa.record_batch([pa.array(values) for values in columns.values()], list(columns))
        (statistics,) = stats_impl.generate_statistics_in_memory(batch, options).datasets
        return statistics

    before = count_statistics(7, {})

    def find_features(**faults):
        faults = {name.replace("_", "-"): rate for name, rate in faults.items()}
        drifts = measure_drift("span-00008", count_statistics(1, faults), before, SCHEMA)
        rules = ("drift", "label_shift", "unknown_tokens", "missing_value")
        verdicts = {rule: judge_data(Week(WINDOW, enable_only(rule), drifts=drifts)) for rule in rules}
        return {rule: set(verdict.features) for rule, verdict in verdicts.items() if verdict.features}

    assert find_features() == {}
    assert find_features(vocabulary_drift=0.2) == {"drift": {"words"}, "unknown_tokens": {"words"}}
    assert find_features(unknown_tokens=0.1) == {"drift": {"words"}, "unknown_tokens": {"words"}}
    assert find_features(length_shift=0.2) == {"drift": {"length"}}
    assert find_features(label_shift=0.3) == {"label_shift": {"label"}}
