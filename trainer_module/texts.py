"""The workload of labelled texts: how Transform turns a text into token ids, and the model that reads these.

The vocabulary is found by Transform's analyzer, and lies in its graph inside the SavedModel: what Keras's
TextVectorization does, in the way in which every workload here prepares its examples. Ids are 0 for nothing
(a text shorter than `text_length`), 1 for a word that the vocabulary lacks, and 2 plus its place there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer_module import tokens
from trainer_module.raw_features import label_ids, one_string_each
from trainer_module.workload_module import LABEL

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from records.workload import Workload
    from trainer_module.settings import ModelSettings

TEXT, TOKENS = "text", "tokens"
VOCABULARY = "words"
_VOTES = "votes_of_words"  # the layer
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
    words = tokens.split_words(one_string_each(inputs[TEXT]))[:, :length]
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
        LABEL: label_ids(one_string_each(inputs[LABEL]), custom_config["labels"]),
    }


def build_model(
    labels: Sequence[str], settings: ModelSettings, transform: tft.TFTransformOutput
) -> keras.Model:
    """Builds the classifier: token ids, int32 [N, text_length], to probabilities, float32 [N, labels].

    Three readings of a text vote: how much more often its words are in texts of each label, as naive Bayes
    counts and training corrects (Wang and Manning, 2012); the mean and the largest of their embeddings; and
    the ends of a bidirectional LSTM, which knows their order. It reads smaller embeddings of its own, of
    which no whole word is left out: without its "not" a text says something else.
    """
    import keras

    from trainer_module.text_layers import BidirectionalLSTM, PooledWords

    ids = keras.Input((settings.text_length,), dtype="int32", name=TOKENS)
    known = FIRST_WORD + len(transform.vocabulary_by_name(VOCABULARY))

    def embedded(size: int, **options: Any) -> keras.KerasTensor:
        return keras.layers.Embedding(known, size, mask_zero=True, **options)(ids)

    def without_words(words: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.Dropout(settings.word_dropout, noise_shape=(None, settings.text_length, 1))(words)

    size, left_out = settings.embedding_size, keras.layers.Dropout(settings.embedding_dropout)
    counted = PooledWords()(without_words(embedded(len(labels), name=_VOTES)))
    meant = PooledWords(largest=True)(left_out(without_words(embedded(size))))
    ordered = BidirectionalLSTM(settings.lstm_units)(left_out(embedded(max(size // 4, 2))))
    read = keras.layers.Dropout(0.5)(keras.layers.Concatenate()([meant, ordered]))
    votes = keras.layers.Dense(len(labels))(read)
    votes = keras.layers.Add()([votes, counted])
    return keras.Model(ids, keras.layers.Softmax(name="probabilities", dtype="float32")(votes))


def initialize(
    model: keras.Model, batches: Iterable[tuple[tf.Tensor, tf.Tensor]], settings: ModelSettings
) -> None:
    """Has each word vote as it is spread over the labels of these texts: the log of its share above the mean.

    They are counted here and not in Transform, whose counts would have texts of groups that this model is to
    be measured on.
    """
    import numpy as np

    layer = model.get_layer(_VOTES)
    known, labels = layer.embeddings.shape
    counts = np.zeros((known, labels))
    for ids, label in batches:
        np.add.at(counts, (ids.numpy(), label.numpy()[:, np.newaxis]), 1)
    counts[:FIRST_WORD] = 0
    counts[counts < settings.vocabulary_min_count] = 0  # what somebody wrote once is not shipped
    logs = np.log((counts + 1) / (counts + 1).sum(axis=0))
    layer.set_weights([logs - logs.mean(axis=1, keepdims=True)])


def edge_contract(
    transform: tft.TFTransformOutput, settings: ModelSettings, workload: Workload
) -> dict[str, Any]:
    """What a phone needs to make the token ids itself; see `edge/contracts/tokens.py`."""
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
