from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from errors import UsageError
from trainer_module import backbones
from trainer_module.settings import ModelSettings

pytestmark = pytest.mark.e2e

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1)).astype(np.float32)


def build(backbone: str = "compact", channels: int = 1, weights: Path | None = None) -> keras.Model:
    settings = ModelSettings(backbone=backbone, image_size=32, channels=channels, weights=weights)
    return backbones.classifier(settings, 3)


@pytest.fixture(scope="module", params=sorted(backbones.BACKBONES))
def model(request) -> keras.Model:
    return build(request.param)


def test_raw_pixels_become_probabilities(model):
    probabilities = model(IMAGES, training=False)
    assert probabilities.shape == (4, 3)
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1.0, rtol=1e-5)  # float32 of a softmax


def test_every_gradient_is_finite_and_reaches_every_weight(model):
    with tf.GradientTape() as tape:
        probabilities = model(IMAGES, training=True)
        loss = tf.reduce_sum(
            keras.losses.sparse_categorical_crossentropy(tf.constant([0, 1, 2, 0]), probabilities)
        )
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)


def test_averages_converge_in_a_short_training_and_are_shared_by_replicas(model):
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert {(layer.momentum, layer.synchronized) for layer in norms} == {(0.9, True)}


def test_pixels_are_rescaled_exactly_once(model):
    rescaling = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Rescaling)]
    assert len(rescaling) == 1


def test_the_compact_model_is_small_and_plain():
    model = build()
    assert model.count_params() < 200_000
    assert not {"HardSwish", "Activation", "Multiply"} & {
        type(layer).__name__ for layer in model._flatten_layers()
    }


def test_weights_of_another_training_are_taken_over(tmp_path):
    path = tmp_path / "body.weights.h5"
    body = next(layer for layer in build().layers if isinstance(layer, keras.Model))
    body.save_weights(path)
    again = next(layer for layer in build(weights=path).layers if isinstance(layer, keras.Model))
    for ours, theirs in zip(again.get_weights(), body.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"which is not a file") as refused:
        build(weights=tmp_path / "none.h5")
    assert refused.value.why
    assert "model.weights" in refused.value.do


@pytest.mark.parametrize("name", ["garbage.h5", "garbage.weights.h5", "garbage.txt"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"not weights")
    with pytest.raises(UsageError, match="could not be loaded"):
        build(weights=path)


def test_weights_for_colour_are_refused_for_luma(tmp_path):
    path = tmp_path / "colour.weights.h5"
    next(layer for layer in build(channels=3).layers if isinstance(layer, keras.Model)).save_weights(path)
    with pytest.raises(UsageError, match="could not be loaded") as refused:
        build(channels=1, weights=path)
    assert "for 1 channels" in refused.value.why
