import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from deploy.serving import client
from edgeline.edge.inspect import inspect
from edgeline.edge.interpreter import EdgeModel
from pipeline.workloads import find_workload, with_features
from tests.examples import serialize
from tests.serving import send_warm_up, serve_model, write_bundle
from tests.trainer_module.samples import save_model
from tests.trainer_module.workloads.text_samples import (
    LABELS,
    REVIEWS,
    SETTINGS,
    hostile_texts,
    transform_texts,
)
from tests.warm import WarmRun, fork_conversions
from trainer_module.export.convert import convert
from trainer_module.export.metadata import write_metadata
from trainer_module.export.signatures import export
from trainer_module.settings import ModelSettings
from trainer_module.workloads import texts

pytestmark = pytest.mark.e2e

MODEL = ModelSettings(**SETTINGS)
WITH_LSTM = ModelSettings(**SETTINGS, embedding_size=8, lstm_units=4)


@pytest.fixture(scope="module")
def transform(tmp_path_factory):
    return tft.TFTransformOutput(transform_texts(REVIEWS, tmp_path_factory.mktemp("texts")))


@pytest.fixture(scope="module")
def tokenize(transform):
    layer = transform.transform_features_layer()

    def tokenize_all(contents):
        raw = {"text": tf.sparse.from_dense([[content] for content in contents])}
        return layer(raw)["tokens"].numpy()

    return tokenize_all


@pytest.fixture(scope="module")
def model(request, transform, tokenize):
    """Trains a model for a few steps, so that its probabilities differ."""
    import keras

    keras.utils.set_random_seed(1)
    model = texts.build_model(LABELS, request.param, transform)
    model.compile("adam", "sparse_categorical_crossentropy")
    ids, labels = encode_rows(REVIEWS, tokenize)
    texts.initialize(model, [(tf.constant(ids), tf.constant(labels))], request.param, transform)
    model.fit(ids, labels, epochs=5, batch_size=100, verbose=0)
    return model


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({"word_dropout": 0.0}, [0.0]),
        ({"word_dropout": 0.3, "embedding_dropout": 0.4, "lstm_units": 4}, [0.3, 0.3, 0.4, 0.5]),
    ],
)
def test_the_dropout_of_words_and_of_embeddings_is_as_it_was_set(transform, settings, rates):
    model = texts.build_model(LABELS, ModelSettings(**SETTINGS, **settings), transform)
    assert sorted(layer.rate for layer in model.layers if hasattr(layer, "rate")) == rates


def encode_rows(rows, tokenize):
    ids = tokenize([row["text"].encode() for row in rows]).astype(np.int32)
    return ids, np.array([LABELS.index(row["label"]) for row in rows])


def test_the_votes_of_words_are_counted_in_the_training_texts_only(transform, tokenize):
    """Transform has the words of all texts; words by label are counted in these texts only."""
    ids, labels = encode_rows(REVIEWS[:200], tokenize)
    model = texts.build_model(LABELS, MODEL, transform)
    batches = [
        (tf.constant(ids[at : at + 64]), tf.constant(labels[at : at + 64])) for at in (0, 64, 128, 192)
    ]
    texts.initialize(model, batches, MODEL, transform)
    votes = model.get_layer("votes_of_words").get_weights()[0]

    contains = np.array([(ids == word).any(axis=1) for word in range(len(votes))])
    counts = np.stack([contains[:, labels == label].sum(axis=1) for label in (0, 1)], axis=1)
    counts[:2] = 0
    unseen = counts.sum(axis=1) < SETTINGS["vocabulary_min_count"]
    counts[unseen] = 0
    logs = np.log((counts + 1) / (counts + 1).sum(axis=0))
    np.testing.assert_allclose(votes[~unseen], (logs - logs.mean(axis=1, keepdims=True))[~unseen], atol=1e-6)
    assert unseen[2:].any() and not votes[unseen].any()
    assert np.abs(votes[~unseen]).max() > 1


def test_pairs_of_words_are_learned_and_the_most_frequent_words_are_known(tmp_path):
    """`not good` and `not bad` differ in label from `good` and `bad`."""
    contents = {"positive": ["good food", "food not bad"], "negative": ["bad food", "food not good"]}
    labelled = [
        (f"{text} word{n} word{n}", label) for label in LABELS for n, text in enumerate(contents[label] * 20)
    ]
    rows = [{"text": text, "label": label} for text, label in labelled]
    transform = tft.TFTransformOutput(transform_texts(rows, tmp_path, vocabulary_size=10))
    words = transform.vocabulary_by_name("words")
    assert len(words) == 10 and set(words[:4]) == {b"food", b"good", b"bad", b"not"}
    assert set(transform.vocabulary_by_name("pairs")) >= {b"not bad", b"not good"}
    layer = transform.transform_features_layer()
    ids = layer({"text": tf.sparse.from_dense([[row["text"]] for row in rows])})["tokens"]
    labels = np.array([LABELS.index(row["label"]) for row in rows])
    model = texts.build_model(LABELS, MODEL, transform)
    texts.initialize(model, [(tf.cast(ids, tf.int32), tf.constant(labels))], MODEL, transform)
    assert (model(ids).numpy().argmax(axis=1) == labels).all()


def test_the_length_fits_95_of_100_texts():
    lengths = [20] * 94 + [30] * 2 + [900] * 4
    examples = [
        tf.train.Example.FromString(serialize({"text": "word " * length})).features.feature
        for length in lengths
    ]
    assert texts.settle({"text_length": None}, examples)["text_length"] == 32
    assert texts.settle({"text_length": None}, examples[96:])["text_length"] == 256
    assert texts.settle({"text_length": 5}, examples)["text_length"] == 5


def test_the_id_of_a_word_is_its_place_in_the_vocabulary_and_a_short_text_is_padded(transform, tokenize):
    vocabulary = [word.decode() for word in transform.vocabulary_by_name("words")]
    ids = tokenize([b"The STAFF, unheardof!"])
    known = [2 + vocabulary.index(word) for word in ("the", "staff", "!")]
    pair = 2 + len(vocabulary) + list(transform.vocabulary_by_name("pairs")).index(b"the staff")
    assert ids.shape == (1, 64)
    assert ids[0].tolist() == [*known[:2], 1, known[2], *[0] * 28, pair, *[0] * 31]


def test_tokens_do_not_depend_on_the_locale(tmp_path, monkeypatch):
    """In a process with a Turkish locale `tf.strings.lower` gives a dotless i for I."""
    code = (
        "import tensorflow as tf; from trainer_module.workloads.texts import split_words;"
        "print(split_words(tf.constant(['I İi'])).to_list()[0])"
    )
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    assert WarmRun([code], tmp_path, tmp_path / "output", tmp_path / "log", job="python").wait() == 0
    here = texts.split_words(tf.constant(["I İi"])).to_list()[0]
    assert here == [b"i", b"ii"] and (tmp_path / "output").read_text() == "[b'i', b'ii']\n"


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """Converts the model and returns its edge files by variant, with the metadata of EdgeConverter."""
    folder = tmp_path_factory.mktemp("files")
    saved = save_model(model, "serve_tensors", folder / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer_module.export.convert.subprocess", fork_conversions())
        conversions = convert(saved, "serve_tensors", list(TOLERANCES), np.zeros((1, 64), np.int32), folder)
    paths = {conversion.variant: folder / conversion.file for conversion in conversions}
    for path in paths.values():
        write_metadata(path, "serve_tensors", with_features(find_workload("text")), {"kind": "tokens"})
    return paths


TOLERANCES = {"fp32": 1e-5, "fp16": 2e-3, "dynamic": 3e-2}


# A model without an LSTM has a part of its operations.
@pytest.mark.parametrize("model", [WITH_LSTM], indirect=True)
@pytest.mark.parametrize("variant", TOLERANCES)
def test_the_edge_file_needs_only_builtin_operations_and_answers_as_the_model(
    model, tokenize, files, variant
):
    report = inspect(files[variant])
    assert report.custom_ops == report.flex_ops == ()
    ids = tokenize([row["text"].encode() for row in REVIEWS[:50]] + hostile_texts()[:50]).astype(np.int32)
    expected = model(ids).numpy()
    assert np.ptp(expected[:50, 0]) > 0.3
    predictions = EdgeModel(files[variant]).predict(ids)
    np.testing.assert_allclose(predictions, expected, atol=TOLERANCES[variant])


@pytest.mark.parametrize("model", [MODEL], indirect=True)
def test_a_text_is_served_to_a_client_as_training_reads_it(model, transform, tmp_path):
    export(model, transform, str(tmp_path / "model"), with_features(find_workload("text")))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    assert send_warm_up(tmp_path / "model", loaded) == {
        **{name: {"probabilities": (1, 2)} for name in ("serving_default", "serve_raw", "serve_tensors")},
        "transform_features": {"tokens": (1, 64), "label": (1,)},
    }

    contract = {"kind": "tokens", "input": "text", "normalization": "NFC"}
    bundle = write_bundle(tmp_path / "bundle", "text", LABELS, contract)
    # It was decoded twice.
    (tmp_path / "text.txt").write_text("It doesn\u00e2\u0080\u0099t help 👍", encoding="utf-8")
    answer = loaded.signatures["serve_raw"](text=tf.constant(["It doesn\u2019t help 👍"]))
    expected = answer["probabilities"].numpy()[0]
    with serve_model(loaded, "text", 3) as (rest, _):
        arguments = [str(bundle), str(tmp_path / "text.txt"), "--server", rest]
        command = [sys.executable, client.__file__, *arguments]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.split() == [LABELS[expected.argmax()], f"{expected.max():.4f}"]
