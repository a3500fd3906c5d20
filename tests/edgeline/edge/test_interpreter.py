import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeline.edge import interpreter
from edgeline.edge.interpreter import EdgeModel, preprocess, silence_stderr
from edgeline.errors import EdgelineError
from tests.edgeline.edge.contracts.test_image import contract, jpeg


def test_a_contract_names_its_kind_and_an_older_one_is_of_an_image():
    photo, older = jpeg(64, 64), contract()
    del older["kind"]
    assert preprocess(photo, contract()).shape == (1, 128, 128, 1)
    np.testing.assert_array_equal(preprocess(photo, older), preprocess(photo, contract()))


def test_a_contract_of_an_unknown_kind_is_refused():
    with pytest.raises(EdgelineError, match=r"kind is '\.\./sound', not one of image"):
        preprocess(b"", contract(kind="../sound"))


@pytest.mark.parametrize(("kind", "content"), [("image", None), ("tokens", float("nan"))])
def test_an_example_of_another_kind_is_refused(kind: str, content: Any):
    with pytest.raises(EdgelineError, match=f"An example is {content!r}, not "):
        preprocess(content, {"kind": kind})


@pytest.mark.e2e
def test_white_and_black_do_not_wrap_around_in_int8(files: dict[str, Path]):
    extremes = np.stack([np.full((32, 32, 1), level, np.uint8) for level in (0, 255)])

    difference = EdgeModel(files["int8"]).predict(extremes) - EdgeModel(files["fp32"]).predict(extremes)

    assert np.abs(difference).max() < 0.1  # a cast that wraps turns white into black, or black into white


@pytest.mark.parametrize(
    "inputs",
    [
        np.zeros((1, 16, 16, 1), np.uint8),
        np.zeros((32, 32, 1), np.uint8),
        np.zeros((), np.float32),
        np.full((1, 32, 32, 1), "0"),
    ],
)
@pytest.mark.e2e
def test_inputs_of_another_shape_or_without_numbers_are_refused(inputs: Any, files: dict[str, Path]):
    with pytest.raises(EdgelineError, match=r"numbers \['n', 32, 32, 1\]"):
        EdgeModel(files["fp32"]).predict(inputs)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path):
    with pytest.raises(EdgelineError, match=r"model_fp16\.tflite does not exist"):
        EdgeModel(tmp_path / "model_fp16.tflite")
    (tmp_path / "model_fp16.tflite").write_bytes(b"<html>not found</html>")
    with pytest.raises(EdgelineError, match=r"cannot load model_fp16\.tflite"):
        EdgeModel(tmp_path / "model_fp16.tflite")


def test_a_file_with_two_inputs_is_refused(tmp_path: Path):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 3))] * 2)
    def add(one: Any, other: Any) -> Any:
        return one + other

    file = tmp_path / "model_fp32.tflite"
    file.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([add.get_concrete_function()]).convert())
    with pytest.raises(EdgelineError, match=r"model_fp32\.tflite has 2 inputs and 1 output of shapes"):
        EdgeModel(file)


class SlowInterpreter:
    """A slow interpreter, which answers with its last input."""

    def get_input_details(self):
        return [{"index": 0, "shape": np.array([1, 1]), "dtype": np.float32}]

    def get_output_details(self):
        return [{"index": 1, "shape": np.array([1, 2])}]

    def set_tensor(self, _, values):
        self.values = values

    def invoke(self):
        time.sleep(0.01)

    def get_tensor(self, _):
        return np.repeat(self.values, 2, axis=1)


def test_threads_that_share_a_model_get_each_its_own_answer(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(interpreter, "load_interpreter", lambda *_: SlowInterpreter())
    (tmp_path / "model.tflite").touch()
    model = EdgeModel(tmp_path / "model.tflite")
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda number: model.predict(np.full((1, 1), number))[0, 0], range(20))
    assert list(answers) == list(range(20))


def test_two_threads_that_silence_the_standard_error_give_it_back():
    before, is_silent, go = os.fstat(2), threading.Event(), threading.Event()

    def silence():
        with silence_stderr():
            is_silent.set()
            go.wait()

    thread = threading.Thread(target=silence)
    with silence_stderr():
        thread.start()
        is_silent.wait(0.2)
    go.set()
    thread.join()
    assert os.path.samestat(os.fstat(2), before)


@pytest.mark.parametrize("close", ["", "import sys; sys.stderr = None; "])
def test_a_process_without_a_standard_error_can_silence_it(close: str):
    script = (
        f"{close}from edgeline.edge.interpreter import silence_stderr\nwith silence_stderr(): print('ok')"
    )
    command = f'"$0" -c "$1"{"" if close else " 2>&-"}'
    process = subprocess.run(["sh", "-c", command, sys.executable, script], stdout=subprocess.PIPE)
    assert process.returncode == 0 and process.stdout == b"ok\n"
