"""The workload of labelled texts: the Transform step from text to token ids, and the model that reads them.

Transform's analyzers compute the vocabulary and store it in the graph inside the SavedModel. This replaces
Keras's TextVectorization, as every workload here prepares its examples in Transform. Ids are 0 for padding
(a text shorter than `text_length`, a pair of words outside the vocabulary), 1 for a word outside of it, and 2
plus the index of a word or a pair in the vocabulary, which has the words of the window and then its pairs. If
`model.weights` is `minilm`, all whole words with a vector are among the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeline.records.words import FOLDED, REPLACEMENTS, RULES
from trainer_module.raw_features import label_ids, one_string_each
from trainer_module.workload_module import LABEL

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from edgeline.records.workload import Workload
    from trainer_module.settings import ModelSettings

TEXT, TOKENS = "text", "tokens"
WORDS, PAIRS = "words", "pairs"
_VOTES, _SCALE = "votes_of_words", "scale"  # layers
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2
# Transform has no int32, and phones need no more.
STORED_AS = {TOKENS: "int32"}
# The vectors' layer is fitted to this many texts: with 384 numbers each, they take 77 MB.
_MOST_FITTED = 50_000


def settle(custom_config: Mapping[str, Any], examples: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the configuration of `preprocessing_fn` with the length that 95 % of these texts do not exceed.

    It is rounded up to a multiple of 8, so that it is the same in most weeks, and 256 at most.
    """
    import numpy as np
    import tensorflow as tf

    if custom_config["text_length"]:
        return dict(custom_config)
    texts = [example[TEXT].bytes_list.value[0] for example in examples]
    lengths = split_words(tf.constant(texts, tf.string)).row_lengths().numpy()
    longest = np.percentile(lengths, 95) if len(lengths) else 0
    return {**custom_config, "text_length": int(min(max(np.ceil(longest / 8) * 8, 8), 256))}


def split_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits texts, string [N], into words, ragged string [N, words], by `edgeline/records/words.py`."""
    import tensorflow as tf

    table = list(range(FOLDED))
    for old, new in zip(RULES["fold_from"], RULES["fold_to"], strict=True):
        table[ord(old)] = ord(new)
    codes = tf.strings.unicode_decode(texts, "UTF-8")
    low = tf.gather(tf.constant(table), tf.minimum(codes.flat_values, FOLDED - 1))
    folded = codes.with_flat_values(tf.where(codes.flat_values < FOLDED, low, codes.flat_values))
    plain = tf.strings.unicode_encode(folded, "UTF-8")
    for rule, replacement in REPLACEMENTS:
        plain = tf.strings.regex_replace(plain, RULES[rule], replacement)
    return tf.strings.split(plain)


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Turns raw features into the model's features, as `WorkloadModule` describes; analyses the words.

    It reads `text` (UTF-8) and `label`, sparse or dense [N] or [N, 1], and returns `tokens`, int64
    [N, 2 * text_length], words and then pairs of words, and `label`.
    """
    import tensorflow as tf
    import tensorflow_transform as tft

    length, minimum = custom_config["text_length"], custom_config["vocabulary_min_count"]
    words = split_words(one_string_each(inputs[TEXT]))[:, :length]
    pairs = tf.strings.ngrams(words, 2, separator=" ")
    public = tf.constant(_list_public(custom_config["weights"]), tf.string)

    def look_up(values: tf.RaggedTensor, name: str, others: tf.Tensor) -> tf.Tensor:
        """Looks up values; `others` are in the vocabulary whether they occur or not."""
        vocabulary = tft.vocabulary(
            tf.concat([values.flat_values, tf.repeat(others, minimum)], axis=0),
            top_k=custom_config["vocabulary_size"] + others.shape[0],
            frequency_threshold=minimum,
            vocab_filename=name,
        )
        return tft.apply_vocabulary(values.flat_values, vocabulary, default_value=-1)

    indices, pair_indices = look_up(words, WORDS, public), look_up(pairs, PAIRS, public[:0])
    before = FIRST_WORD + tft.experimental.get_vocabulary_size_by_name(WORDS)
    places = tf.where(indices < 0, tf.constant(UNKNOWN, tf.int64), indices + FIRST_WORD)
    pair_places = tf.where(pair_indices < 0, tf.constant(PADDING, tf.int64), pair_indices + before)

    def pad(values: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return tf.RaggedTensor.from_row_lengths(values, lengths).to_tensor(PADDING, shape=(None, length))

    ids = [pad(places, words.row_lengths()), pad(pair_places, pairs.row_lengths())]
    return {
        TOKENS: tf.concat(ids, axis=1),
        LABEL: label_ids(one_string_each(inputs[LABEL]), custom_config["labels"]),
    }


def _list_public(weights: str) -> list[str]:
    from trainer_module.networks import word_vectors

    return word_vectors.list_words() if weights == "minilm" else []


def list_vocabulary(transform: tft.TFTransformOutput) -> tuple[list[str], list[str]]:
    """Returns the words and the pairs of words, in the order of their ids."""
    words, pairs = ([word.decode() for word in transform.vocabulary_by_name(name)] for name in (WORDS, PAIRS))
    return words, pairs


def build_model(
    labels: Sequence[str], settings: ModelSettings, transform: tft.TFTransformOutput
) -> keras.Model:
    """Builds the classifier: token ids, int32 [N, 2 * text_length], to probabilities, float32 [N, labels].

    Each word and each pair of words of a text votes: with the log-counts of its texts by label, as in naive
    Bayes, and with what its vector says, which training corrects (Wang and Manning, 2012). With
    `lstm_units`, so do the mean and the maximum of embeddings, and the final states of a bidirectional LSTM,
    which sees the order of the words. The LSTM reads smaller embeddings of its own, without word dropout:
    without its "not" a text says something else.

    Args:
        labels: Only their number counts.
        settings: Have the sizes and dropouts of texts.
        transform: Has the vocabularies and the length of a text.
    """
    import keras

    from trainer_module.networks.text_layers import BidirectionalLSTM, PooledWords

    words, pairs = list_vocabulary(transform)
    length = transform.transformed_feature_spec()[TOKENS].shape[0] // 2
    ids = keras.Input((2 * length,), dtype="int32", name=TOKENS)

    def drop_words(embedded: keras.KerasTensor) -> keras.KerasTensor:
        shape = (None, embedded.shape[1], 1)
        return keras.layers.Dropout(settings.word_dropout, noise_shape=shape)(embedded)

    count = FIRST_WORD + len(words) + len(pairs)
    votes = keras.layers.Embedding(count, len(labels), mask_zero=True, name=_VOTES)(ids)
    scale = keras.layers.Dense(len(labels), kernel_initializer="identity", name=_SCALE)
    logits = scale(PooledWords()(drop_words(votes)))
    if settings.lstm_units:

        def embed(size: int) -> keras.KerasTensor:
            return keras.layers.Embedding(FIRST_WORD + len(words), size, mask_zero=True)(ids[:, :length])

        size = settings.embedding_size
        dropout = keras.layers.Dropout(settings.embedding_dropout)
        pooled = PooledWords(largest=True)(dropout(drop_words(embed(size))))
        states = BidirectionalLSTM(settings.lstm_units)(dropout(embed(max(size // 4, 2))))
        features = keras.layers.Dropout(0.5)(keras.layers.Concatenate()([pooled, states]))
        logits = keras.layers.Add()([logits, keras.layers.Dense(len(labels))(features)])
    return keras.Model(ids, keras.layers.Softmax(name="probabilities", dtype="float32")(logits))


def initialize(
    model: keras.Model,
    batches: Iterable[tuple[tf.Tensor, tf.Tensor]],
    settings: ModelSettings,
    transform: tft.TFTransformOutput,
) -> None:
    """Sets each word's votes by the labels of the texts that have it: the log of its share above the mean.

    With `weights`, a logistic regression on the mean of a text's vectors is fitted on top; what it says of
    each word's vector is added to its votes, also where no text has the word.

    The texts are counted here and not in Transform, whose counts would include groups on which this model may
    be measured.

    Args:
        model: Made by `build_model`; gets the votes.
        batches: The training examples, once: token ids, int32 [N, 2 * text_length], and label ids, [N].
        settings: Have `weights`, and how often a word has to occur.
        transform: Has the vocabularies, in the order of the ids.
    """
    import numpy as np

    from trainer_module.networks import word_vectors

    words, pairs = list_vocabulary(transform)
    votes = model.get_layer(_VOTES)
    counts = np.zeros(votes.embeddings.shape, np.float32)
    rows: list[np.ndarray] = []
    labels: list[int] = []
    for batch, label in batches:
        ids = np.sort(batch.numpy(), axis=1)
        once = np.diff(ids, axis=1, prepend=-1) != 0
        np.add.at(counts, (ids[once], np.repeat(label.numpy(), once.sum(axis=1))), 1)
        if len(labels) < _MOST_FITTED:
            rows += list(ids)
            labels += label.numpy().tolist()
    counts[:FIRST_WORD] = 0
    # Rare words that are not public, such as one person's, are not shipped.
    public = np.isin([""] * FIRST_WORD + words + pairs, _list_public(settings.weights))
    rare = (counts.sum(axis=1) < settings.vocabulary_min_count) & ~public
    counts[rare] = 0
    logs = np.log((counts + 1) / (counts + 1).sum(axis=0))
    table = np.where(counts.any(axis=1, keepdims=True), logs - logs.mean(axis=1, keepdims=True), 0)

    def pool(values: np.ndarray) -> np.ndarray:
        """Sums the values of each text's ids as `PooledWords` does, text by text to save memory."""
        sizes = [max(int(np.count_nonzero(ids)), 1) for ids in rows]
        return np.stack([values[ids].sum(axis=0) / n**0.5 for ids, n in zip(rows, sizes, strict=True)])

    if settings.weights == "minilm" and rows:
        vectors = np.zeros((len(table), word_vectors.SIZE), np.float32)
        vectors[FIRST_WORD : FIRST_WORD + len(words)] = word_vectors.read_vectors(words)
        vectors[rare] = 0
        kernel, bias = word_vectors.fit_classes(pool(vectors), pool(table), np.array(labels))
        table += vectors @ kernel
        model.get_layer(_SCALE).bias.assign(bias)
    votes.set_weights([table])


def edge_contract(
    transform: tft.TFTransformOutput, settings: ModelSettings, workload: Workload
) -> dict[str, Any]:
    """Returns preprocessing.json, by which `edgeline.edge.contracts.tokens` makes a phone's token ids.

    Args:
        transform: Has the vocabularies and the length of a text.
        settings: Not read.
        workload: Has the name of the column with texts.
    """
    words, pairs = list_vocabulary(transform)
    return {
        "version": 3,
        "kind": "tokens",
        "normalization": "NFC",
        "input": TEXT,
        "column": workload.text_column or TEXT,
        "length": transform.transformed_feature_spec()[TOKENS].shape[0] // 2,
        "padding": PADDING,
        "unknown": UNKNOWN,
        "first": FIRST_WORD,
        "vocabulary": words + pairs,
        "tokenizer": RULES,
    }
