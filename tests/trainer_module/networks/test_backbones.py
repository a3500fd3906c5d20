import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer_module.networks import backbones
from trainer_module.settings import ModelSettings

pytestmark = pytest.mark.e2e

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1)).astype(np.float32)


# Lite0 is made as its cut and Lite2 are.
@pytest.fixture(scope="module", params=sorted({*backbones.BACKBONES} - {"efficientnet_lite0"}))
def model(request) -> keras.Model:
    return backbones.classifier(ModelSettings(backbone=request.param, image_size=32), 3)


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
