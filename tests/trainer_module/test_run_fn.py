import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgeline.records.training import remove_finished
from tests.trainer_module.samples import EVAL_EXAMPLES, assert_same, run_and_die, run_arguments, without_clock
from trainer_module import run_fn
from trainer_module.training import calibration

# Four trainings are one fixture here: minutes each on a machine that is very busy.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


def weights(folder: Path) -> list[np.ndarray]:
    return [variable.numpy() for variable in tf.saved_model.load(str(folder / "Format-Serving")).variables]


def history(folder: Path) -> list[dict]:
    epochs = [json.loads(line) for line in (folder / "run" / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in epoch.items() if v is not None} for epoch in without_clock(epochs)]


def test_the_model_has_learned_what_was_there_to_learn_and_what_was_done_is_written_down(trained):
    epochs = history(trained)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4, 5]
    assert epochs[-1]["loss"] < epochs[0]["loss"] / 2
    assert max(epoch["val_accuracy"] for epoch in epochs) > 0.9, epochs
    training = json.loads((trained / "run" / "training.json").read_text())
    assert training["best_epoch"] == epochs[-1]["epoch"] == 5
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


def test_checkpoints_stay_until_the_step_is_published(trained, files, transform_output, tmp_path):
    """A kill before that has TFX run the step again: it trains nothing then, and gives the same model."""
    (left,) = (trained / "checkpoints").iterdir()
    assert (left / "checkpoint.npz").is_file()
    shutil.copytree(trained / "checkpoints", tmp_path / "checkpoints")
    run_fn.run_fn(run_arguments(files, transform_output, tmp_path))
    assert json.loads((tmp_path / "run" / "training.json").read_text())["resumed_from_epoch"] == 5
    assert_same(weights(tmp_path), weights(trained))

    remove_finished(tmp_path / "checkpoints", stays=left.name)
    assert (tmp_path / "checkpoints" / left.name).is_dir()
    (tmp_path / "checkpoints" / "cut-off").mkdir()
    remove_finished(tmp_path / "checkpoints")
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["cut-off"]


def eval_loss(folder: Path, examples) -> float:
    """The loss of the SavedModel on the eval examples, without its temperature."""
    served = tf.saved_model.load(str(folder / "Format-Serving"))
    features = served.signatures["transform_features"](examples=tf.constant(examples["eval"]))
    answer = served.signatures["serving_default"](examples=tf.constant(examples["eval"]))
    temperature = json.loads((folder / "run" / "training.json").read_text())["temperature"]
    probabilities = calibration.divide_logits(answer["probabilities"].numpy(), 1 / temperature)
    return -np.log(probabilities[np.arange(EVAL_EXAMPLES), features["label"].numpy()]).mean()


def test_the_saved_model_is_the_last_epochs(trained, examples):
    assert eval_loss(trained, examples) == pytest.approx(history(trained)[-1]["val_loss"], abs=1e-4)


def test_a_run_killed_in_mid_epoch_goes_on_to_the_weights_of_an_unbroken_one(
    trained, files, transform_output, tmp_path
):
    """`trained` ran with the same seed in another process, so this also proves that a seed decides all."""
    arguments = run_arguments(files, transform_output, tmp_path)
    run_and_die("from trainer_module import run_fn; run_fn.run_fn(arguments)", arguments, epoch=2)
    assert not (tmp_path / "Format-Serving").exists()

    run_fn.run_fn(arguments)
    training = json.loads((tmp_path / "run" / "training.json").read_text())
    assert 2 <= training["resumed_from_epoch"] < 5
    assert history(tmp_path) == history(trained)
    assert_same(weights(tmp_path), weights(trained))


def test_two_replicas_learn_what_one_device_does_of_the_same_batches(replicas):
    """But for dropout, of which each replica has the same numbers for other examples.

    Sums of float32 in another order differ by 1e-7; a step that is not too long keeps that small over the 36
    steps here: 5e-4 of the loss on eval are seen with TFX 1.21.
    """
    mirrored, one_device = (history(replicas.folder / name) for name in ("mirrored", "one_device"))
    for ours, theirs in zip(mirrored, one_device, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3)


def test_xla_of_several_replicas_is_refused(replicas):
    assert "trainer.jit_compile is true, but there are 2 replicas." in replicas.refused


def test_two_replicas_share_a_global_batch_and_export_one_model(replicas, examples):
    """37 eval examples and two replicas: a number that they cannot share evenly."""
    folder = replicas.folder / "mirrored"
    training = json.loads((folder / "run" / "training.json").read_text())
    assert training["devices"] == ["CPU:0", "CPU:1"]
    assert training["global_batch_size"] == 8
    # What was measured during training is what was exported: no replica has averages of its own.
    assert eval_loss(folder, examples) == pytest.approx(history(folder)[-1]["val_loss"], abs=1e-4)
