import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeline.edge.inspect import inspect, problems
from edgeline.edge.measure import measure
from edgeline.edge.variants import VARIANTS
from edgeline.errors import EdgelineError
from edgeline.records.edge import Measurement
from edgeline.records.json_file import encode
from tests.edgeline.edge.conftest import Exported, convert_here

pytestmark = pytest.mark.e2e


def measured(exported: Exported, file: Path) -> Measurement:
    lanes = [f"lane-{1 + number % 3:02}" for number in range(len(exported.images))]
    groups = {"label": [("ok", "misplaced", "damaged")[label] for label in exported.labels], "lane": lanes}
    return measure(file, exported.images, exported.labels, exported.probabilities, groups)


@pytest.fixture(scope="module")
def measurements(exported: Exported, files: dict[str, Path]) -> dict[str, Measurement]:
    return {variant: measured(exported, file) for variant, file in files.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_good_file_passes(variant: str, measurements: dict[str, Measurement], files: dict[str, Path]):
    assert problems(inspect(files[variant]), variant) == [] and measurements[variant].finite


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
    assert sum(group.support for group in measurement.groups["label"].values()) == measurement.examples == 200


def test_differences_grow_with_coarser_weights(measurements: dict[str, Measurement]):
    assert measurements["fp32"].max_difference < measurements["fp16"].max_difference
    assert measurements["fp16"].max_difference < measurements["int8"].max_difference < 0.1


def test_latency_comes_with_its_machine_and_all_is_json(measurements: dict[str, Measurement]):
    read = json.loads(encode(measurements["int8"]))

    assert 0 < read["latency"]["p50_ms"] <= read["latency"]["p99_ms"] and read["latency"]["runs"] >= 50
    assert read["machine"]["cpu"] and " " in read["machine"]["runtime"]


def test_a_file_that_answers_nan_is_told_from_one_that_is_wrong(exported: Exported, tmp_path: Path):
    assert convert_here(exported, "serve_nan", ["fp32"], tmp_path) == {"fp32": None}

    measurement = measured(exported, tmp_path / "model_fp32.tflite")

    assert not measurement.finite
    assert measurement.max_difference is None


def test_a_file_of_a_wrong_model_agrees_on_nothing(exported: Exported, files: dict[str, Path]):
    rolled = replace(exported, probabilities=np.roll(exported.probabilities, 1, axis=1))

    assert measured(rolled, files["fp16"]).agreement == 0.0


def test_a_damaged_file_is_refused_before_an_interpreter_sees_it(
    exported: Exported, files: dict[str, Path], tmp_path: Path
):
    cut = tmp_path / "model_fp32.tflite"
    cut.write_bytes(files["fp32"].read_bytes()[:-200])

    with pytest.raises(EdgelineError, match="damaged"):
        measured(exported, cut)
