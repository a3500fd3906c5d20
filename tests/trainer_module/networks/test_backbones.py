import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer_module.networks import backbones
from trainer_module.settings import ModelSettings

pytestmark = pytest.mark.e2e

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1)).astype(np.float32)


# Lite0 is built in the same way as its cut version and Lite2.
@pytest.mark.drawn(2)
@pytest.mark.parametrize("backbone", sorted({*backbones.BACKBONES} - {"efficientnet_lite0"}))
def test_pixels_become_probabilities_and_every_gradient_is_finite_and_reaches_every_weight(backbone):
    model = backbones.build_classifier(ModelSettings(backbone=backbone, image_size=32), 3)
    with tf.GradientTape() as tape:
        probabilities = model(IMAGES, training=True)
        loss = tf.reduce_sum(
            keras.losses.sparse_categorical_crossentropy(tf.constant([0, 1, 2, 0]), probabilities)
        )
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1.0, rtol=1e-5)  # float32 of a softmax
