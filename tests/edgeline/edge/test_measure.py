import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import ModelT
from flatbuffers import Builder

from edgeline.edge import first_run
from edgeline.edge.inspect import inspect
from edgeline.edge.interpreter import EdgeModel
from edgeline.edge.measure import measure, measure_speed
from edgeline.errors import EdgelineError
from edgeline.records.edge import Measurement
from edgeline.records.json_file import decode, encode
from tests.edgeline.edge.conftest import Exported, convert_here
from tests.edgeline.edge.contracts.test_image import contract, jpeg

pytestmark = pytest.mark.e2e


def measure_file(exported: Exported, file: Path) -> Measurement:
    lanes = [f"lane-{1 + number % 3:02}" for number in range(len(exported.images))]
    groups = {"label": [("ok", "misplaced", "damaged")[label] for label in exported.labels], "lane": lanes}
    measurement, probabilities = measure(
        file, exported.images, exported.labels, exported.probabilities, groups
    )
    assert probabilities.shape == exported.probabilities.shape
    return measurement


@pytest.fixture(scope="module")
def measurements(exported: Exported, files: dict[str, Path]) -> dict[str, Measurement]:
    return {variant: measure_file(exported, file) for variant, file in files.items()}


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch):
    """Measures a first run in one process only."""
    monkeypatch.setattr(first_run, "_PROCESSES", 1)


def test_accuracy_is_that_of_the_photos_by_group_with_support(
    measurements: dict[str, Measurement], exported: Exported
):
    measurement = measurements["fp32"]
    right = exported.probabilities.argmax(axis=1) == exported.labels
    lane_2 = measurement.groups["lane"]["lane-02"]

    assert measurement.agreement == 1.0 and all(each.finite for each in measurements.values())
    assert measurement.accuracy == measurement.reference_accuracy == pytest.approx(right.mean())
    assert (lane_2.support, lane_2.accuracy) == (67, pytest.approx(right[1::3].mean()))
    assert list(measurement.groups["label"]) == ["damaged", "misplaced", "ok"]
    assert sum(group.support for group in measurement.groups["label"].values()) == measurement.examples == 200


def test_differences_grow_with_coarser_weights(measurements: dict[str, Measurement]):
    assert measurements["fp32"].max_difference < measurements["fp16"].max_difference
    assert measurements["fp16"].max_difference < measurements["int8"].max_difference < 0.1


def test_two_threads_cold_start_and_memory_are_measured_apart_on_a_machine_that_is_named(
    measurements: dict[str, Measurement],
):
    for measurement in measurements.values():
        assert decode(encode(measurement), Measurement) == measurement
        assert measurement.machine.cpu and " " in measurement.machine.runtime
        one, two = measurement.latency, measurement.two_threads
        assert one.p50_ms > 0 and one.runs >= 50
        assert two is not None and two.p90_ms is not None and one.p90_ms is not None
        assert one.p50_ms <= one.p90_ms <= one.p99_ms and two.p50_ms <= two.p90_ms <= two.p99_ms
        # The first answer costs loading besides; LiteRT's arena and the file itself are a few MB.
        assert measurement.cold_start_ms > one.p50_ms
        assert 0 < measurement.peak_memory_bytes < 100e6
        assert {"p90", "p99", "p50_two_threads", "cold_start"} <= set(measurement.timings)


def test_time_that_a_file_waits_for_a_processor_is_none_of_its_own_and_is_named_load(
    exported: Exported, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    class Waiting(EdgeModel):
        def predict(self, inputs):
            time.sleep(0.05)
            return super().predict(inputs)

    monkeypatch.setattr("edgeline.edge.measure.EdgeModel", Waiting)
    monkeypatch.setattr("edgeline.edge.measure.RUNS", 5)
    speed = measure_speed(files["fp32"], exported.images, [], {})
    assert speed.latency.p99_ms < 50 and speed.two_threads.p99_ms < 50 and speed.under_load


def test_saturation_is_that_of_quantised_tensors(measurements: dict[str, Measurement], exported: Exported):
    assert measurements["fp32"].input_saturation is measurements["dynamic"].output_saturation is None
    # The input's scale is 1 from -128: black and white pixels are at its ends, up to rounding.
    ends = np.isin(exported.images, [0, 255]).mean()
    assert measurements["int8"].input_saturation == pytest.approx(ends, abs=0.02) and ends > 0
    assert 0 < measurements["int8"].output_saturation < 1


def test_decoding_and_resizing_are_timed_apart(exported: Exported, files: dict[str, Path]):
    examples = exported.images[:4], exported.labels[:4], exported.probabilities[:4], {}
    measurement, _ = measure(files["fp32"], *examples, [jpeg(3000, 2000)] * 3, contract())
    times = measurement.preparation_ms
    # Six megapixels are decoded, of which the resizing reads some.
    assert set(times) == {"decode", "resize"} and times["decode"] > max(1, times["resize"]) > 0
    assert measure(files["fp32"], *examples)[0].preparation_ms == {}


@pytest.mark.parametrize(
    ("inputs", "ending"),
    [
        # The memory there decides whether the process is ended or has an error, such as MemoryError.
        ([-1, -1], r"(was ended by SIG|ended with exit code 1: \w)"),
        ([], r"ended with exit code 1: .* cannot load model_fp32\.tflite"),
    ],
    ids=["absent", "none"],
)
def test_a_file_that_ends_its_process_is_named_before_it_ends_ours(
    inputs: list[int], ending: str, files: dict[str, Path], tmp_path: Path
):
    """An operation without its tensors is valid by the schema; LiteRT refuses none, and reads absent ones."""
    model = ModelT.InitFromPackedBuf(files["fp32"].read_bytes())
    multiply = next(each for each in model.subgraphs[0].operators if len(each.inputs) == 2)
    multiply.inputs = inputs
    builder = Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    broken = tmp_path / "model_fp32.tflite"
    broken.write_bytes(builder.Output())
    inspect(broken)

    with pytest.raises(EdgelineError, match=rf"A process that ran model_fp32\.tflite once {ending}"):
        first_run.measure_first(broken)


def test_a_file_that_answers_nan_is_not_taken_for_a_wrong_one(exported: Exported, tmp_path: Path):
    assert convert_here(exported, "serve_nan", ["fp32"], tmp_path) == {"fp32": None}

    measurement = measure_file(exported, tmp_path / "model_fp32.tflite")

    assert not measurement.finite
    assert measurement.max_difference is None


def test_a_file_of_a_wrong_model_agrees_on_nothing(exported: Exported, files: dict[str, Path]):
    rolled = replace(exported, probabilities=np.roll(exported.probabilities, 1, axis=1))

    assert measure_file(rolled, files["fp16"]).agreement == 0.0


def test_a_damaged_file_is_refused_before_an_interpreter_sees_it(
    exported: Exported, files: dict[str, Path], tmp_path: Path
):
    cut = tmp_path / "model_fp32.tflite"
    cut.write_bytes(files["fp32"].read_bytes()[:-200])

    with pytest.raises(EdgelineError, match="damaged"):
        measure_file(exported, cut)
