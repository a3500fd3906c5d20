"""The workload of labelled texts: the Transform step from text to token ids, and the model that reads them.

Transform's analyzer computes the vocabulary and stores it in its graph inside the SavedModel. This replaces
Keras's TextVectorization, as every workload here prepares its examples in Transform. Ids are 0 for padding (a
text shorter than `text_length`), 1 for a word outside the vocabulary, and 2 plus a word's index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer_module.raw_features import label_ids, one_string_each
from trainer_module.workload_module import LABEL
from trainer_module.workloads import tokens

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from edgeline.records.workload import Workload
    from trainer_module.settings import ModelSettings

TEXT, TOKENS = "text", "tokens"
VOCABULARY = "words"
_VOTES = "votes_of_words"  # the layer
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2
# Transform has no int32, and phones need no more.
STORED_AS = {TOKENS: "int32"}


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Turns raw features into the model's features. Called by TFX's Transform; analyses the words.

    Args:
        inputs: Raw features by name, of which `text` (UTF-8) and `label` (string) are read, as SparseTensor
            or as dense [N] or [N, 1]. Without the label, as at serving, `label` is left out.
        custom_config: `labels` (names in domain order), `text_length`, `vocabulary_size` and
            `vocabulary_min_count`.

    Returns:
        `tokens`, int64 [N, text_length], and `label`, int64 [N], the index of the name in `labels`; -1 if it
        is not in `labels`.
    """
    import tensorflow as tf
    import tensorflow_transform as tft

    length = custom_config["text_length"]
    words = tokens.split_words(one_string_each(inputs[TEXT]))[:, :length]
    indices = tft.compute_and_apply_vocabulary(
        words.to_sparse(),
        top_k=custom_config["vocabulary_size"],
        frequency_threshold=custom_config["vocabulary_min_count"],
        vocab_filename=VOCABULARY,
    )
    flat_ids = tf.where(indices.values < 0, tf.constant(UNKNOWN, tf.int64), indices.values + FIRST_WORD)
    ids = tf.RaggedTensor.from_row_lengths(flat_ids, words.row_lengths())
    return {
        TOKENS: ids.to_tensor(PADDING, shape=(None, length)),
        LABEL: label_ids(one_string_each(inputs[LABEL]), custom_config["labels"]),
    }


def build_model(
    labels: Sequence[str], settings: ModelSettings, transform: tft.TFTransformOutput
) -> keras.Model:
    """Builds the classifier: token ids, int32 [N, text_length], to probabilities, float32 [N, labels].

    Three parts of the network vote: the log-counts of a text's words by label, as in naive Bayes, which
    training corrects (Wang and Manning, 2012); the mean and the maximum of their embeddings; and the final
    states of a bidirectional LSTM, which sees their order. The LSTM reads smaller embeddings of its own,
    without word dropout: without its "not" a text says something else.
    """
    import keras

    from trainer_module.networks.text_layers import BidirectionalLSTM, PooledWords

    ids = keras.Input((settings.text_length,), dtype="int32", name=TOKENS)
    size_of_vocabulary = FIRST_WORD + len(transform.vocabulary_by_name(VOCABULARY))

    def embed(size: int, **options: Any) -> keras.KerasTensor:
        return keras.layers.Embedding(size_of_vocabulary, size, mask_zero=True, **options)(ids)

    def drop_words(words: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.Dropout(settings.word_dropout, noise_shape=(None, settings.text_length, 1))(words)

    size, dropout = settings.embedding_size, keras.layers.Dropout(settings.embedding_dropout)
    word_votes = PooledWords()(drop_words(embed(len(labels), name=_VOTES)))
    pooled = PooledWords(largest=True)(dropout(drop_words(embed(size))))
    states = BidirectionalLSTM(settings.lstm_units)(dropout(embed(max(size // 4, 2))))
    features = keras.layers.Dropout(0.5)(keras.layers.Concatenate()([pooled, states]))
    votes = keras.layers.Dense(len(labels))(features)
    votes = keras.layers.Add()([votes, word_votes])
    return keras.Model(ids, keras.layers.Softmax(name="probabilities", dtype="float32")(votes))


def initialize(
    model: keras.Model, batches: Iterable[tuple[tf.Tensor, tf.Tensor]], settings: ModelSettings
) -> None:
    """Sets each word's votes by its counts in the labels of these texts: the log of its share above the mean.

    The words are counted here and not in Transform, whose counts would include groups on which this model may
    be measured.
    """
    import numpy as np

    layer = model.get_layer(_VOTES)
    counts = np.zeros(layer.embeddings.shape)
    for ids, label in batches:
        np.add.at(counts, (ids.numpy(), label.numpy()[:, np.newaxis]), 1)
    counts[:FIRST_WORD] = 0
    counts[counts < settings.vocabulary_min_count] = 0  # rare words, such as one person's, are not shipped
    logs = np.log((counts + 1) / (counts + 1).sum(axis=0))
    layer.set_weights([logs - logs.mean(axis=1, keepdims=True)])


def edge_contract(
    transform: tft.TFTransformOutput, settings: ModelSettings, workload: Workload
) -> dict[str, Any]:
    """Returns preprocessing.json, by which `edgeline.edge.contracts.tokens` makes a phone's token ids."""
    return {
        "version": 2,
        "kind": "tokens",
        "normalization": "NFC",
        "input": TEXT,
        "column": workload.text_column or TEXT,
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
