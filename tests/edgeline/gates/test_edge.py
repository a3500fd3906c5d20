import dataclasses

import numpy as np
import pytest
from msgspec.structs import replace

from edgeline.gates.answers import Answers
from edgeline.gates.edge import judge_edge_file, rest_on_time
from edgeline.gates.evidence import Evidence
from edgeline.gates.settings import EdgeLimits, EvaluationSettings
from edgeline.records.edge import Latency, Machine
from edgeline.records.evaluation import Metrics
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


def make_evidence(size=200, wrong=0, wrong_before=0, groups=None, lane=0, others=0, **settings):
    """Makes the answers of a file to `size` examples of class fray beside those of the SavedModel.

    The SavedModel answers the last `wrong_before` of them wrong, and so does the file, and the first `wrong`
    too. The first `lane` are of lane-07, and both answer `others` more, of class ok, right.
    """
    numbers, labels = np.arange(size + others), np.repeat([0, 1], [size, others])
    was_right = (numbers < size - wrong_before) | (numbers >= size)
    before, now = (
        np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
        for right in (was_right, was_right & (numbers >= wrong))
    )
    slices = {("lane", "lane-07"): np.arange(lane)} if lane else {}
    groups = numbers if groups is None else groups
    answers = Answers(("fray", "ok"), None, labels, groups, now, before, slices)
    return Evidence(Metrics({}, group="session"), EvaluationSettings(**settings), answers, subject="file")


def find_excesses(measurement, limits, evidence=None):
    return judge_edge_file(measurement, limits, evidence or make_evidence())


def judge(measurement, limits, severity="block", **answers):
    findings = find_excesses(measurement, limits, make_evidence(**answers))
    return [finding.sentence for finding in findings if finding.severity == severity]


def test_a_file_within_its_limits_may_ship():
    assert judge(GOOD, LIMITS) == []


def test_a_drop_at_its_limit_is_allowed():
    # The difference of these two shares is a little above 0.02 in binary.
    limits = EdgeLimits(min_agreement=0.9, max_accuracy_drop=0.02)
    assert judge(GOOD, limits, "warn", size=50, wrong=1, wrong_before=1) == []
    tighter = EdgeLimits(min_agreement=0.9, max_accuracy_drop=0.019)
    assert judge(GOOD, tighter, "warn", size=50, wrong=1, wrong_before=1)


def test_chance_drops_no_file():
    # Three photos of 144 more are wrong, and the network is right on all but two.
    answers = {"size": 144, "wrong": 3, "wrong_before": 2, "others": 156}
    assert judge(GOOD, LIMITS, **answers) == []
    (warning,) = judge(GOOD, LIMITS, "warn", **answers)
    assert warning == (
        "model_fp32.tflite is right on 0.965 of 144 examples of class fray and the SavedModel on 0.986: a"
        " drop of 0.021; within noise: 42.3 % of 2,000 resamples show one of at most 0.020."
    )
    finding = find_excesses(GOOD, LIMITS, make_evidence(**answers))[0]
    assert (finding.code, finding.slice) == ("accuracy_drop_within_noise", "class fray")
    words = (
        "of class fray and the SavedModel on 0.986: a drop of 0.208; at most 0.020 allowed. The drop is real"
    )
    assert words in " ".join(judge(GOOD, LIMITS, **{**answers, "wrong": 30}))


def test_the_confidence_in_a_drop_of_a_file_is_that_of_the_evaluation():
    doubtful = {"size": 144, "wrong": 8, "others": 156}
    assert judge(GOOD, LIMITS, **doubtful, confidence=0.999) == []
    assert len(judge(GOOD, LIMITS, **doubtful, confidence=0.6)) > 0


def test_a_large_drop_in_one_of_few_sessions_is_sure_and_a_small_one_is_not():
    sessions = np.repeat([0, 1], [60, 140])
    small, large = ({"wrong": wrong, "groups": sessions} for wrong in (10, 40))
    assert judge(GOOD, LIMITS, **small) == [] and len(judge(GOOD, LIMITS, "warn", **small)) == 2
    agreement, drop, *_ = judge(GOOD, LIMITS, **large)
    assert "of 2,000 resamples of sessions show one of at most 0.020" in drop
    assert "of 2,000 resamples of sessions show at least 0.950" in agreement


def test_a_file_with_another_measure_of_unlike_examples_does_not_ship():
    assert judge(replace(GOOD, unlike_difference=0.03), LIMITS) == []
    (reason,) = judge(replace(GOOD, unlike_difference=0.2), LIMITS)
    assert "a mean difference of 0.200 from the SavedModel; at most 0.080 allowed." in reason
    assert judge(replace(GOOD, unlike_difference=float("nan")), LIMITS)


def test_each_limit_gives_a_sentence_with_both_numbers():
    worse = replace(
        GOOD,
        max_difference=0.4,
        size_bytes=6_000_000,
        latency=dataclasses.replace(GOOD.latency, p50_ms=61.5),
    )

    agreement, drop, of_class, size, latency = judge(worse, LIMITS, wrong=24)

    assert agreement == (
        "model_fp32.tflite agrees with the SavedModel on 176 of 200 examples (0.880), and probabilities"
        " differ by up to 0.400; at least 0.950 required. The drop is real: only 0.0 % of 2,000 resamples"
        " show at least 0.950."
    )
    assert "is right on 0.880 of 200 examples and the SavedModel on 1.000: a drop of 0.120; at most" in drop
    assert "of class fray" in of_class
    assert "6.00 MB; at most 5.00 MB allowed" in size
    assert "61.50 ms" in latency and "at most 50.00 ms allowed" in latency and "A phone's CPU" in latency


def test_a_file_that_answers_nan_is_held_back_for_that_alone():
    # Its agreement is low too, but only by chance: NaN wins each argmax.
    broken = replace(GOOD, finite=False, max_difference=None)

    assert judge(broken, LIMITS, wrong=140) == [
        "model_fp32.tflite returns probabilities that are not finite numbers."
    ]


@pytest.mark.parametrize(
    ("size", "wrong_before", "wrong", "ships"),
    [
        (15, 0, 8, False),  # a class is lost
        (6, 0, 4, False),
        (15, 0, 1, True),  # one example
        (4, 0, 3, True),  # too few to say
        (15, 13, 2, True),  # not recognised before either
        (1000, 100, 30, True),  # three points are not surely more than two
        (1000, 100, 50, False),
    ],
)
def test_a_class_that_the_file_lost_is_named_whatever_the_accuracy_overall(size, wrong_before, wrong, ships):
    reasons = judge(GOOD, LIMITS, size=size, wrong_before=wrong_before, wrong=wrong, others=20 * size)

    words = f"examples of class fray and the SavedModel on {1 - wrong_before / size:.3f}"
    assert [words in reason for reason in reasons] == [True] * (not ships)


@pytest.mark.parametrize(("lane", "wrong", "ships"), [(15, 1, True), (4, 4, True), (15, 8, False)])
def test_a_slice_that_the_file_lost_is_named_as_far_as_its_examples_prove_it(lane, wrong, ships):
    reasons = judge(GOOD, LIMITS, size=1000, lane=lane, wrong=wrong)
    assert [(f"of {lane} examples of lane lane-07" in reason) for reason in reasons] == [True] * (not ships)


@pytest.mark.parametrize(("lane", "is_told"), [(49, False), (50, True)])
def test_of_a_slice_with_few_examples_no_drop_is_told_that_may_be_chance(lane, is_told):
    warnings = judge(GOOD, LIMITS, "warn", size=1000, lane=lane, wrong=2)
    assert [f"of {lane} examples of lane lane-07" in warning for warning in warnings] == [True] * is_told


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
