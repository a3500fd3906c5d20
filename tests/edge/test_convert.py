import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge import conversion_worker
from edge.convert import Conversion, convert
from edge.inspect import inspect, problems
from edge.runtime import EdgeModel
from edge.variants import VARIANTS
from errors import EdgelineError, UsageError
from tests.edge.conftest import Exported

# Measured on this model: fp32 3e-7 (another order of summation), fp16 1e-3 (11 bits of mantissa), dynamic and
# int8 0.03 (steps of 1/127 of each layer's range). The bounds leave a factor of three or more for other CPUs.
_TOLERANCE = {"fp32": 1e-5, "fp16": 5e-3, "dynamic": 0.1, "int8": 0.1}


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_says_what_the_saved_model_says(
    variant: str, exported: Exported, files: dict[str, Path]
):
    probabilities = EdgeModel(files[variant]).predict(exported.images)

    np.testing.assert_allclose(probabilities, exported.probabilities, rtol=0, atol=_TOLERANCE[variant])


@pytest.mark.parametrize("variant", VARIANTS)
def test_assertions_of_the_signature_leave_no_operation_behind(variant: str, files: dict[str, Path]):
    report = inspect(files[variant])

    assert problems(report, variant) == []
    assert not {"ASSERT_OP", "IF", "WHILE"} & set(report.ops)
    assert report.inputs[0].name == "image" and report.inputs[0].shape == (1, 32, 32, 1)
    assert report.outputs[0].name == "probabilities" and report.outputs[0].shape == (1, 3)


def test_quantising_makes_files_smaller(files: dict[str, Path]):
    sizes = {variant: file.stat().st_size for variant, file in files.items()}

    assert max(sizes["fp16"], sizes["dynamic"], sizes["int8"]) < sizes["fp32"]


def test_a_killed_worker_and_a_failing_variant_do_not_stop_the_others(exported: Exported, tmp_path: Path):
    output = tmp_path / "edge"
    photos_of_another_size = np.zeros((4, 16, 16, 1), np.uint8)
    made: list[Conversion] = []
    run = threading.Thread(
        target=lambda: made.extend(
            convert(exported.folder, "serve_image", ["fp32", "int8", "fp16"], photos_of_another_size, output)
        )
    )
    run.start()
    os.kill(_worker_writing_to(output), signal.SIGKILL)
    run.join()

    killed, wrong, good = made
    assert killed.variant == "fp32" and killed.file is None
    assert killed.error is not None and "SIGKILL" in killed.error
    assert wrong.variant == "int8" and wrong.file is None
    assert wrong.error is not None and "[16, 16, 1]" in wrong.error and "[32, 32, 1]" in wrong.error
    assert good == Conversion("fp16", output / "model_fp16.tflite", good.seconds, None)
    assert [file.name for file in output.iterdir()] == ["model_fp16.tflite"]


def _worker_writing_to(output: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments = process.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"edge.conversion_worker" in arguments and str(output).encode() in arguments:
                return int(process.parent.name)
    raise AssertionError("no worker was started")


def test_a_variant_that_takes_too_long_says_so(exported: Exported, tmp_path: Path):
    (made,) = convert(exported.folder, "serve_image", ["fp32"], exported.images, tmp_path, timeout=0.2)

    assert made.file is None and made.error is not None and "took more than" in made.error


def _convert_here(exported: Exported, signature: str, variant: str, output: Path) -> dict[str, object]:
    """Runs the worker in this process, which saves the seconds of loading TensorFlow once more."""
    np.save(output / "calibration.npy", exported.images)
    options = {"--calibration": "calibration.npy", "--output": "", "--journal": "journal"}
    paths = [part for option, name in options.items() for part in (option, str(output / name))]
    conversion_worker.main([str(exported.folder), signature, variant, *paths])
    return json.loads((output / "journal").read_text())


def test_an_operation_that_phones_do_not_have_is_named(exported: Exported, tmp_path: Path):
    entry = _convert_here(exported, "serve_arctan", "fp16", tmp_path)

    assert "Atan" in str(entry["error"])
    assert not list(tmp_path.glob("*.tflite*"))


def test_an_operation_left_in_float_by_the_converter_is_found_in_the_file(exported: Exported, tmp_path: Path):
    entry = _convert_here(exported, "serve_sine", "int8", tmp_path)

    found = " ".join(problems(inspect(tmp_path / "model_int8.tflite"), "int8"))
    assert entry["error"] is None
    assert "not really int8" in found


def test_a_missing_signature_names_those_that_are_there(exported: Exported, tmp_path: Path):
    assert "serve_image" in str(_convert_here(exported, "serve", "fp32", tmp_path)["error"])


def test_nothing_starts_without_a_model_photos_or_known_variants(exported: Exported, tmp_path: Path):
    with pytest.raises(EdgelineError, match="no SavedModel"):
        convert(tmp_path, "serve_image", ["fp32"], exported.images, tmp_path)
    with pytest.raises(EdgelineError, match="calibration"):
        convert(exported.folder, "serve_image", ["int8"], exported.images[:0], tmp_path)
    with pytest.raises(UsageError):
        convert(exported.folder, "serve_image", ["int4"], exported.images, tmp_path)
