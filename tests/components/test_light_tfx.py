"""What is imported where, in processes of their own: this one has TensorFlow."""

import subprocess
import sys
from pathlib import Path

import pytest

# Each process imports all of TFX.
pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
LIGHT = "import sys; from components.light_tfx import import_light_tfx; import_light_tfx(); "


def prints(code):
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return ended.stdout.split()


def test_a_dag_is_described_without_tensorflow_and_an_executor_of_tfx_then_has_all_of_it():
    """Its steps are also found in the cache without it."""
    code = (
        "from tests.pipeline.test_dag import compiled, dag; "
        "from tfx.utils.import_utils import import_class_by_path as found; "
        "from runners.local.step_runner import StepRunner; "
        "specs = [s.get('pythonExecutorSpec', s) for s in compiled(dag())[1].values()]; "
        "[found(spec['classPath']) for spec in specs]; "
        "print(len(specs), 'tensorflow' in sys.modules, 'IPython' in sys.modules); "
        "from tfx.dsl.io import fileio; from components.light_tfx import complete_tfx; "
        "before = fileio._get_filesystem('/tmp').__name__; complete_tfx(); import tfx.components; "
        "print(before, fileio._get_filesystem('/tmp').__name__, tfx.components.Pusher.__name__)"
    )
    described, completed = ["16", "False", "False"], ["LocalFilesystem", "TensorflowFilesystem", "Pusher"]
    assert prints(LIGHT + code) == described + completed


def test_what_was_left_out_and_what_something_stood_in_for_can_be_imported_later():
    code = (
        "from tfx.components.example_gen import utils; import tfx.components.transform.executor; "
        "import google.cloud.bigquery; import tensorflow as tf; "
        "print(bool(utils.SPAN_SPEC), tf.constant(3).numpy())"
    )
    assert prints(LIGHT + code) == ["True", "3"]


def test_a_module_that_imports_all_of_tfx_before_has_all_of_it():
    used = "print(3 if tfx.components.Pusher.__name__ == 'Pusher' else 0)"
    assert prints(f"from tfx import v1 as tfx; {LIGHT} {used}") == ["3"]
