import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgeline.records.edge import UNLIKE
from edgeline.records.training import remove_finished
from tests.examples import write_records
from tests.trainer_module.samples import (
    EVAL_EXAMPLES,
    LABELS,
    SIZE,
    assert_same,
    drop_times,
    example,
    render,
    run_and_die,
    run_arguments,
)
from trainer_module import run_fn
from trainer_module.training import calibration, novelty
from trainer_module.workloads.photos import TENSOR_SIGNATURE

# One fixture here runs four trainings, which take minutes each on a very busy machine.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


def read_weights(folder: Path) -> list[np.ndarray]:
    return [variable.numpy() for variable in tf.saved_model.load(str(folder / "Format-Serving")).variables]


def read_training(folder: Path) -> dict:
    return json.loads((folder / "run" / "training.json").read_text())


def read_history(folder: Path) -> list[dict]:
    epochs = [json.loads(line) for line in (folder / "run" / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in epoch.items() if v is not None} for epoch in drop_times(epochs)]


def test_the_model_learns_the_labels_and_the_training_is_recorded(run_dir):
    epochs = read_history(run_dir)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4, 5]
    assert epochs[-1]["loss"] < epochs[0]["loss"] / 2
    assert max(epoch["val_accuracy"] for epoch in epochs) > 0.9, epochs
    training = read_training(run_dir)
    assert training["best_epoch"] == epochs[-1]["epoch"] == 5
    assert training["global_batch_size"] == 8 * len(training["devices"])
    assert training["resumed_from_epoch"] is None
    assert training["seconds"] > 0
    assert training["examples_per_second"] > 0
    assert training["parameters"] > 0 and "Total params" in training["layers"]


def test_tensorboard_shows_the_epochs_and_the_confusion_of_each(run_dir):
    board = EventAccumulator(str(run_dir / "run" / "tensorboard" / "eval"), {"scalars": 0, "tensors": 0})
    board.Reload()
    shown = [point.value for point in board.Scalars("loss")]
    assert shown == pytest.approx([epoch["val_loss"] for epoch in read_history(run_dir)], rel=1e-6)
    assert len(board.Tensors("confusion")) == 5
    steps = EventAccumulator(str(run_dir / "run" / "tensorboard" / "steps"))
    steps.Reload()
    assert {"steps/loss", "steps/input_wait", "steps/learning_rate"} <= set(steps.Tags()["scalars"])


def test_checkpoints_stay_until_the_step_is_published(run_dir, files, transform_output, tmp_path):
    """If it is killed before that, TFX repeats the step: it trains nothing and gives the same model."""
    (checkpoints,) = (run_dir / "checkpoints").iterdir()
    assert (checkpoints / "checkpoint.npz").is_file()
    shutil.copytree(run_dir / "checkpoints", tmp_path / "checkpoints")
    run_fn.run_fn(run_arguments(files, transform_output, tmp_path))
    assert read_training(tmp_path)["resumed_from_epoch"] == 5
    assert_same(read_weights(tmp_path), read_weights(run_dir))

    remove_finished(tmp_path / "checkpoints", stays=checkpoints.name)
    assert (tmp_path / "checkpoints" / checkpoints.name).is_dir()
    (tmp_path / "checkpoints" / "cut-off").mkdir()
    remove_finished(tmp_path / "checkpoints")
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["cut-off"]


def get_eval_loss(folder: Path, examples) -> float:
    """Computes the loss of the SavedModel on the eval examples, without its temperature.

    The recorded one has three decimals, so that the loss is right to 1e-3.
    """
    model = tf.saved_model.load(str(folder / "Format-Serving"))
    features = model.signatures["transform_features"](examples=tf.constant(examples["eval"]))
    answer = model.signatures["serving_default"](examples=tf.constant(examples["eval"]))
    temperature = read_training(folder)["temperature"]
    probabilities = calibration.divide_logits(answer["probabilities"].numpy(), 1 / temperature)
    return -np.log(probabilities[np.arange(EVAL_EXAMPLES), features["label"].numpy()]).mean()


def test_the_saved_model_is_that_of_the_last_epoch(run_dir, examples):
    assert get_eval_loss(run_dir, examples) == pytest.approx(read_history(run_dir)[-1]["val_loss"], abs=1e-3)


def test_a_run_killed_within_an_epoch_ends_with_the_weights_of_an_unbroken_one(
    run_dir, files, transform_output, tmp_path
):
    """The unbroken one ran in another process, so this also shows that the seed determines the result."""
    arguments = run_arguments(files, transform_output, tmp_path)
    run_and_die("from trainer_module import run_fn; run_fn.run_fn(arguments)", arguments, epoch=2)
    assert not (tmp_path / "Format-Serving").exists()

    run_fn.run_fn(arguments)
    assert 2 <= read_training(tmp_path)["resumed_from_epoch"] < 5
    assert read_history(tmp_path) == read_history(run_dir)
    assert_same(read_weights(tmp_path), read_weights(run_dir))


def test_two_replicas_learn_the_same_from_the_same_batches_as_one_device(replicas):
    """Dropout is off: each replica would draw the same numbers, for other examples.

    Sums of float32 in another order differ by 1e-7, and each step makes more of it: over 33 steps the
    loss has differed by a share of 1e-8 to 2.3e-3, by processor. Without averages over both replicas (batch
    normalization that is not synchronised) it differs by 0.26 in the first epoch.
    """
    mirrored, one_device = (read_history(replicas.folder / name) for name in ("mirrored", "one_device"))
    for ours, theirs in zip(mirrored, one_device, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-2)


def test_xla_with_several_replicas_is_refused(replicas):
    assert "trainer.jit_compile is true, but there are 2 replicas." in replicas.error


def test_two_replicas_share_a_global_batch_and_export_one_model(replicas, examples):
    """The 37 eval examples cannot be divided evenly by two."""
    folder = replicas.folder / "mirrored"
    training = read_training(folder)
    assert training["devices"] == ["CPU:0", "CPU:1"]
    assert training["global_batch_size"] == 8
    # The exported model is the one that training measured: no replica has averages of its own.
    assert get_eval_loss(folder, examples) == pytest.approx(read_history(folder)[-1]["val_loss"], abs=1e-3)


def test_an_eval_split_of_other_photos_and_labels_changes_no_answer_of_the_model(
    run_dir, files, transform_output, tmp_path, monkeypatch
):
    monkeypatch.setattr(novelty, "_FEWEST_HELD_OUT", 9)  # as in `run_dir`
    labels = np.random.default_rng(1).permutation(LABELS * 20)
    others = [example(render("ok", 2000 + number), label) for number, label in enumerate(labels)]
    write_records(tmp_path / "eval-00000-of-00001.gz", others)
    altered = {**files, "eval": str(tmp_path / "eval-*")}
    run_fn.run_fn(run_arguments(altered, transform_output, tmp_path))

    ours, theirs = (read_training(folder) for folder in (tmp_path, run_dir))
    calibrated = ("held_out", "temperature", "temperature_examples", "unlike_examples")
    assert {name: ours[name] for name in calibrated} == {name: theirs[name] for name in calibrated}
    assert ours["held_out"] == ours["temperature_examples"] == ours["unlike_examples"] == 9
    assert_same(read_weights(tmp_path), read_weights(run_dir))
    pixels = tf.constant(np.random.default_rng(2).integers(0, 256, (20, SIZE, SIZE, 1)), tf.float32)
    models = [tf.saved_model.load(str(folder / "Format-Serving")) for folder in (tmp_path, run_dir)]
    one, other = (model.signatures[TENSOR_SIGNATURE](image=pixels) for model in models)
    assert {"probabilities", UNLIKE} == set(one) == set(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
