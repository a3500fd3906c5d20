import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainer_module.samples import SHELF, TRAIN_EXAMPLES, run_arguments
from tests.trainer_module.test_run import ROOT, RUN_AND_DIE, history, weights
from trainer_module import run
from trainer_module.networks import backbones
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.training import front, input_pipeline
from trainer_module.training.task import Task, Trained, train_model
from trainer_module.workloads import photos

pytestmark = pytest.mark.e2e

MODEL = ModelSettings(backbone="efficientnet_lite0_cut", image_size=32, weights="imagenet")
EQUAL = [1.0, 1.0, 1.0]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return backbones.classifier(MODEL, 3)


@pytest.fixture(scope="module")
def parts(model) -> tuple[keras.Model, keras.Model]:
    return front.split_model(model)


@pytest.fixture(scope="module")
def train(files, transform) -> input_pipeline.Split:
    return input_pipeline.open_split([files["train"]], transform, "train", SHELF)


def test_front_and_rest_are_the_model_and_share_its_weights(model, parts):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1)).astype(np.float32)
    before, rest = parts
    np.testing.assert_allclose(rest(before(images)), model(images), atol=1e-6)
    assert not before.trainable_weights
    assert {weight.path for weight in rest.trainable_weights} == {
        weight.path for weight in model.trainable_weights
    }
    kernel = rest.trainable_weights[0]
    kernel.assign(kernel * 1.5)
    np.testing.assert_allclose(rest(before(images)), model(images), atol=1e-6)
    kernel.assign(kernel / 1.5)


@pytest.mark.parametrize("backbone", ["compact", "efficientnet_lite0_cut"])
def test_a_model_that_begins_with_random_weights_has_no_front(backbone):
    made = backbones.classifier(ModelSettings(backbone=backbone, image_size=32), 3)
    assert front.split_model(made) is None
    assert all(layer.trainable for layer in made.layers)


def test_weights_of_ones_own_have_the_same_front_as_those_of_imagenet(parts, tmp_path):
    path = tmp_path / "own.weights.h5"
    backbones.body(MODEL).save_weights(path)
    own = ModelSettings(backbone="efficientnet_lite0_cut", image_size=32, weights=str(path))
    for ours, theirs in zip(front.split_model(backbones.classifier(own, 3)), parts, strict=True):
        assert len(ours.trainable_weights) == len(theirs.trainable_weights)
        assert ours.output_shape == theirs.output_shape


def test_what_fits_neither_into_memory_nor_on_the_disk_is_computed_again_and_gives_the_same_model(
    files, transform, tmp_path, monkeypatch
):
    """All of a machine's room against none of it: the same seed, three epochs of two variations."""
    splits = [input_pipeline.open_split([files[name]], transform, name, SHELF) for name in ("train", "eval")]
    task = Task(SHELF, transform, *splits, 20)
    settings = TrainerSettings(epochs=3, batch_size=8, learning_rate=1e-4, crop=0.3, variations=2)
    model = MODEL.model_copy(update={"channels": 1})

    def trained(name: str) -> Trained:
        one = tf.distribute.OneDeviceStrategy("/cpu:0")
        return train_model(task, model, settings, one, tmp_path / name, 0.0)

    plenty = trained("plenty")
    with monkeypatch.context() as patched:
        patched.setattr(input_pipeline, "free_memory", lambda: 0)
        patched.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
        assert not input_pipeline.storage_limit()
        scarce = trained("scarce")
    for ours, theirs in zip(figures(scarce), figures(plenty), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    for ours, theirs in zip(scarce.model.get_weights(), plenty.model.get_weights(), strict=True):
        # Batches of another size are summed in another order: 2e-5 was seen after three epochs.
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def figures(trained: Trained) -> list[dict]:
    return [{name: logs[name] for name in logs if name != "input_wait"} for logs in trained.outcome.history]


def test_the_time_of_features_is_known_after_the_first_photos(train, parts):
    varied = partial(photos.augment, settings=TrainerSettings(crop=0.5))
    began = time.monotonic()
    each = front.measure_seconds_each(train, parts[0], varied)
    assert 0 < each * TRAIN_EXAMPLES < time.monotonic() - began


def test_epochs_take_one_variation_after_the_other_of_every_example(train, parts):
    varied = partial(photos.augment, settings=TrainerSettings(crop=0.5))
    found = front.compute_features(train, parts[0], 2, 20, varied)
    kept = found.inputs.numpy().reshape(2, TRAIN_EXAMPLES, -1)
    assert not np.array_equal(kept[0], kept[1])
    again = front.compute_features(train, parts[0], 2, 20, varied).inputs.numpy()
    np.testing.assert_array_equal(again.reshape(kept.shape), kept)

    def shown(epoch: int) -> set[bytes]:
        dataset = input_pipeline.training_batches(found, 8, range(epoch, epoch + 1), 20, None, EQUAL)
        rows = np.concatenate([features for features, _, _ in dataset.as_numpy_iterator()])
        return {row.astype(np.float16).tobytes() for row in rows}

    first, second, third = (shown(epoch) for epoch in range(3))
    every = {row.tobytes() for copy in kept for row in copy}
    assert first | second == every
    assert not first & second
    assert third == first
    # Not all examples are of the same variation in one epoch.
    assert first != {row.tobytes() for row in kept[0]}


def test_without_variation_features_are_those_of_the_examples_in_order(train, parts):
    found = front.compute_features(train, parts[0])
    (images, _), *_ = input_pipeline.evaluation_batches(train, 8)
    # float16 has 11 bits: a relative error of 5e-4, of values of up to some tens.
    np.testing.assert_allclose(found.inputs[:8], parts[0](images), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("kept", [True, False])
def test_the_last_layer_is_fitted_before_training_begins(train, model, parts, kept):
    def accuracy() -> float:
        (images, labels), *_ = input_pipeline.evaluation_batches(train, TRAIN_EXAMPLES)
        return float((model(images).numpy().argmax(1) == labels.numpy()).mean())

    model.layers[-1].set_weights([np.zeros_like(weight) for weight in model.layers[-1].get_weights()])
    assert accuracy() < 0.5
    split = front.compute_features(train, parts[0]) if kept else train
    batches = input_pipeline.training_batches(split, 8, range(1), 20, None, EQUAL)
    front.fit_last_layer(model, batches, None if kept else front.round_features(parts[0]))
    assert accuracy() > 0.9


def test_a_run_with_a_front_and_a_budget_killed_in_mid_epoch_ends_with_the_weights_of_an_unbroken_one(
    files, transform_output, tmp_path
):
    def arguments(name: str):
        made = run_arguments(files, transform_output, tmp_path / name)
        settings = json.loads(made.custom_config["settings"])
        settings["model"] = MODEL.model_dump(mode="json")
        settings["trainer"] |= {"budget": "9m", "learning_rate": 1e-4, "crop": 0.3}
        made.custom_config["settings"] = json.dumps(settings)
        return made

    run.run_fn(arguments("unbroken"))
    killed = subprocess.run(
        [sys.executable, "-c", RUN_AND_DIE, json.dumps(vars(arguments("killed"))), "2"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=300,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    run.run_fn(arguments("killed"))
    unbroken, resumed = tmp_path / "unbroken", tmp_path / "killed"
    assert json.loads((resumed / "run" / "training.json").read_text())["resumed_from_epoch"] >= 2
    assert history(resumed) == history(unbroken)
    assert len(history(unbroken)) == 5
    for ours, theirs in zip(weights(resumed), weights(unbroken), strict=True):
        np.testing.assert_array_equal(ours, theirs)
