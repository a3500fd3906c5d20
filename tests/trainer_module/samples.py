"""Samples for the trainer's tests: rendered JPEGs, examples, records, and the arguments of a run."""

import io
import json
import signal
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from pipeline.workloads import find_workload, with_features
from tests.docstrings import ROOT
from tests.examples import serialize
from tests.warm import WarmRun
from trainer_module.settings import LearningSettings, ModelSettings, TrainerSettings

SHELF = with_features(find_workload("shelf"))
LABELS = ["ok", "misplaced", "damaged"]
SIZE = 32
TRAIN_EXAMPLES, EVAL_EXAMPLES = 96, 37


def render(label: str, seed: int) -> bytes:
    """Renders a JPEG whose bright part depends on the label: the left, the top or the middle."""
    pixels = np.random.default_rng(seed).integers(0, 60, (48, 48), np.uint8)
    bright = {"ok": np.s_[:, :24], "misplaced": np.s_[:24], "damaged": np.s_[12:36, 12:36]}[label]
    pixels[bright] += 150
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def assert_same(ours: Any, theirs: Any) -> None:
    """Asserts that arrays, or tuples of arrays, are equal."""
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, tuple):
            assert_same(one, other)
        else:
            np.testing.assert_array_equal(one, other)


def drop_times(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the logs of epochs without the values that depend on the clock."""
    return [{name: logs[name] for name in logs if name not in ("input_wait", "seconds")} for logs in history]


@contextmanager
def die_after(epochs: int, steps: int = 0) -> Iterator[None]:
    """Interrupts the training in this block once it saved `epochs` epochs and `steps` steps of the next."""
    from trainer_module.training import checkpoint

    save = checkpoint.save

    def save_and_die(state: checkpoint.Checkpoint, folder: Path) -> None:
        save(state, folder)
        if (len(state.history), state.tally.steps) == (epochs, steps):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), mock.patch.object(checkpoint, "save", save_and_die):
        yield


def save_model(model: Any, signature: str, folder: Path, outputs: Sequence[str] = ("probabilities",)) -> Path:
    """Writes a SavedModel of a Keras model with one signature, and returns its folder."""
    import keras
    import tensorflow as tf

    (tensor,) = model.inputs
    spec = tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name)

    @tf.function(input_signature=[spec], autograph=False)
    def serve(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(outputs, tf.nest.flatten(model(inputs, training=False)), strict=True))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(signature, serve)
    archive.write_out(str(folder), verbose=False)
    return folder


def example(photo: bytes, label: str | None) -> bytes:
    return serialize({"photo": photo, "lane_id": "lane-01"} | ({} if label is None else {"label": label}))


def run_arguments(
    files: dict[str, str], transform_output: str, folder: Path, **changes: object
) -> types.SimpleNamespace:
    """Returns the arguments that TFX passes to run_fn; all output is written below `folder`."""
    trainer = {"epochs": 5, "batch_size": 8, "class_weights": {"damaged": 2.0}, "flip": False, **changes}
    return types.SimpleNamespace(
        custom_config={
            "workload": SHELF.to_json(),
            "settings": LearningSettings(
                seed=20, model=ModelSettings(image_size=SIZE), trainer=TrainerSettings.model_validate(trainer)
            ).model_dump_json(),
            "code": "c" * 64,
            "checkpoints": str(folder / "checkpoints"),
        },
        train_files=[files["train"]],
        eval_files=[files["eval"]],
        transform_output=transform_output,
        transform_graph_path=transform_output,
        hyperparameters=None,
        serving_model_dir=str(folder / "Format-Serving"),
        model_run_dir=str(folder / "run"),
    )


# The process kills itself in the epoch after the given one; in a search, of the given trial.
_DIE = """
import json, logging, os, signal, sys, threading, types

class DieSoon(logging.Handler):
    trials = 0

    def emit(self, record):
        event = getattr(record, "event", None)
        self.trials += "=" in getattr(event, "text", "")
        if [getattr(event, "epoch", 0), self.trials] == json.loads(sys.argv[2]):
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGKILL)).start()

logger = logging.getLogger("edgeline.progress")
logger.setLevel(logging.INFO)
logger.addHandler(DieSoon())
arguments = types.SimpleNamespace(**json.loads(sys.argv[1]))
"""


def run_and_die(code: str, arguments: types.SimpleNamespace, epoch: int, trial: int = 0) -> None:
    """Runs code that reads `arguments` in a process that kills itself."""
    words, log = [json.dumps(vars(arguments)), json.dumps([epoch, trial])], f"{arguments.model_run_dir}.log"
    exit_code = WarmRun([_DIE + code, *words], ROOT, stderr=log, job="python").wait(300)
    assert exit_code == -signal.SIGKILL, Path(log).read_text()


# Two replicas on one CPU; TensorFlow accepts their number only before any other call.
_TWO_REPLICAS = """
import json, sys, types
import tensorflow as tf

two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
from edgeline.errors import EdgelineError
from trainer_module.networks import backbones
from trainer_module import run_fn
backbones.DROPOUT = 0.0
for arguments in json.loads(sys.argv[1]):
    try:
        run_fn.run_fn(types.SimpleNamespace(**arguments))
    except EdgelineError as error:
        print(error)
"""
# At the learning rate of the other tests, a difference of 1e-7 in the first step grows to 4 % of the loss of
# the second epoch; at 0.0003 it is 1e-3 of the loss of the fourth, at this rate about 1e-5.
CALM = {"learning_rate": 0.0001, "flip": True, "epochs": 3}
# The settings of each training with two devices.
_TRAININGS = {
    "one_device": {"strategy": "one_device", **CALM},
    "mirrored": {"strategy": "mirrored", "batch_size": 4, **CALM},
    "xla": {"strategy": "mirrored", "jit_compile": True},
}


@dataclass(frozen=True)
class Replicas:
    """Trainings with two devices, each in a folder of its own, and the error of the one that is refused."""

    folder: Path
    error: str


def train_on_two_devices(files: dict[str, str], transform_output: str, folder: Path) -> Replicas:
    """Runs each of these trainings, all in one process."""
    arguments = [
        vars(run_arguments(files, transform_output, folder / name, **changes))
        for name, changes in _TRAININGS.items()
    ]
    output, log = folder / "output", folder / "log"
    code = WarmRun([_TWO_REPLICAS, json.dumps(arguments)], ROOT, output, log, job="python").wait()
    assert code == 0, log.read_text()
    return Replicas(folder, output.read_text())
