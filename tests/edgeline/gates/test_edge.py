import numpy as np
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


def judge(measurement, limits, **answers):
    """Returns the findings for which a file falls."""
    findings = judge_edge_file(measurement, limits, make_evidence(**answers))
    return [finding for finding in findings if finding.severity == "block"]


def test_the_confidence_in_a_drop_of_a_file_is_that_of_the_evaluation():
    doubtful = {"size": 144, "wrong": 8, "others": 156}
    assert judge(GOOD, LIMITS, **doubtful, confidence=0.999) == []
    assert len(judge(GOOD, LIMITS, **doubtful, confidence=0.6)) > 0


def test_a_limit_on_a_figure_that_a_file_lacks_holds_nothing_back():
    limits = EdgeLimits(max_ms={"preprocess": 1.0, "p90": 1.0}, max_memory_mb=1, max_input_saturation=0.0)
    assert judge(GOOD, limits) == []


def test_a_file_that_is_only_too_slow_is_told_from_one_that_breaks_another_limit_too():
    slow = replace(GOOD, latency=Latency(61.5, 80.0, 100))
    assert rest_on_time(judge(slow, EdgeLimits(max_latency_ms=50.0, max_ms={"p99": 70})))
    assert not rest_on_time(judge(slow, EdgeLimits(max_latency_ms=50.0, max_size_mb=1)))
    assert not rest_on_time(judge(slow, EdgeLimits()))
