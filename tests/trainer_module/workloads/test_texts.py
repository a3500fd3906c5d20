import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from deploy.serving import client
from edgeline.edge.inspect import inspect
from edgeline.edge.interpreter import load_interpreter
from pipeline.workloads import BUILT_IN, with_features
from tests.serving import serving, warmed, write_bundle
from tests.trainer_module.workloads.text_samples import (
    LABELS,
    REVIEWS,
    SETTINGS,
    hostile_texts,
    transform_texts,
)
from trainer_module.export.signatures import export
from trainer_module.settings import ModelSettings
from trainer_module.workloads import texts
from trainer_module.workloads.tokens import split_words

pytestmark = pytest.mark.e2e

MODEL = ModelSettings(**SETTINGS, embedding_size=8, lstm_units=4)


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


@pytest.fixture(scope="module")
def model(transform, tokens):
    """Trained for a moment, so that its probabilities differ."""
    import keras

    keras.utils.set_random_seed(1)
    model = texts.build_model(LABELS, MODEL, transform)
    model.compile("adam", "sparse_categorical_crossentropy")
    ids, labels = learned_from(REVIEWS, tokens)
    texts.initialize(model, [(tf.constant(ids), tf.constant(labels))], MODEL)
    model.fit(ids, labels, epochs=30, batch_size=100, verbose=0)
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
    texts.initialize(model, batches, MODEL)
    votes = model.get_layer("votes_of_words").get_weights()[0]

    counts = np.array(
        [[(ids[labels == label] == word).sum() for label in (0, 1)] for word in range(len(votes))]
    )
    counts[:2] = 0
    counts[counts < SETTINGS["vocabulary_min_count"]] = 0
    logs = np.log((counts + 1) / (counts + 1).sum(axis=0))
    np.testing.assert_allclose(votes, logs - logs.mean(axis=1, keepdims=True), atol=1e-6)
    unseen = (counts.sum(axis=1) == 0) & (np.arange(len(votes)) >= 2)
    assert unseen.any() and np.ptp(votes[unseen], axis=0).max() == 0
    assert np.abs(votes[~unseen]).max() > 1


def test_a_words_id_is_its_place_in_the_vocabulary_and_a_short_text_is_filled_up(transform, tokens):
    vocabulary = [word.decode() for word in transform.vocabulary_by_name("words")]
    ids = tokens([b"The STAFF, unheardof!"])
    known = [2 + vocabulary.index(word) for word in ("the", "staff", "!")]
    assert ids.shape == (1, 32)
    assert ids[0].tolist() == [*known[:2], 1, known[2], *[0] * 28]


def test_the_vocabulary_keeps_the_most_frequent_words_when_it_would_grow_past_its_limit(tmp_path):
    rows = [{"text": f"often often usual usual word{i} word{i}", "label": "positive"} for i in range(300)]
    found = tft.TFTransformOutput(transform_texts(rows, tmp_path, vocabulary_size=10))
    words = [word.decode() for word in found.vocabulary_by_name("words")]
    assert len(words) == 10
    assert words[:2] == ["usual", "often"]


def test_an_empty_text_is_all_padding_and_a_long_one_is_cut(tokens):
    ids = tokens([b"", b"\xff\xfe", b"the staff " * 5000])
    assert not ids[:2].any()
    assert (ids[2] > 1).all()


def test_label_ids_follow_the_given_order_and_unknown_ones_are_minus_one(transform):
    raw = {"text": [[b"a"]] * 3, "label": [["positive"], ["negative"], ["torn"]]}
    sparse = {name: tf.sparse.from_dense(values) for name, values in raw.items()}
    assert transform.transform_features_layer()(sparse)["label"].numpy().ravel().tolist() == [1, 0, -1]


def test_tokens_do_not_depend_on_the_locale():
    """`tf.strings.lower` gives a dotless i for I in a Turkish one."""
    code = (
        "import tensorflow as tf; from trainer_module.workloads.tokens import split_words;"
        "print(split_words(tf.constant(['I İi'])).to_list()[0])"
    )
    environment = {**os.environ, "LC_ALL": "tr_TR.UTF-8", "TF_CPP_MIN_LOG_LEVEL": "3"}
    turkish = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    here = split_words(tf.constant(["I İi"])).to_list()[0]
    assert here == [b"i", b"ii"] and turkish.stdout == b"[b'i', b'ii']\n"


def test_the_model_gives_the_same_for_a_text_whatever_follows_its_end(model, tokens):
    """Padding is masked: a model for longer texts with the same weights says the same of a short one."""
    import keras

    longer = keras.models.clone_model(
        model, input_tensors=keras.Input((48,), dtype="int32"), clone_function=lambda layer: layer
    )
    ids = tokens([b"The staff is great!", b"", b"slow"]).astype(np.int32)
    padded = np.pad(ids, ((0, 0), (0, 16)))
    np.testing.assert_allclose(longer(padded).numpy(), model(ids).numpy(), atol=1e-6)


@pytest.fixture(scope="module")
def convert(model, tmp_path_factory):
    """Edge files as `trainer_module/export/conversion_worker.py` makes them: of a signature, at batch 1."""
    import keras

    folder = tmp_path_factory.mktemp("saved")
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve_tensors",
        lambda tokens: {"probabilities": model(tokens, training=False)},
        input_signature=[tf.TensorSpec((None, 32), tf.int32, name="tokens")],
    )
    archive.write_out(str(folder), verbose=False)
    loaded = tf.saved_model.load(str(folder))
    one = tf.function(
        lambda tokens: loaded.signatures["serve_tensors"](tokens=tokens),
        input_signature=[tf.TensorSpec((1, 32), tf.int32, name="tokens")],
    ).get_concrete_function()

    def make(variant):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([one], loaded)
        converter.optimizations = [] if variant == "fp32" else [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16] if variant == "fp16" else []
        path = folder / f"{variant}.tflite"
        path.write_bytes(converter.convert())
        return path

    return make


@pytest.mark.parametrize(("variant", "tolerance"), [("fp32", 1e-5), ("fp16", 2e-3), ("dynamic", 3e-2)])
def test_the_edge_file_needs_builtin_operations_alone_and_says_what_the_model_says(
    model, tokens, convert, variant, tolerance
):
    file = convert(variant)
    report = inspect(file)
    assert report.custom_ops == report.flex_ops == ()
    interpreter, _ = load_interpreter(file)
    ((given,), (out,)) = interpreter.get_input_details(), interpreter.get_output_details()
    ids = tokens([row["text"].encode() for row in REVIEWS[:50]] + hostile_texts()[:50]).astype(np.int32)
    said = []
    for row in ids:
        interpreter.set_tensor(given["index"], row[np.newaxis])
        interpreter.invoke()
        said.append(interpreter.get_tensor(out["index"])[0])
    expected = model(ids).numpy()
    assert np.ptp(expected[:50, 0]) > 0.3
    np.testing.assert_allclose(said, expected, atol=tolerance)


def test_a_text_is_served_to_a_client_that_has_nothing_but_python(model, transform, tmp_path):
    export(model, transform, str(tmp_path / "model"), with_features(BUILT_IN["text"]))
    served = tf.saved_model.load(str(tmp_path / "model"))
    assert warmed(tmp_path / "model", served) == {
        **{name: {"probabilities": (1, 2)} for name in ("serving_default", "serve_raw", "serve_tensors")},
        "transform_features": {"tokens": (1, 32), "label": (1,)},
    }

    bundle = write_bundle(tmp_path / "bundle", "text", LABELS, {"kind": "tokens", "input": "text"})
    (tmp_path / "text.txt").write_text("Great staff 👍", encoding="utf-8")
    expected = served.signatures["serve_raw"](text=tf.constant(["Great staff 👍"]))["probabilities"].numpy()[
        0
    ]
    with serving(served, "text", 3) as (rest, _):
        asked = [str(bundle), str(tmp_path / "text.txt"), "--server", rest]
        said = subprocess.run(
            [sys.executable, "-I", "-S", client.__file__, *asked], capture_output=True, text=True, check=True
        ).stdout
    assert said.split() == [LABELS[expected.argmax()], f"{expected.max():.4f}"]
