import numpy as np
import pytest
import tensorflow as tf

from edgeline.errors import EdgelineError
from trainer_module.export.conversion_worker import _load_converter


class Classifier(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), name="photo")])
    def serve(self, photo):
        return {"probabilities": tf.reduce_mean(photo, axis=1)}


def test_a_signature_with_an_open_size_is_refused(tmp_path):
    model = Classifier()
    tf.saved_model.save(model, str(tmp_path / "model"), {"serve": model.serve})
    np.save(tmp_path / "examples.npy", np.zeros((1, 2, 3), np.float32))
    with pytest.raises(EdgelineError, match=r"'serve' is float32 \[None, None, 3\]"):
        _load_converter(tmp_path / "model", "serve", tmp_path / "examples.npy", dense_per_tensor=False)
