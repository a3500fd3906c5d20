import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from edge.inspect import inspect
from edge.measure import EdgeLimits, Measurement, judge, measure
from edge.variants import VARIANTS
from errors import EdgelineError
from tests.edge.conftest import Exported, convert_here

pytestmark = pytest.mark.e2e

LIMITS = EdgeLimits(min_agreement=0.95, max_accuracy_drop=0.02, max_size_mb=5.0, max_latency_ms=50.0)


def measured(exported: Exported, file: Path, variant: str) -> Measurement:
    lanes = [f"lane-{1 + number % 3:02}" for number in range(len(exported.images))]
    groups = {"label": [("ok", "misplaced", "damaged")[label] for label in exported.labels], "lane": lanes}
    return measure(file, variant, exported.images, exported.labels, exported.probabilities, groups, runs=50)


@pytest.fixture(scope="module")
def measurements(exported: Exported, files: dict[str, Path]) -> dict[str, Measurement]:
    return {variant: measured(exported, file, variant) for variant, file in files.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_good_file_passes(variant: str, measurements: dict[str, Measurement], files: dict[str, Path]):
    assert judge(measurements[variant], inspect(files[variant]), LIMITS) == []


def test_accuracy_is_that_of_the_photos_by_group_with_support(
    measurements: dict[str, Measurement], exported: Exported
):
    measurement = measurements["fp32"]
    right = exported.probabilities.argmax(axis=1) == exported.labels
    lane_2 = measurement.groups["lane"]["lane-02"]

    assert measurement.agreement == 1.0
    assert measurement.accuracy == measurement.reference_accuracy == pytest.approx(right.mean())
    assert (lane_2.support, lane_2.accuracy) == (67, pytest.approx(right[1::3].mean()))
    assert list(measurement.groups["label"]) == ["damaged", "misplaced", "ok"]
    assert sum(group.support for group in measurement.groups["label"].values()) == measurement.photos == 200


def test_differences_grow_with_coarser_weights(measurements: dict[str, Measurement]):
    assert measurements["fp32"].max_difference < measurements["fp16"].max_difference
    assert measurements["fp16"].max_difference < measurements["int8"].max_difference < 0.1
    assert 0 < measurements["int8"].mean_difference < measurements["int8"].max_difference


def test_latency_comes_with_its_machine_and_all_is_json(measurements: dict[str, Measurement]):
    read = json.loads(json.dumps(asdict(measurements["int8"])))

    assert 0 < read["latency"]["p50_ms"] <= read["latency"]["p90_ms"] <= read["latency"]["p99_ms"]
    assert read["latency"]["runs"] >= 50 and read["latency"]["threads"] == 1
    assert read["machine"]["cpu"] and read["machine"]["cores"] >= 1 and " " in read["machine"]["runtime"]


def test_each_limit_gives_a_sentence_with_both_numbers(
    measurements: dict[str, Measurement], files: dict[str, Path]
):
    report = inspect(files["fp32"])
    worse = replace(measurements["fp32"], agreement=0.88, accuracy=0.8, reference_accuracy=0.9)
    strict = replace(LIMITS, max_size_mb=0.001, max_latency_ms=0.0)

    agreement, drop, size, latency = judge(worse, report, strict)

    assert "176 of 200 photos (0.880), and 0.950 is asked" in agreement
    assert "a drop of 0.100, and 0.020 is the most" in drop
    assert "0.00 MB is the most" in size
    assert "ms is the most" in latency and worse.machine.cpu in latency


def test_a_float_file_claimed_to_be_int8_is_not_let_through(exported: Exported, files: dict[str, Path]):
    reasons = judge(measured(exported, files["fp32"], "int8"), inspect(files["fp32"]), LIMITS)

    assert any("not really int8" in reason for reason in reasons)


def test_a_file_that_answers_nan_is_held_back_for_that_alone(exported: Exported, tmp_path: Path):
    assert convert_here(exported, "serve_nan", ["fp32"], tmp_path) == {"fp32": None}
    broken = tmp_path / "model_fp32.tflite"

    measurement = measured(exported, broken, "fp32")

    # Not for its agreement, though that is low too: NaN wins each argmax, so that number is chance.
    assert not measurement.finite and measurement.agreement < LIMITS.min_agreement
    assert judge(measurement, inspect(broken), LIMITS) == [
        "model_fp32.tflite gives probabilities that are not finite numbers."
    ]


def test_a_file_of_a_wrong_model_is_held_back(exported: Exported, files: dict[str, Path]):
    rolled = replace(exported, probabilities=np.roll(exported.probabilities, 1, axis=1))

    reasons = judge(measured(rolled, files["fp16"], "fp16"), inspect(files["fp16"]), LIMITS)

    assert any("0 of 200 photos (0.000)" in reason for reason in reasons)


def test_a_damaged_file_is_refused_before_an_interpreter_sees_it(
    exported: Exported, files: dict[str, Path], tmp_path: Path
):
    cut = tmp_path / "model_fp32.tflite"
    cut.write_bytes(files["fp32"].read_bytes()[:-200])

    with pytest.raises(EdgelineError, match="damaged"):
        measured(exported, cut, "fp32")


def test_photos_that_do_not_fit_together_are_refused(exported: Exported, files: dict[str, Path]):
    with pytest.raises(EdgelineError, match="labels: 3"):
        measured(replace(exported, labels=exported.labels[:3]), files["fp32"], "fp32")
    with pytest.raises(EdgelineError, match="not finite"):
        measured(replace(exported, probabilities=exported.probabilities * np.nan), files["fp32"], "fp32")
    with pytest.raises(EdgelineError, match="3 probabilities, the SavedModel 2"):
        measured(replace(exported, probabilities=exported.probabilities[:, :2]), files["fp32"], "fp32")
