import dataclasses

import pytest
from msgspec.structs import replace

from edgeline.gates.edge import judge_measurement as find_excesses
from edgeline.gates.edge import rest_on_time
from edgeline.gates.settings import EdgeLimits
from edgeline.records.edge import GroupAccuracy, Latency, Machine
from tests.edgeline.records.samples import MEASURED

LIMITS = EdgeLimits(min_agreement=0.95, max_accuracy_drop=0.02, max_size_mb=5.0, max_latency_ms=50.0)
GOOD = replace(
    MEASURED,
    file="model_fp32.tflite",
    size_bytes=3_800_000,
    examples=200,
    max_difference=1e-6,
    accuracy=0.94,
    reference_accuracy=0.94,
    groups={},
    latency=Latency(28.0, 35.0, 100),
    machine=Machine("A phone's CPU", "TFLite 2.16"),
)


def judge(measurement, limits, severity="block"):
    findings = find_excesses(measurement, limits)
    return [finding.sentence for finding in findings if finding.severity == severity]


def test_a_file_within_its_limits_may_ship():
    assert judge(GOOD, LIMITS) == []


def test_a_drop_at_its_limit_is_allowed():
    # The difference of these two shares is a little above 0.02 in binary.
    exact = replace(GOOD, examples=50, accuracy=48 / 50, reference_accuracy=49 / 50, agreement=0.98)
    assert judge(exact, EdgeLimits(min_agreement=0.9, max_accuracy_drop=0.02)) == []
    assert judge(exact, EdgeLimits(min_agreement=0.9, max_accuracy_drop=0.019))


def test_a_file_with_another_measure_of_unlike_examples_does_not_ship():
    assert judge(replace(GOOD, unlike_difference=0.03), LIMITS) == []
    (reason,) = judge(replace(GOOD, unlike_difference=0.2), LIMITS)
    assert "a mean difference of 0.200 from the SavedModel; at most 0.080 allowed." in reason
    assert judge(replace(GOOD, unlike_difference=float("nan")), LIMITS)


def test_each_limit_gives_a_sentence_with_both_numbers():
    worse = replace(
        GOOD,
        agreement=0.88,
        accuracy=0.8,
        reference_accuracy=0.9,
        size_bytes=6_000_000,
        latency=dataclasses.replace(GOOD.latency, p50_ms=61.5),
    )

    agreement, drop, size, latency = judge(worse, LIMITS)

    assert "176 of 200 examples (0.880); at least 0.950 required" in agreement
    assert "a drop of 0.100; at most 0.020 allowed" in drop
    assert "6.00 MB; at most 5.00 MB allowed" in size
    assert "61.50 ms" in latency and "at most 50.00 ms allowed" in latency and "A phone's CPU" in latency


def test_a_file_that_answers_nan_is_held_back_for_that_alone():
    # Its agreement is low too, but only by chance: NaN wins each argmax.
    broken = replace(GOOD, finite=False, agreement=0.3, max_difference=None)

    assert judge(broken, LIMITS) == ["model_fp32.tflite returns probabilities that are not finite numbers."]


@pytest.mark.parametrize(
    ("kind", "support", "before", "now", "ships"),
    [
        ("class", 15, 1.0, 0.47, False),  # a class is lost
        ("class", 15, 1.0, 0.93, True),  # one example
        ("class", 4, 1.0, 0.25, True),  # too few to say
        ("class", 15, 0.13, 0.0, True),  # not recognised before either
        ("class", 100, 0.9, 0.87, False),
        ("lane", 100, 0.9, 0.87, False),
        ("lane", 100, 0.9, 0.89, True),
        ("lane", 15, 1.0, 0.47, True),
    ],
)
def test_a_class_or_slice_that_the_file_lost_is_named_whatever_the_accuracy_overall(
    kind, support, before, now, ships
):
    groups = {kind: {"fray": GroupAccuracy(support, now, before)}}
    reasons = judge(replace(GOOD, groups=groups), LIMITS)

    words = f"is right on {now:.3f} of {support} examples of {kind} fray and the SavedModel on {before:.3f}"
    assert reasons == [] if ships else words in reasons[0]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_ms": {"p99": 30}}, "a time p99, under load, of 35.000 ms; at most 30.000 ms allowed"),
        (
            {"max_ms": {"cold_start": 100}},
            "a time cold start, under load, of 120.000 ms; at most 100.000 ms allowed",
        ),
        ({"max_memory_mb": 8}, "a peak memory of 9.000 MB; at most 8.000 MB allowed"),
        ({"max_difference": 0.05}, "a largest difference of a probability of 0.200; at most 0.050 allowed"),
        ({"max_input_saturation": 0.1}, "a saturation of its input of 0.300; at most 0.100 allowed"),
        ({"max_output_saturation": 0.5}, "a saturation of its output of 0.600; at most 0.500 allowed"),
    ],
)
def test_a_limit_that_is_off_by_default_holds_a_file_back_where_it_is_set(limits, words):
    slow = replace(
        GOOD,
        max_difference=0.2,
        two_threads=Latency(15.0, 25.0, 100, 21.0),
        cold_start_ms=120.0,
        peak_memory_bytes=9_000_000,
        preparation_ms={"decode": 6.0, "resize": 1.0},
        input_saturation=0.3,
        output_saturation=0.6,
        under_load=True,
    )
    assert judge(slow, EdgeLimits()) == []
    (reason,) = judge(slow, EdgeLimits(**limits))
    assert reason == f"model_fp32.tflite has {words}."


def test_a_limit_on_a_figure_that_a_file_lacks_holds_nothing_back():
    limits = EdgeLimits(max_ms={"preprocess": 1.0, "p90": 1.0}, max_memory_mb=1, max_input_saturation=0.0)
    assert judge(GOOD, limits) == []


def test_a_slow_file_is_a_warning_where_nobody_set_a_limit_and_says_that_the_machine_was_under_load():
    slow = replace(GOOD, latency=Latency(61.5, 80.0, 100), under_load=True)
    assert judge(slow, EdgeLimits()) == judge(slow, LIMITS, "warn") == []
    assert judge(GOOD, EdgeLimits(), "warn") == []
    assert judge(slow, EdgeLimits(), "warn") == [
        "model_fp32.tflite takes 61.50 ms per example (median of 100 runs, one thread of A phone's CPU,"
        " TFLite 2.16, under load), which is more than 50.00 ms. edge.max_latency_ms sets a limit."
    ]


def test_a_file_that_is_only_too_slow_is_told_from_one_that_breaks_another_limit_too():
    slow = replace(GOOD, latency=Latency(61.5, 80.0, 100))
    assert rest_on_time(find_excesses(slow, EdgeLimits(max_latency_ms=50.0, max_ms={"p99": 70})))
    assert not rest_on_time(find_excesses(slow, EdgeLimits(max_latency_ms=50.0, max_size_mb=1)))
    assert not rest_on_time(find_excesses(slow, EdgeLimits()))
