from pathlib import Path

import numpy as np
import pytest

from edgeline.edge.inspect import find_problems, find_runtime_problems, inspect
from edgeline.edge.interpreter import EdgeModel
from edgeline.edge.variants import VARIANTS
from edgeline.records.edge import Conversion
from tests.edgeline.edge.conftest import Exported, convert_here
from tests.trainer_module.samples import save_model
from trainer_module.export.convert import convert

pytestmark = pytest.mark.e2e

# Measured on this model: fp32 3e-7 (another order of summation), fp16 1e-3 (11 bits of mantissa), dynamic and
# int8 0.03 (steps of 1/127 of each layer's range). The bounds leave a factor of three or more for other CPUs.
_TOLERANCE = {"fp32": 1e-5, "fp16": 5e-3, "dynamic": 0.1, "int8": 0.1}


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_predicts_what_the_saved_model_predicts(
    variant: str, exported: Exported, files: dict[str, Path]
):
    probabilities = EdgeModel(files[variant]).predict(exported.images)

    np.testing.assert_allclose(probabilities, exported.probabilities, rtol=0, atol=_TOLERANCE[variant])


@pytest.mark.parametrize("variant", VARIANTS)
def test_assertions_of_the_signature_leave_no_operation_behind(variant: str, files: dict[str, Path]):
    report = inspect(files[variant])

    assert find_problems(report, variant) == []
    assert not {"ASSERT_OP", "IF", "WHILE"} & set(report.ops)
    assert report.inputs[0].name == "image" and report.inputs[0].shape == (1, 32, 32, 1)
    assert report.outputs[0].name == "probabilities" and report.outputs[0].shape == (1, 3)


def test_a_heavy_tail_of_the_calibration_examples_leaves_int8_its_steps(exported: Exported, tmp_path: Path):
    calibration = exported.images.astype(np.float32)
    calibration[0, 0, 0] = 255 * 100  # a hundred times the others

    convert_here(exported, "serve_image", ["int8"], tmp_path, calibration)
    probabilities = EdgeModel(tmp_path / "model_int8.tflite").predict(exported.images.astype(np.float32))

    np.testing.assert_allclose(probabilities, exported.probabilities, rtol=0, atol=_TOLERANCE["int8"])


def test_a_dynamic_file_for_an_old_runtime_needs_no_newer_one(tmp_path: Path):
    """TensorFlow 2.21 otherwise quantises each output of a dense layer alone, which needs TFLite 2.17."""
    import keras

    keras.utils.set_random_seed(20)
    image = keras.Input((8, 8, 1), name="image")
    hidden = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(hidden))
    saved = save_model(model, "serve_image", tmp_path / "saved")
    images = np.random.default_rng(1).random((50, 8, 8, 1), np.float32)
    exported = Exported(saved, images, np.zeros(50, int), model(images).numpy())

    convert_here(exported, "serve_image", ["dynamic"], tmp_path, oldest_runtime="2.14")
    file = tmp_path / VARIANTS["dynamic"].file_name

    assert find_runtime_problems(inspect(file), "2.14") == find_problems(inspect(file), "dynamic") == []
    probabilities = EdgeModel(file).predict(images)
    np.testing.assert_allclose(probabilities, exported.probabilities, rtol=0, atol=_TOLERANCE["dynamic"])


def test_a_killed_worker_costs_one_variant_and_another_makes_the_rest(conversions: dict[str, Conversion]):
    killed, *rest = conversions.values()

    assert (killed.variant, killed.file) == ("fp32", None)
    assert killed.error is not None and "SIGKILL while converting fp32" in killed.error
    assert [conversion.variant for conversion in rest] == ["fp16", "dynamic", "int8"]
    for conversion in rest:
        assert conversion.error is None and conversion.file is not None
        assert conversion.file == VARIANTS[conversion.variant].file_name


def test_an_exception_in_one_variant_does_not_stop_the_next(exported: Exported, tmp_path: Path):
    calibration = np.zeros((4, 16, 16, 1), np.uint8)
    errors = convert_here(exported, "serve_image", ["int8", "fp16"], tmp_path, calibration)

    assert "[16, 16, 1]" in str(errors["int8"]) and "[32, 32, 1]" in str(errors["int8"])
    assert errors["fp16"] is None
    assert [file.name for file in tmp_path.glob("*.tflite*")] == ["model_fp16.tflite"]


def test_a_variant_that_takes_too_long_says_so_and_leaves_nothing(exported: Exported, tmp_path: Path):
    (tmp_path / "model_fp32.tflite").write_bytes(b"of an earlier run")
    (tmp_path / "model_fp32.tflite.part").write_bytes(b"half")

    (conversion,) = convert(exported.folder, "serve_image", ["fp32"], exported.images, tmp_path, timeout=0.2)

    assert conversion.file is None and conversion.error is not None and "took more than" in conversion.error
    assert list(tmp_path.iterdir()) == []


def test_an_operation_that_phones_do_not_have_is_named(exported: Exported, tmp_path: Path):
    errors = convert_here(exported, "serve_arctan", ["fp16"], tmp_path)

    assert "Atan" in str(errors["fp16"])
    assert not list(tmp_path.glob("*.tflite*"))


def test_an_operation_left_in_float_by_the_converter_is_found_in_the_file(exported: Exported, tmp_path: Path):
    assert convert_here(exported, "serve_sine", ["int8"], tmp_path) == {"int8": None}

    text = " ".join(find_problems(inspect(tmp_path / "model_int8.tflite"), "int8"))

    assert "not fully int8" in text
