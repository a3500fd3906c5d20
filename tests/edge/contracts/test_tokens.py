import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from edge.contracts.tokens import preprocess
from errors import EdgelineError
from records.workload import Workload
from tests.trainer_module.text_samples import REVIEWS, SETTINGS, hostile_texts, transform_texts
from trainer_module import texts
from trainer_module.settings import ModelSettings

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def transform(tmp_path_factory):
    return tft.TFTransformOutput(transform_texts(REVIEWS, tmp_path_factory.mktemp("texts")))


@pytest.fixture(scope="module")
def contract(transform):
    """As a bundle has it: through JSON."""
    workload = Workload("text", "", "trainer_module.texts", "data.texts.source")
    return json.loads(json.dumps(texts.edge_contract(transform, ModelSettings(**SETTINGS), workload)))


def test_ids_are_those_of_the_transform_graph_for_a_thousand_reviews_and_hostile_texts(transform, contract):
    contents = [row["text"].encode() for row in REVIEWS] + hostile_texts()
    graph = transform.transform_features_layer()(
        {"text": tf.sparse.from_dense([[content] for content in contents])}
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
    [{"version": 2}, {"kind": "row"}, {"tokenizer": {"version": 2}}, {"length": 0}, {"vocabulary": None}],
)
def test_a_contract_that_asks_for_something_else_is_refused(contract, change):
    with pytest.raises(EdgelineError, match="cannot be followed"):
        preprocess("a", {**contract, **change})
