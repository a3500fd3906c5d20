import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from trainer_module import photos

LABELS = ["ok", "misplaced", "damaged"]
CONFIG = {"labels": LABELS, "image_size": 32, "channels": 1}


def jpeg(width: int, height: int, mode: str = "L") -> bytes:
    gradient = np.linspace(0, 255, width * height, dtype=np.uint8).reshape(height, width)
    file = io.BytesIO()
    Image.fromarray(gradient).convert(mode).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.mark.parametrize("size", [(32, 32), (100, 60), (20, 90)])
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pixels_are_those_that_pillow_gives(size, channels, mode):
    photo = jpeg(*size, mode)
    ours = photos.decode_photos(tf.constant([photo]), 32, channels)[0]
    pillow = Image.open(io.BytesIO(photo)).convert(mode).resize((32, 32), Image.Resampling.BILINEAR)
    assert ours.dtype == tf.uint8
    # Pillow rounds after each of its two passes, TensorFlow once: one level of 255 apart at the most.
    difference = np.abs(ours.numpy().astype(int) - np.asarray(pillow).reshape(32, 32, channels))
    assert difference.max() <= 1


def test_a_label_is_its_place_in_the_given_order_and_not_in_the_data():
    features = photos.preprocessing_fn(
        {"photo": tf.constant([jpeg(32, 32)] * 3), "label": tf.constant(["damaged", "ok", "damaged"])}, CONFIG
    )
    assert features["label"].numpy().tolist() == [2, 0, 2]
    assert features["label"].dtype == tf.int64


def test_an_unknown_and_a_missing_label_become_minus_one():
    labels = tf.sparse.from_dense([["ok"], [""], ["torn"]])
    features = photos.preprocessing_fn(
        {"photo": tf.sparse.from_dense([[jpeg(32, 32)]] * 3), "label": labels}, CONFIG
    )
    assert features["label"].numpy().tolist() == [0, -1, -1]


def test_sparse_and_dense_photos_give_the_same_image():
    photo, label = jpeg(40, 40), tf.constant(["ok"])
    sparse = {"photo": tf.sparse.from_dense([[photo]]), "label": label}
    dense = {"photo": tf.constant([[photo]]), "label": label}
    images = [photos.preprocessing_fn(inputs, CONFIG)["image"] for inputs in (sparse, dense)]
    np.testing.assert_array_equal(*images)


def test_the_transform_graph_gives_the_image_where_no_label_is_known(transform):
    raw = {"photo": tf.sparse.from_dense([[jpeg(50, 50)]])}
    transformed = transform.transform_features_layer()(raw)
    assert set(transformed) == {"image"}
    assert transformed["image"].shape == (1, 32, 32, 1)
    assert transformed["image"].dtype == tf.float32
