import json
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from edgeline.edge.contracts.tokens import preprocess
from edgeline.errors import EdgelineError
from edgeline.records.rejection import repair_text
from edgeline.records.workload import Workload
from tests.trainer_module.workloads.text_samples import REVIEWS, SETTINGS, hostile_texts, transform_texts
from trainer_module.settings import ModelSettings
from trainer_module.workloads import texts

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def transform(tmp_path_factory):
    return tft.TFTransformOutput(transform_texts(REVIEWS, tmp_path_factory.mktemp("texts")))


@pytest.fixture(scope="module")
def contract(transform):
    """Makes the contract and reads it back from JSON, as from a bundle."""
    workload = Workload("text", "", "trainer_module.workloads.texts", "data.texts.source")
    return json.loads(json.dumps(texts.edge_contract(transform, ModelSettings(**SETTINGS), workload)))


def normalize(content):
    """Repairs and normalizes a text as its source does, which refuses other encodings than UTF-8."""
    text = repair_text(content.decode("utf-8", "surrogateescape"))
    try:
        return unicodedata.normalize("NFC", text).encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def test_an_umlaut_typed_as_two_characters_is_the_one_that_was_trained_on(contract):
    spelled = {**contract, "vocabulary": ["caf\u00e9", "cafe"]}
    for typed in ("cafe\u0301", "caf\u00e9"):
        assert preprocess(typed, spelled)[0, 0] == spelled["first"]


def test_pairs_of_words_come_after_the_words(contract):
    short = {**contract, "vocabulary": ["not", "bad", "not bad"], "length": 3}
    assert preprocess("Not bad! Not bad", short).tolist() == [[2, 3, 1, 4, 0, 0]]


def test_ids_are_those_of_the_transform_graph_for_a_thousand_reviews_and_hostile_texts(transform, contract):
    contents = [row["text"].encode() for row in REVIEWS] + hostile_texts()
    graph = transform.transform_features_layer()(
        {"text": tf.sparse.from_dense([[normalize(content)] for content in contents])}
    )
    ours = np.concatenate([preprocess(content, contract) for content in contents])
    assert len(REVIEWS) >= 1000
    assert ours.dtype == np.int32
    np.testing.assert_array_equal(ours, graph["tokens"].numpy())


def test_a_text_and_its_bytes_give_the_same(contract):
    text = "Great 👍 staff, isn't it?"
    np.testing.assert_array_equal(preprocess(text, contract), preprocess(text.encode(), contract))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"normalization": "NFD"},
        {"kind": "row"},
        {"tokenizer": {"version": 2}},
        {"length": 0},
        {"vocabulary": None},
    ],
)
def test_a_contract_that_asks_for_something_else_is_refused(contract, change):
    with pytest.raises(EdgelineError, match="preprocessing contract is not supported"):
        preprocess("a", {**contract, **change})
