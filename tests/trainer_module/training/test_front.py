import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainer_module.samples import TRAIN_EXAMPLES, assert_same, die_after, drop_times
from trainer_module.networks import backbones
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.training import front, input_pipeline
from trainer_module.training.task import Trained, train_model
from trainer_module.workloads import photos

pytestmark = pytest.mark.e2e

MODEL = ModelSettings(backbone="efficientnet_lite0_cut", image_size=32, weights="imagenet")
EQUAL = np.ones(TRAIN_EXAMPLES)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return backbones.build_classifier(MODEL, 3)


@pytest.fixture(scope="module")
def parts(model) -> tuple[keras.Model, keras.Model]:
    return front.split_model(model)


def test_front_and_rest_give_the_same_as_the_model_and_share_its_weights(model, parts):
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
    model = backbones.build_classifier(ModelSettings(backbone=backbone, image_size=32), 3)
    assert front.split_model(model) is None
    assert all(layer.trainable for layer in model.layers)


def test_with_all_stages_frozen_training_changes_nothing_but_the_last_layer(task, tmp_path):
    path, own = tmp_path / "own.weights.h5", backbones.build_body(MODEL)
    random = np.random.default_rng(3)
    own.set_weights([weight + random.uniform(0, 0.01, weight.shape) for weight in own.get_weights()])
    own.save_weights(path)
    settings = MODEL.model_copy(update={"weights": str(path), "frozen_stages": "all"})
    training = TrainerSettings(epochs=1, batch_size=8, learning_rate=0.01)
    replicas = tf.distribute.OneDeviceStrategy("/cpu:0")
    trained = train_model(task, settings, training, replicas, tmp_path, time.monotonic()).model
    *body, kernel, _ = trained.get_weights()
    assert_same(body, own.get_weights())
    assert np.abs(kernel).max() > 0


@pytest.fixture(scope="module")
def train_whole(task, pretrained) -> Callable[..., Trained]:
    """Returns a function that trains the last layer for two epochs with two variations."""

    def train(folder: Path, **changes: str) -> Trained:
        varied = {"crop": 0.3, "variations": 2, **changes}
        settings = TrainerSettings(epochs=2, batch_size=8, learning_rate=1e-3, **varied)
        one = tf.distribute.OneDeviceStrategy("/cpu:0")
        return train_model(task, pretrained, settings, one, folder, time.monotonic())

    return train


@pytest.fixture(scope="module")
def reference(train_whole, tmp_path_factory) -> Trained:
    """Trains without a break and with enough memory."""
    return train_whole(tmp_path_factory.mktemp("reference"))


def test_features_too_large_for_memory_and_disk_are_computed_again_and_give_the_same_model(
    train_whole, reference, tmp_path, monkeypatch
):
    monkeypatch.setattr(input_pipeline, "free_memory", lambda: 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert not input_pipeline.compute_storage_limit()
    recomputed = train_whole(tmp_path)
    for ours, theirs in zip(get_logs(recomputed), get_logs(reference), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    for ours, theirs in zip(recomputed.model.get_weights(), reference.model.get_weights(), strict=True):
        # Batches of another size are summed in another order. Of the last layer, whose largest weight is 384,
        # weights then differ by 0.03; all others are equal.
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2.5e-4 * np.abs(theirs).max())


def test_a_front_trains_in_half_precision_to_a_model_in_single_precision(train_whole, reference, tmp_path):
    half = train_whole(tmp_path, precision="mixed_float16")
    # float16 has three digits.
    assert get_logs(half)[-1]["val_loss"] == pytest.approx(get_logs(reference)[-1]["val_loss"], abs=0.01)
    assert half.model.compute_dtype == "float32"


def test_an_interrupted_training_with_a_front_and_a_budget_ends_as_an_unbroken_one(
    train_whole, reference, tmp_path
):
    with die_after(epochs=1):
        train_whole(tmp_path, budget="9h")
    resumed = train_whole(tmp_path, budget="9h")
    assert resumed.outcome.resumed_from_epoch == 1
    assert get_logs(resumed) == get_logs(reference)
    assert_same(resumed.model.get_weights(), reference.model.get_weights())


def get_logs(trained: Trained) -> list[dict]:
    return drop_times(trained.outcome.history)


def test_epochs_use_one_variation_of_every_example_after_the_other(task, parts):
    augment = partial(photos.augment, settings=TrainerSettings(crop=0.5))
    features = front.compute_features(task.training, parts[0], 2, 20, augment)
    copies = features.inputs.numpy().reshape(2, TRAIN_EXAMPLES, -1)
    assert not np.array_equal(copies[0], copies[1])
    again = front.compute_features(task.training, parts[0], 2, 20, augment).inputs.numpy()
    np.testing.assert_array_equal(again.reshape(copies.shape), copies)

    def list_rows(epoch: int) -> set[bytes]:
        dataset = input_pipeline.make_train_batches(features, 8, range(epoch, epoch + 1), 20, None, EQUAL)
        rows = np.concatenate([batch for batch, _, _ in dataset.as_numpy_iterator()])
        return {row.astype(np.float16).tobytes() for row in rows}

    first, second, third = (list_rows(epoch) for epoch in range(3))
    every = {row.tobytes() for copy in copies for row in copy}
    assert first | second == every
    assert not first & second
    assert third == first
    # In one epoch not all examples have the same variation.
    assert first != {row.tobytes() for row in copies[0]}


def test_features_without_variation_have_the_order_of_the_examples(task, parts):
    features = front.compute_features(task.training, parts[0])
    (images, _), *_ = input_pipeline.make_eval_batches(task.training, 8)
    # float16 has 11 bits, a relative error of 5e-4; values are some tens at most.
    np.testing.assert_allclose(features.inputs[:8], parts[0](images), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    ("in_memory", "is_taught"),
    [(True, False), (False, False), (True, True)],
    ids=["stored", "read", "taught"],
)
def test_the_last_layer_is_fitted_before_training_begins(task, model, parts, in_memory, is_taught):
    def accuracy() -> float:
        (images, labels), *_ = input_pipeline.make_eval_batches(task.training, TRAIN_EXAMPLES)
        return float((model(images).numpy().argmax(1) == labels.numpy()).mean())

    last = model.layers[-1]
    last.set_weights([np.zeros_like(weight) for weight in last.get_weights()])
    assert accuracy() < 0.5
    split = front.compute_features(task.training, parts[0]) if in_memory else task.training
    taught = np.zeros((len(split.labels), 2), np.float32) if is_taught else None
    batches = input_pipeline.make_train_batches(split, 8, range(1), 20, None, EQUAL, taught=taught)
    front.fit_last_layer(model, batches, None if in_memory else front.round_features(parts[0]))
    assert accuracy() > 0.9
