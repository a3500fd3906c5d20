import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.trainer_module.samples import EVAL_EXAMPLES, run_arguments
from trainer_module import run

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]

# Runs run_fn, and dies without a word in the epoch after the one that is named.
RUN_AND_DIE = """
import json, logging, os, signal, sys, threading, types

class DieSoon(logging.Handler):
    def emit(self, record):
        if getattr(record, "progress", {}).get("epoch") == int(sys.argv[2]):
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGKILL)).start()

logger = logging.getLogger("edgeline.progress")
logger.setLevel(logging.INFO)
logger.addHandler(DieSoon())
from trainer_module import run
run.run_fn(types.SimpleNamespace(**json.loads(sys.argv[1])))
"""


def weights(folder: Path) -> list[np.ndarray]:
    return [variable.numpy() for variable in tf.saved_model.load(str(folder / "Format-Serving")).variables]


def history(folder: Path) -> list[dict]:
    epochs = [json.loads(line) for line in (folder / "run" / "history.jsonl").read_text().splitlines()]
    return [{name: epoch[name] for name in epoch if name != "input_wait"} for epoch in epochs]


def test_the_model_has_learned_what_was_there_to_learn(trained):
    epochs = history(trained)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4, 5]
    assert epochs[-1]["loss"] < epochs[0]["loss"] / 2
    assert max(epoch["val_accuracy"] for epoch in epochs) > 0.9, epochs


def test_what_was_done_is_written_down(trained):
    training = json.loads((trained / "run" / "training.json").read_text())
    epochs = history(trained)
    best = min(epochs, key=lambda epoch: epoch["val_loss"])["epoch"]
    assert training["best_epoch"] == best
    assert training["global_batch_size"] == 8 * len(training["devices"])
    assert training["resumed_from_epoch"] is None
    assert training["seconds"] > 0
    assert training["examples_per_second"] > 0
    assert training["parameters"] > 0


def test_tensorboard_shows_the_epochs_and_the_confusion_of_each(trained):
    board = EventAccumulator(str(trained / "run" / "tensorboard" / "eval"), {"scalars": 0, "tensors": 0})
    board.Reload()
    shown = [point.value for point in board.Scalars("loss")]
    assert shown == pytest.approx([epoch["val_loss"] for epoch in history(trained)], rel=1e-6)
    assert len(board.Tensors("confusion")) == 5
    steps = EventAccumulator(str(trained / "run" / "tensorboard" / "steps"))
    steps.Reload()
    assert {"steps/loss", "steps/input_wait", "steps/learning_rate"} <= set(steps.Tags()["scalars"])


def test_nothing_is_left_of_the_checkpoints(trained):
    assert list((trained / "checkpoints").iterdir()) == []


def test_the_saved_model_is_the_best_epochs(trained, served, examples):
    features = served.signatures["transform_features"](examples=tf.constant(examples["eval"]))
    answer = served.signatures["serving_default"](examples=tf.constant(examples["eval"]))
    probabilities = answer["probabilities"].numpy()
    loss = -np.log(probabilities[np.arange(EVAL_EXAMPLES), features["label"].numpy()]).mean()
    assert loss == pytest.approx(min(epoch["val_loss"] for epoch in history(trained)), abs=1e-4)


@pytest.mark.e2e
def test_a_run_killed_in_mid_epoch_goes_on_to_the_weights_of_an_unbroken_one(
    trained, files, transform_output, tmp_path
):
    """`trained` ran with the same seed in another process, so this also proves that a seed decides all."""
    arguments = run_arguments(files, transform_output, tmp_path)
    killed = subprocess.run(
        [sys.executable, "-c", RUN_AND_DIE, json.dumps(vars(arguments)), "2"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=300,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "Format-Serving").exists()

    run.run_fn(arguments)
    training = json.loads((tmp_path / "run" / "training.json").read_text())
    assert 2 <= training["resumed_from_epoch"] < 5
    assert history(tmp_path) == history(trained)
    for ours, theirs in zip(weights(tmp_path), weights(trained), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert list((tmp_path / "checkpoints").iterdir()) == []


# Two replicas on one CPU; TensorFlow takes their number only before anything else is done.
TWO_REPLICAS = """
import json, sys, types
import tensorflow as tf

two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
from trainer_module import backbones, run
backbones.DROPOUT = float(sys.argv[2])
run.run_fn(types.SimpleNamespace(**json.loads(sys.argv[1])))
"""


def run_on_two_devices(arguments, dropout: float) -> None:
    command = [sys.executable, "-c", TWO_REPLICAS, json.dumps(vars(arguments)), str(dropout)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)


def test_two_replicas_learn_what_one_device_does_of_the_same_batches(files, transform_output, tmp_path):
    """But for dropout, of which each replica has the same numbers for other examples.

    Sums of float32 in another order differ by 1e-7, and by 2e-6 after the 60 steps here.
    """
    for strategy, batch_size in (("one_device", 8), ("mirrored", 4)):
        changes = {"strategy": strategy, "batch_size": batch_size, "flip": True}
        run_on_two_devices(run_arguments(files, transform_output, tmp_path / strategy, **changes), 0.0)
    for ours, theirs in zip(history(tmp_path / "mirrored"), history(tmp_path / "one_device"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


def test_xla_of_several_replicas_is_refused(files, transform_output, tmp_path):
    arguments = run_arguments(files, transform_output, tmp_path, strategy="mirrored", jit_compile=True)
    command = [sys.executable, "-c", TWO_REPLICAS, json.dumps(vars(arguments)), "0"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "trainer.jit_compile is true, and there are 2 replicas." in ended.stderr


def test_two_replicas_share_a_global_batch_and_export_one_model(files, transform_output, examples, tmp_path):
    """37 eval examples and two replicas: a number that they cannot share evenly."""
    run_on_two_devices(run_arguments(files, transform_output, tmp_path, strategy="mirrored"), 0.2)

    training = json.loads((tmp_path / "run" / "training.json").read_text())
    assert training["devices"] == ["CPU:0", "CPU:1"]
    assert training["global_batch_size"] == 16
    served = tf.saved_model.load(str(tmp_path / "Format-Serving"))
    features = served.signatures["transform_features"](examples=tf.constant(examples["eval"]))
    answer = served.signatures["serving_default"](examples=tf.constant(examples["eval"]))
    probabilities = answer["probabilities"].numpy()
    loss = -np.log(probabilities[np.arange(EVAL_EXAMPLES), features["label"].numpy()]).mean()
    # What was measured during training is what was exported: no replica has averages of its own.
    assert loss == pytest.approx(min(epoch["val_loss"] for epoch in history(tmp_path)), abs=1e-4)
