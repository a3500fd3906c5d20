import subprocess
import sys

import pytest

from components.light_tfx import import_light_tfx
from tests.docstrings import ROOT

pytestmark = pytest.mark.e2e


def test_a_dag_is_described_without_tensorflow_and_what_was_left_out_can_be_imported_later():
    """Runs in a process of its own, as this one has TensorFlow; the steps are found in the cache, too."""
    code = (
        "import sys; from components.light_tfx import import_light_tfx; import_light_tfx(); "
        "from tests.pipeline.test_dag import compiled, dag; "
        "from tfx.utils.import_utils import import_class_by_path; "
        "from runners.local.step_runner import StepRunner; "
        "specs = [s.get('pythonExecutorSpec', s) for s in compiled(dag())[1].values()]; "
        "[import_class_by_path(spec['classPath']) for spec in specs]; "
        "print(len(specs), 'tensorflow' in sys.modules, 'IPython' in sys.modules); "
        "from tfx.dsl.io import fileio; print(fileio._get_filesystem('/tmp').__name__); "
        "from tfx.components.example_gen import utils; import tfx.components.transform.executor; "
        "import google.cloud.bigquery; import tensorflow as tf; "
        "print(bool(utils.SPAN_SPEC), tf.constant(3).numpy()); "
        "from components.light_tfx import complete_tfx; complete_tfx(); import tfx.components; "
        "print(fileio._get_filesystem('/tmp').__name__, tfx.components.Pusher.__name__)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    described, imported = ["16", "False", "False", "LocalFilesystem"], ["True", "3"]
    assert run.stdout.split() == [*described, *imported, "TensorflowFilesystem", "Pusher"]


def test_a_module_that_imports_all_of_tfx_before_has_all_of_it():
    from tfx import v1 as tfx

    components = sys.modules["tfx.components"]
    import_light_tfx()
    assert sys.modules["tfx.components"] is components and tfx.components.Pusher.__name__ == "Pusher"
