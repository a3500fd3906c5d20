import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from deploy.serving import client
from edgeline.edge.inspect import inspect
from edgeline.edge.interpreter import EdgeModel
from pipeline.workloads import BUILT_IN, with_features
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
from trainer_module.workloads.tokens import split_words

pytestmark = pytest.mark.e2e

MODEL = ModelSettings(**SETTINGS)
WITH_LSTM = ModelSettings(**SETTINGS, embedding_size=8, lstm_units=4)


@pytest.fixture(scope="module")
def transform(tmp_path_factory):
    return tft.TFTransformOutput(transform_texts(REVIEWS, tmp_path_factory.mktemp("texts")))


@pytest.fixture(scope="module")
def tokens(transform):
    layer = transform.transform_features_layer()

    def of(contents):
        raw = {"text": tf.sparse.from_dense([[content] for content in contents])}
        return layer(raw)["tokens"].numpy()

    return of


@pytest.fixture(scope="module", params=[MODEL, WITH_LSTM], ids=["votes", "LSTM"])
def model(request, transform, tokens):
    """Trained for a moment, so that its probabilities differ."""
    import keras

    keras.utils.set_random_seed(1)
    model = texts.build_model(LABELS, request.param, transform)
    model.compile("adam", "sparse_categorical_crossentropy")
    ids, labels = learned_from(REVIEWS, tokens)
    texts.initialize(model, [(tf.constant(ids), tf.constant(labels))], request.param, transform)
    model.fit(ids, labels, epochs=5, batch_size=100, verbose=0)
    return model


def learned_from(rows, tokens):
    ids = tokens([row["text"].encode() for row in rows]).astype(np.int32)
    return ids, np.array([LABELS.index(row["label"]) for row in rows])


def test_words_vote_as_the_texts_that_are_learned_from_use_them_and_no_others(transform, tokens):
    """Transform knows the words of all texts; how they are spread over labels is counted of these alone."""
    ids, labels = learned_from(REVIEWS[:200], tokens)
    model = texts.build_model(LABELS, MODEL, transform)
    batches = [
        (tf.constant(ids[at : at + 64]), tf.constant(labels[at : at + 64])) for at in (0, 64, 128, 192)
    ]
    texts.initialize(model, batches, MODEL, transform)
    votes = model.get_layer("votes_of_words").get_weights()[0]

    has = np.array([(ids == word).any(axis=1) for word in range(len(votes))])
    counts = np.stack([has[:, labels == label].sum(axis=1) for label in (0, 1)], axis=1)
    counts[:2] = 0
    unseen = counts.sum(axis=1) < SETTINGS["vocabulary_min_count"]
    counts[unseen] = 0
    logs = np.log((counts + 1) / (counts + 1).sum(axis=0))
    np.testing.assert_allclose(votes[~unseen], (logs - logs.mean(axis=1, keepdims=True))[~unseen], atol=1e-6)
    assert unseen[2:].any() and not votes[unseen].any()
    assert np.abs(votes[~unseen]).max() > 1


def test_a_pair_of_words_tells_what_its_words_do_not_and_the_most_frequent_ones_are_known(tmp_path):
    """`not good` and `not bad` are told from `good` and `bad`."""
    said = {"positive": ["good food", "food not bad"], "negative": ["bad food", "food not good"]}
    texts_of = [
        (f"{text} word{n} word{n}", label) for label in LABELS for n, text in enumerate(said[label] * 20)
    ]
    rows = [{"text": text, "label": label} for text, label in texts_of]
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


def test_the_length_is_that_of_95_of_100_texts():
    lengths = [20] * 94 + [30] * 2 + [900] * 4
    examples = [
        tf.train.Example.FromString(serialize({"text": "word " * length})).features.feature
        for length in lengths
    ]
    assert texts.settle({"text_length": None}, examples)["text_length"] == 32
    assert texts.settle({"text_length": None}, examples[96:])["text_length"] == 256
    assert texts.settle({"text_length": 5}, examples)["text_length"] == 5


def test_a_words_id_is_its_place_in_the_vocabulary_and_a_short_text_is_filled_up(transform, tokens):
    vocabulary = [word.decode() for word in transform.vocabulary_by_name("words")]
    ids = tokens([b"The STAFF, unheardof!"])
    known = [2 + vocabulary.index(word) for word in ("the", "staff", "!")]
    pair = 2 + len(vocabulary) + list(transform.vocabulary_by_name("pairs")).index(b"the staff")
    assert ids.shape == (1, 64)
    assert ids[0].tolist() == [*known[:2], 1, known[2], *[0] * 28, pair, *[0] * 31]


def test_tokens_do_not_depend_on_the_locale(tmp_path, monkeypatch):
    """`tf.strings.lower` gives a dotless i for I in a Turkish one, if the process began with that."""
    code = (
        "import tensorflow as tf; from trainer_module.workloads.tokens import split_words;"
        "print(split_words(tf.constant(['I İi'])).to_list()[0])"
    )
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    assert WarmRun([code], tmp_path, tmp_path / "printed", tmp_path / "said", job="python").wait() == 0
    here = split_words(tf.constant(["I İi"])).to_list()[0]
    assert here == [b"i", b"ii"] and (tmp_path / "printed").read_text() == "[b'i', b'ii']\n"


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """Edge files by variant, with metadata as EdgeConverter writes it."""
    folder = tmp_path_factory.mktemp("files")
    saved = save_model(model, "serve_tensors", folder / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer_module.export.convert.subprocess", fork_conversions())
        made = convert(saved, "serve_tensors", list(TOLERANCES), np.zeros((1, 64), np.int32), folder)
    paths = {each.variant: folder / each.file for each in made}
    for path in paths.values():
        write_metadata(path, "serve_tensors", with_features(BUILT_IN["text"]), {"kind": "tokens"})
    return paths


TOLERANCES = {"fp32": 1e-5, "fp16": 2e-3, "dynamic": 3e-2}


@pytest.mark.parametrize("variant", TOLERANCES)
def test_the_edge_file_needs_builtin_operations_alone_and_says_what_the_model_says(
    model, tokens, files, variant
):
    report = inspect(files[variant])
    assert report.custom_ops == report.flex_ops == ()
    ids = tokens([row["text"].encode() for row in REVIEWS[:50]] + hostile_texts()[:50]).astype(np.int32)
    expected = model(ids).numpy()
    assert np.ptp(expected[:50, 0]) > 0.3
    said = EdgeModel(files[variant]).predict(ids)
    np.testing.assert_allclose(said, expected, atol=TOLERANCES[variant])


@pytest.mark.parametrize("model", [MODEL], indirect=True)
def test_a_text_is_served_to_a_client_that_has_nothing_but_python(model, transform, tmp_path):
    export(model, transform, str(tmp_path / "model"), with_features(BUILT_IN["text"]))
    served = tf.saved_model.load(str(tmp_path / "model"))
    assert send_warm_up(tmp_path / "model", served) == {
        **{name: {"probabilities": (1, 2)} for name in ("serving_default", "serve_raw", "serve_tensors")},
        "transform_features": {"tokens": (1, 64), "label": (1,)},
    }

    bundle = write_bundle(tmp_path / "bundle", "text", LABELS, {"kind": "tokens", "input": "text"})
    (tmp_path / "text.txt").write_text("Great staff 👍", encoding="utf-8")
    expected = served.signatures["serve_raw"](text=tf.constant(["Great staff 👍"]))["probabilities"].numpy()[
        0
    ]
    with serve_model(served, "text", 3) as (rest, _):
        asked = [str(bundle), str(tmp_path / "text.txt"), "--server", rest]
        said = subprocess.run(
            [sys.executable, "-I", "-S", client.__file__, *asked], capture_output=True, text=True, check=True
        ).stdout
    assert said.split() == [LABELS[expected.argmax()], f"{expected.max():.4f}"]
