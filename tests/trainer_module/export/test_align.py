"""A SavedModel with older labels is changed to answer with the current ones."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.examples import serialize
from trainer_module.export.align import align_labels

pytestmark = pytest.mark.e2e

OWN = ("ok", "misplaced", "damaged")
ANSWER = (0.5, 0.3, 0.2)


def save_model(folder: Path) -> None:
    """Saves a model with the signatures of an export; it gives each example the same answer."""
    module = tf.Module()
    spec = [tf.TensorSpec((None,), tf.string, name="examples")]
    module.answer = tf.Variable([ANSWER])

    @tf.function(input_signature=spec)
    def serve(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.repeat(module.answer, tf.size(examples), axis=0)}

    @tf.function(input_signature=spec)
    def transform(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        unknown = -tf.ones_like(tf.strings.length(examples), tf.int64)
        return {"image": tf.ones((tf.size(examples), 2)), "label": unknown}

    tf.saved_model.save(module, str(folder), {"serving_default": serve, "transform_features": transform})


def test_probabilities_and_labels_are_matched_by_name(tmp_path):
    """One label is new, two changed places, and one is gone, whose probability comes last."""
    save_model(tmp_path / "model")
    labels = ("broken", "damaged", "ok")
    align_labels(tmp_path / "model", OWN, labels)
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    examples = tf.constant([serialize({"label": label}) for label in (*labels, "unknown")])
    probabilities = signatures["serving_default"](examples=examples)["probabilities"]
    np.testing.assert_allclose(probabilities, [(0.0, 0.2, 0.5, 0.3)] * len(examples), atol=1e-7)
    features = signatures["transform_features"](examples=examples)
    assert features["label"].numpy().tolist() == [*range(len(labels)), -1]
    assert features["image"].shape == (len(examples), 2)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
