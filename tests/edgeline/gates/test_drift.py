"""The drift of texts, shares and numbers, on statistics as StatisticsGen writes them."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from edgeline.gates.drift import (
    ALL_FEATURES,
    FOR_DRIFT,
    choose_others,
    make_slicer,
    make_stats_options,
    measure_drift,
    measure_group_variances,
    measure_spans,
    place_anomalies,
    select_features,
)
from edgeline.records.verdict import Anomaly

SCHEMA = """
feature {
  name: "words" type: BYTES
  drift_comparator { jensen_shannon_divergence { threshold: 0.5 } }
}
"""


def count(values, names=("words",), **options):
    """Counts values of a feature, or of several, by example."""
    import pyarrow as pa
    from tensorflow_data_validation.statistics import stats_impl

    batch = pa.record_batch([pa.array(values)] * len(names), list(names))
    options = make_stats_options(**{"measured": ["words"], **options})
    return stats_impl.generate_statistics_in_memory(batch, options).datasets[0]


@pytest.fixture
def measure(tmp_path):
    """Measures the drift of texts of a span from those of others."""
    schema = tmp_path / "schema.pbtxt"
    schema.write_text(SCHEMA)

    def measure(*spans):
        before, now = (count([text.split() for text in texts]) for texts in spans)
        (drift,) = measure_drift("span-00002", now, before, schema)
        return drift

    return measure


def test_words_that_no_span_had_are_a_share_of_all_words_and_the_commonest_are_named(measure):
    drift = measure(["the pump leaks"] * 100, ["the qzx leaks"] * 90 + ["vvw qzx leaks"] * 10)

    assert (drift.unseen, drift.new) == (pytest.approx(110 / 300), ("qzx", "vvw"))
    assert drift.expected_unseen == pytest.approx(0)
    assert drift.gone == ("pump",)


def test_as_many_new_words_are_expected_as_there_were_words_that_came_once(measure):
    drift = measure([f"the pump of {n}" for n in range(100)], [f"the pump of {n}" for n in range(900, 1000)])

    assert drift.unseen == pytest.approx(drift.expected_unseen) == 0.25


def test_words_beyond_those_that_are_counted_by_name_are_not_taken_for_new_ones(measure, monkeypatch):
    monkeypatch.setattr("edgeline.gates.drift._MOST_TEXTS", 50)
    texts = [f"{n % 100} the" for n in range(1000)]

    drift = measure(texts, texts[:500])

    assert drift.unseen <= drift.expected_unseen
    assert drift.expected_unseen == pytest.approx(0.5 * 51 / 100)


def test_ids_are_counted_without_their_values():
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = text_format.Parse(SCHEMA + 'feature { name: "id" type: BYTES }', schema_pb2.Schema())

    features = select_features(schema)
    assert features["compared"] == ["words"]
    options = {name: features[name] for name in ("measured", "uncounted")}
    statistics = count([["a"]] * 9, ("words", "id"), **options)

    kinds = {feature.path.step[0]: feature.WhichOneof("stats") for feature in statistics.features}
    assert kinds == {"words": "string_stats", "id": "bytes_stats"}
    assert {feature.bytes_stats.common_stats.num_non_missing for feature in statistics.features} == {0, 9}


def test_shares_of_small_weeks_are_further_apart_by_chance_than_the_schema_allows(tmp_path):
    """Each of fifty weeks of 60 examples of two classes is compared with seven others."""
    schema = tmp_path / "schema.pbtxt"
    schema.write_text(
        SCHEMA.replace("jensen_shannon_divergence { threshold: 0.5", "infinity_norm { threshold: 0.1")
    )
    rng = np.random.default_rng(0)

    def sample(examples):
        return count([[text] for text in rng.choice(["good", "bad"], examples)])

    drifts = [drift for _ in range(50) for drift in measure_drift("w", sample(60), sample(420), schema)]
    beyond = sum(drift.distance > drift.threshold for drift in drifts)
    assert sum(drift.distance > 0.1 for drift in drifts) >= 3
    assert len(drifts) == 50 and beyond <= 1
    (large,) = measure_drift("w", sample(6000), sample(42000), schema)
    assert (large.threshold, large.measure) == (0.1, "infinity_norm")


def test_cells_without_a_text_are_named(tmp_path):
    (tmp_path / "schema.pbtxt").write_text(SCHEMA)
    before, now = (count([[text] for text in texts] * 100) for texts in (["", "a"], ["a", "b"]))
    (drift,) = measure_drift("span-00002", now, before, tmp_path / "schema.pbtxt")
    assert drift.gone == ("(empty)",) and set(drift.before.split(", ")) == {"a 50.0%", "(empty) 50.0%"}


@pytest.fixture
def compare(tmp_path):
    """Compares numbers of span 2 with those of span 1, each by session, [sessions, examples]."""
    schema = tmp_path / "numbers.pbtxt"
    schema.write_text(SCHEMA.replace("BYTES", "FLOAT").replace("0.5", "0.12"))

    def count_numbers(numbers):
        return count([[number] for number in numbers.ravel()])

    def measure(before, now, shared=False):
        columns = {"span": [], "session": [], "words": []}
        for span, sessions in ((1, before), (2, now)):
            for number, session in enumerate(sessions):
                columns["span"] += [span] * len(session)
                columns["session"] += [f"{number}" if shared else f"{span}-{number}"] * len(session)
                columns["words"] += session.tolist()
        others = {"span-00002": ["span-00001"]}
        (variances,) = measure_group_variances(columns, others, "session").spans.values()
        (drift,) = measure_drift("span-00002", count_numbers(now), count_numbers(before), schema, variances)
        return drift

    return measure


def test_a_week_of_one_value_turned_constant_unless_that_may_be_chance(compare, measure):
    flag = np.where(np.arange(600) % 10 == 0, 1.0, 0.0).reshape(60, 10)
    assert compare(flag, np.zeros((60, 10))).turned_constant
    assert compare(flag, np.full((60, 10), 7.0)).turned_constant
    # In one of 200 weeks of 50, a flag that a tenth have is in no example.
    assert not compare(flag, np.zeros((5, 10))).turned_constant
    assert not compare(flag * 0, np.zeros((60, 10))).turned_constant
    assert not compare(flag, flag[:, ::-1]).turned_constant
    texts = ["a", "b"] * 60
    assert measure(texts, ["a"] * 60).turned_constant and not measure(texts, texts).turned_constant


def test_a_column_that_was_added_is_compared_by_its_values_and_not_by_those_that_weeks_before_lack(tmp_path):
    added = 'type: BYTES annotation { tag: "since span-00002" }'
    texts, numbers = tmp_path / "texts.pbtxt", tmp_path / "numbers.pbtxt"
    texts.write_text(SCHEMA.replace("type: BYTES", added))
    numbers.write_text(texts.read_text().replace("BYTES", "FLOAT"))
    assert "since" in texts.read_text()
    nothing, wind = [[math.nan]] * 200, [[float(n % 20)] for n in range(200)]
    grown = count(wind)

    def measure(schema, before):
        return [drift.distance for drift in measure_drift("span-00003", grown, count(before), schema)]

    assert measure(numbers, nothing) == []
    assert measure(numbers, nothing + wind) == [pytest.approx(0, abs=0.01)]
    assert measure(numbers, nothing + [[value + 50] for (value,) in wind]) == [pytest.approx(1, abs=0.01)]

    sky = [["clear"], ["rain"]] * 100
    assert measure_drift("span-00003", count(sky), count([[""]] * 200), texts) == ()
    (drift,) = measure_drift("span-00003", count(sky), count([[""]] * 200 + sky), texts)
    assert drift.distance == pytest.approx(0, abs=0.01) and drift.gone == ()


def draw(rng, sessions, alike, examples=10, mean=300.0):
    """Draws the sharpness of photos, of which a share `alike` of the variance is between sessions."""
    deviations = np.sqrt([alike, 1 - alike])
    between, within = rng.normal(size=(sessions, 1)), rng.normal(size=(sessions, examples))
    return mean + 40 * (deviations[0] * between + deviations[1] * within)


def test_few_sessions_differ_by_chance_more_than_the_schema_allows(compare):
    """Ten good weeks of six sessions, each beside one of twelve."""
    rng = np.random.default_rng(0)
    drifts = [compare(draw(rng, 12, 0.9), draw(rng, 6, 0.9)) for _ in range(10)]
    assert sum(drift.distance > 0.12 for drift in drifts) > 5
    assert sum(drift.distance > drift.threshold for drift in drifts) <= 1
    assert not any(drift.distance > (1 + drift.threshold) / 2 for drift in drifts)


@pytest.mark.parametrize("alike", [0.0, 0.9])
def test_a_lens_that_blurs_every_photo_is_large_drift_in_few_sessions_too(compare, alike):
    rng = np.random.default_rng(1)
    drift = compare(draw(rng, 12, alike), draw(rng, 6, alike, mean=100.0))
    assert drift.distance > (1 + drift.threshold) / 2


def test_a_fault_in_some_sessions_does_not_pass_for_chance(compare):
    rng = np.random.default_rng(2)
    before, now = draw(rng, 40, 0.1), draw(rng, 40, 0.1)
    now[:20] -= 200
    drift = compare(before, now)
    # A half without anything in common has a distance of 0.31, a little less in ten bins.
    assert drift.threshold == pytest.approx(0.12) and drift.distance > 0.25


def test_machines_that_were_there_before_differ_from_themselves_by_little(compare):
    """Three of six machines read 0."""
    rng = np.random.default_rng(4)
    levels = rng.normal(60, 10, (6, 1))
    before, now = levels + rng.normal(size=(6, 700)), levels + rng.normal(size=(6, 100))
    assert not (good := compare(before, now, shared=True)).distance > good.threshold
    now[:3] = 0
    drift = compare(before, now, shared=True)
    assert drift.threshold < 0.2 and drift.distance > 3 * 0.12


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param([0.0] * 2000, [0.0] * 499 + [0.1], id="one of a constant is another"),
        pytest.param([0.0] * 1999 + [0.1], [0.0] * 500, id="it was before"),
        pytest.param("normal", [*"normal", 1e6], id="an outlier"),
        pytest.param([*"normal", 1e6], "normal", id="an earlier outlier"),
        pytest.param("lognormal", "lognormal", id="a long tail"),
        pytest.param("poisson", "poisson", id="small counts"),
        pytest.param("mostly zero", "mostly zero", id="mostly zeros"),
        pytest.param([NAN] * 2000, [NAN] * 500, id="without a number in both"),
    ],
)
def test_numbers_of_one_distribution_are_close_whatever_its_shape(compare, before, now):
    rng = np.random.default_rng(5)
    drift = compare(*(spread(rng, values, size) for values, size in ((before, 2000), (now, 500))))
    assert drift.distance < 0.012 and drift.distance < drift.threshold


@pytest.mark.parametrize(
    ("before", "now", "least"),
    [
        pytest.param([*"normal", 1e6], [*"shifted", 1e6], 0.9, id="another level behind an outlier"),
        pytest.param([5.0] * 2000, [7.0] * 500, 0.99, id="another constant"),
        pytest.param("normal", [NAN] * 500, 0.99, id="no number any more"),
        pytest.param("normal", [*"normal", *[NAN] * 250], 0.3, id="half of the numbers are gone"),
        pytest.param([1.0] * 2000, [1.0] * 350 + [0.0] * 150, 0.15, id="some of a constant fall"),
        pytest.param([0.0] * 2000, [0.0] * 350 + [1.0] * 150, 0.15, id="some of a constant rise"),
        pytest.param(
            [*"normal", *[INF] * 10], [*"shifted", *[INF] * 10], 0.9, id="a shift beside infinities"
        ),
        pytest.param("normal", [INF] * 500, 0.99, id="nothing finite any more"),
    ],
)
def test_numbers_of_another_distribution_are_far(compare, before, now, least):
    rng = np.random.default_rng(6)
    drift = compare(*(spread(rng, values, size) for values, size in ((before, 2000), (now, 500))))
    assert drift.distance > least > drift.threshold
    if NAN in now:
        assert "no number" in drift.now or "50.0% missing" in drift.now


def spread(rng, values, size):
    """Returns numbers, [1, size]; letters name a distribution, which fills the room beside other values."""
    kind = "".join(value for value in values if isinstance(value, str))
    others = [value for value in values if not isinstance(value, str)]
    size -= len(others)
    numbers = {
        "normal": lambda: rng.normal(100, 10, size),
        "shifted": lambda: rng.normal(400, 10, size),
        "lognormal": lambda: np.exp(2 * rng.normal(size=size)),
        "poisson": lambda: rng.poisson(2, size).astype(float),
        "mostly zero": lambda: np.where(rng.random(size) < 0.8, 0, rng.exponential(size=size)),
        "": lambda: np.empty(0),
    }[kind]()
    return np.concatenate([numbers, others])[np.newaxis]


def test_numbers_without_overlap_are_large_drift_in_few_sessions_too(compare):
    rng = np.random.default_rng(3)
    drift = compare(draw(rng, 20, 0.9), draw(rng, 2, 0.9, examples=30, mean=-900.0))
    assert drift.distance > (1 + drift.threshold) / 2


@pytest.mark.parametrize(
    ("spans", "judged", "others"),
    [
        ("abc", "c", {"c": ["a", "b"]}),
        ("abc", "bc", {"b": ["a"], "c": ["a"]}),
        ("abc", "abc", {"a": ["b", "c"], "b": ["a", "c"], "c": ["a", "b"]}),
        ("ab", "ab", {"b": ["a"]}),
        ("a", "a", {}),
    ],
)
def test_a_judged_span_is_compared_with_those_that_are_not_or_with_all_others(spans, judged, others):
    assert choose_others(spans, judged) == others


def test_a_window_is_divided_by_span_and_each_judged_one_is_compared_and_has_its_anomalies(tmp_path):
    import pyarrow as pa
    from tensorflow_metadata.proto.v0 import statistics_pb2

    domain = 'string_domain { value: "a" value: "b" }'
    schema = tmp_path / "schema.pbtxt"
    schema.write_text(SCHEMA.replace("type: BYTES", f"type: BYTES {domain}"))
    words = [["b"]] * 110 + [["a"]] * 50 + [["c"]] * 20 + [["b"]] * 60
    spans = [[1 + number // 60] for number in range(240)]
    batch = pa.record_batch([pa.array(spans), pa.array(words)], ["span", "words"])
    names = [f"span-{number:05d}" for number in range(1, 5)]
    slices = dict(make_slicer(choose_others(names, names[2:]))(batch))
    assert [rows.num_rows for rows in slices.values()] == [60, 120, 60, 120]

    def write(name, counted):
        datasets = statistics_pb2.DatasetFeatureStatisticsList()
        for slice_name, rows in counted.items():
            datasets.datasets.add().MergeFrom(count(rows.column(1).to_pylist()))
            datasets.datasets[-1].name = slice_name
        (tmp_path / "Split-train").mkdir(exist_ok=True)
        (tmp_path / "Split-train" / name).write_bytes(datasets.SerializeToString())

    write(FOR_DRIFT, slices)
    write(ALL_FEATURES, {"newest_span_1": slices[names[3]], "All Examples": batch})
    third, fourth = measure_spans(tmp_path / "Split-train", schema)
    assert (third.span, third.feature, third.gone, third.threshold) == (names[2], "words", ("b",), 0.5)
    assert (third.before, third.now) == ("b 91.7%, a 8.3%", "a 66.7%, c 33.3%")
    divergence = jensenshannon([1 / 12, 11 / 12, 0], [2 / 3, 0, 1 / 3], 2) ** 2
    assert third.distance == pytest.approx(divergence) and third.measure == "jensen_shannon_divergence"
    assert (fourth.span, fourth.gone, fourth.before, fourth.now) == (names[3], (), third.before, "b 100.0%")

    found = [Anomaly("words", "Unexpected values.", ("train",)), Anomaly("x", "Gone.", ("train",))]
    placed = place_anomalies(found, names[2:], names[3], tmp_path, schema)
    assert [item.spans for item in placed] == [(names[2],), ()]
    # The newest one has statistics of all features, also where no drift is measured.
    write(FOR_DRIFT, {})
    write(ALL_FEATURES, {"newest_span_1": slices[names[2]]})
    assert place_anomalies(found, names[2:], names[2], tmp_path, schema)[0].spans == (names[2],)
    assert place_anomalies([], names, names[3], tmp_path / "none", schema) == []
