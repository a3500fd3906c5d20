"""The workload of labelled texts: how Transform turns a text into token ids, and the model that reads these.

The vocabulary is found by Transform's analyzer, and lies in its graph inside the SavedModel: what Keras's
TextVectorization does, in the way in which every workload here prepares its examples. Ids are 0 for nothing
(a text shorter than `text_length`), 1 for a word that the vocabulary lacks, and 2 plus its place there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer_module import tokens

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from records.workload import Workload
    from trainer_module.settings import ModelSettings

TEXT, LABEL, TOKENS = "text", "label", "tokens"
VOCABULARY = "words"
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2
# Transform knows no int32, and no phone needs more.
STORED_AS = {TOKENS: "int32"}


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Turns raw features into what the model is trained on. Called by TFX's Transform; analyses the words.

    Args:
        inputs: Raw features by name, of which `text` (UTF-8) and `label` (string) are read, as SparseTensor
            or as dense [N] or [N, 1]. Without the label, as at serving, `label` is left out.
        custom_config: `labels` (names in domain order), `text_length`, `vocabulary_size` and
            `vocabulary_min_count`.

    Returns:
        `tokens`, int64 [N, text_length], and `label`, int64 [N], the index of the name in `labels`; -1 where
        it is not in there.
    """
    import tensorflow as tf
    import tensorflow_transform as tft

    length = custom_config["text_length"]
    words = tokens.split_words(_one_each(inputs[TEXT]))[:, :length]
    places = tft.compute_and_apply_vocabulary(
        words.to_sparse(),
        top_k=custom_config["vocabulary_size"],
        frequency_threshold=custom_config["vocabulary_min_count"],
        vocab_filename=VOCABULARY,
    )
    known = tf.where(places.values < 0, tf.constant(UNKNOWN, tf.int64), places.values + FIRST_WORD)
    ids = tf.RaggedTensor.from_row_lengths(known, words.row_lengths())
    return {
        TOKENS: ids.to_tensor(PADDING, shape=(None, length)),
        LABEL: _label_ids(_one_each(inputs[LABEL]), custom_config["labels"]),
    }


def build_model(
    labels: Sequence[str], settings: ModelSettings, transform: tft.TFTransformOutput
) -> keras.Model:
    """Builds the classifier: token ids, int32 [N, text_length], to probabilities, float32 [N, labels].

    What the two ends of a bidirectional LSTM know of the whole text, beside the mean and the largest of the
    words' embeddings, which learn faster from few texts.

    Args:
        labels: Class names; their order is the order of the outputs.
        settings: Sizes.
        transform: Whose vocabulary it is.
    """
    import keras

    from trainer_module.text_layers import BidirectionalLSTM, PooledWords

    ids = keras.Input((settings.text_length,), dtype="int32", name=TOKENS)
    words = keras.layers.Embedding(
        FIRST_WORD + transform.vocabulary_size_by_name(VOCABULARY), settings.embedding_size, mask_zero=True
    )(ids)
    words = keras.layers.Dropout(settings.embedding_dropout)(words)
    read = keras.layers.Concatenate()([BidirectionalLSTM(settings.lstm_units)(words), PooledWords()(words)])
    read = keras.layers.Dropout(0.5)(read)
    probabilities = keras.layers.Dense(len(labels), activation="softmax", name="probabilities")(read)
    return keras.Model(ids, probabilities)


def edge_contract(
    transform: tft.TFTransformOutput, settings: ModelSettings, workload: Workload
) -> dict[str, Any]:
    """What a phone needs to make the token ids itself; see `edge/contracts/tokens.py`."""
    return {
        "version": 1,
        "kind": "tokens",
        "input": TEXT,
        "length": settings.text_length,
        "padding": PADDING,
        "unknown": UNKNOWN,
        "first": FIRST_WORD,
        "vocabulary": [word.decode() for word in transform.vocabulary_by_name(VOCABULARY)],
        "tokenizer": {
            "version": tokens.VERSION,
            "fold_from": tokens.FOLD_FROM,
            "fold_to": tokens.FOLD_TO,
            "separators": tokens.SEPARATORS,
            "alone": tokens.ALONE,
            "leading": tokens.LEADING,
            "trailing": tokens.TRAILING,
        },
    }


def _one_each(feature: Any) -> tf.Tensor:
    """Makes one string an example, [N], of a feature that the schema gives no shape."""
    import tensorflow as tf

    if isinstance(feature, tf.SparseTensor):
        # One column, also where every example of the batch lacks the feature.
        one_column = tf.stack([feature.dense_shape[0], tf.maximum(feature.dense_shape[1], 1)])
        feature = tf.sparse.to_dense(tf.sparse.reset_shape(feature, one_column))[:, 0]
    return tf.reshape(feature, [-1])


def _label_ids(names: tf.Tensor, labels: Sequence[str]) -> tf.Tensor:
    import tensorflow as tf

    matches = tf.equal(names[:, tf.newaxis], tf.constant(list(labels))[tf.newaxis, :])
    index = tf.argmax(tf.cast(matches, tf.int32), axis=1, output_type=tf.int64)
    return tf.where(tf.reduce_any(matches, axis=1), index, tf.constant(-1, tf.int64))
