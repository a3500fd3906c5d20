import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer_module.networks.text_layers import BidirectionalLSTM, PooledWords

WORDS = tf.random.stateless_normal((5, 9, 4), (1, 2))
MASK = tf.sequence_mask([9, 3, 0, 1, 5], 9)


@pytest.mark.parametrize("training", [False, True])
def test_the_lstm_has_the_values_and_gradients_of_that_of_keras(training):
    ours, theirs = BidirectionalLSTM(6), keras.layers.Bidirectional(keras.layers.LSTM(6))
    ours.build(WORDS.shape)
    theirs.build(WORDS.shape)
    theirs.set_weights(ours.get_weights())

    def run(layer):
        with tf.GradientTape() as tape:
            output = layer(WORDS, mask=MASK, training=training)
        return [output, *tape.gradient(output, layer.trainable_variables)]

    for value, expected in zip(run(ours), run(theirs), strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)


def test_pooling_ignores_masked_words():
    changed = tf.where(MASK[:, :, None], WORDS, 1e3)
    np.testing.assert_array_equal(PooledWords()(WORDS, mask=MASK), PooledWords()(changed, mask=MASK))
    assert not PooledWords()(WORDS, mask=MASK).numpy()[2].any()
