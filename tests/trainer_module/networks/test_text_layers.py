import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer_module.networks.text_layers import BidirectionalLSTM, PooledWords

WORDS = tf.random.stateless_normal((5, 9, 4), (1, 2))
MASK = tf.sequence_mask([9, 3, 0, 1, 5], 9)


@pytest.mark.parametrize("training", [False, True])
def test_the_lstm_is_that_of_keras_in_value_and_gradient(training):
    ours, theirs = BidirectionalLSTM(6), keras.layers.Bidirectional(keras.layers.LSTM(6))
    ours.build(WORDS.shape)
    theirs.build(WORDS.shape)
    theirs.set_weights(ours.get_weights())

    def run(layer):
        with tf.GradientTape() as tape:
            read = layer(WORDS, mask=MASK, training=training)
        return [read, *tape.gradient(read, layer.trainable_variables)]

    for found, expected in zip(run(ours), run(theirs), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pooling_reads_no_masked_word():
    changed = tf.where(MASK[:, :, None], WORDS, 1e3)
    np.testing.assert_array_equal(PooledWords()(WORDS, mask=MASK), PooledWords()(changed, mask=MASK))
    assert not PooledWords()(WORDS, mask=MASK).numpy()[2].any()
