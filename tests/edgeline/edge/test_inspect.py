import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgeline.edge.inspect import TensorContract, find_problems, find_runtime_problems, inspect
from edgeline.errors import EdgelineError

pytestmark = pytest.mark.e2e


def test_an_int8_file_of_photos_takes_levels_as_they_are(files: dict[str, Path]):
    report = inspect(files["int8"])

    # Softmax has the fixed scale 1/256: https://ai.google.dev/edge/litert/models/quantization_spec
    assert report.inputs == (TensorContract("image", (1, 32, 32, 1), "uint8", 1.0, 0),)
    assert report.outputs == (TensorContract("probabilities", (1, 3), "uint8", 1 / 256, 0),)
    assert not any(dtype.startswith("float") for dtype in report.tensor_dtypes)
    rounded = replace(report, inputs=(replace(report.inputs[0], scale=0.98),))
    (problem,) = find_problems(rounded, "int8")
    assert problem == "The input image rounds the levels of a photo: its scale is 0.98, not 1."


def test_the_report_counts_operations_and_weights(files: dict[str, Path]):
    report = inspect(files["fp32"])

    assert report.ops["CONV_2D"] == 2 and report.ops["SOFTMAX"] == 1
    assert report.op_versions.keys() == report.ops.keys() and report.least_runtime == "2.3"
    assert report.custom_ops == report.flex_ops == ()
    assert sum(report.weight_dtypes.values()) == pytest.approx(1.0)


def test_a_file_that_the_oldest_runtime_cannot_run_is_a_problem(files: dict[str, Path]):
    report = inspect(files["fp32"])
    newer = replace(report, op_versions={**report.op_versions, "FULLY_CONNECTED": 12}, least_runtime="2.17")

    assert find_runtime_problems(report, "2.14") == find_runtime_problems(newer, None) == []
    assert find_runtime_problems(newer, "2.14") == [
        "The file has FULLY_CONNECTED version 12, which needs TFLite 2.17; edge.oldest_runtime is 2.14."
    ]


def test_each_mixing_up_of_variants_is_caught(files: dict[str, Path]):
    for variant, name in (("fp32", "fp16"), ("fp16", "fp32"), ("fp32", "dynamic"), ("int8", "fp32")):
        assert find_problems(inspect(files[variant]), name)
    for variant in ("fp32", "fp16", "dynamic"):
        text = " ".join(find_problems(inspect(files[variant]), "int8"))
        assert "not fully int8" in text
        assert "output probabilities is float32 instead of int8" in text


def test_an_open_batch_and_foreign_operations_are_problems(files: dict[str, Path]):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="image")])
    def with_flex(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.math.atan(image @ tf.ones([4, 3]))}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([with_flex.get_concrete_function()])
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    file = files["fp32"].with_name("flex.tflite")
    file.write_bytes(converter.convert())
    report = inspect(file)
    text = " ".join(find_problems(report, "fp32"))

    assert report.flex_ops == ("FlexAtan",)
    assert "Flex delegate for FlexAtan" in text
    assert "input image has the open shape [-1, 4]" in text
    assert "custom" in " ".join(find_problems(replace(report, custom_ops=("Mine",)), "fp32"))


@pytest.mark.parametrize("damage", ["empty", "text", "cut in half", "cut at the end", "header overwritten"])
def test_a_damaged_file_is_refused_by_name(damage: str, files: dict[str, Path], tmp_path: Path):
    whole = files["int8"].read_bytes()
    damaged = tmp_path / "model_int8.tflite"
    damaged.write_bytes(
        {
            "empty": b"",
            "text": b"<html>not found</html>",
            "cut in half": whole[: len(whole) // 2],
            "cut at the end": whole[:-100],
            "header overwritten": whole[:8] + bytes(64) + whole[72:],
        }[damage]
    )

    with pytest.raises(EdgelineError, match=r"model_int8\.tflite.*(not a TFLite file|damaged)"):
        inspect(damaged)


def test_inspecting_does_not_import_tensorflow(files: dict[str, Path]):
    code = (
        "import sys; from pathlib import Path; from edgeline.edge.inspect import inspect;"
        f"inspect(Path({str(files['fp16'])!r})); sys.exit('tensorflow' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0
