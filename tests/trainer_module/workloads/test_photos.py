import io
import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from PIL import Image

from tests.edgeline.edge.contracts.test_image import contract
from tests.examples import transform as transform_examples
from tests.trainer_module.conftest import SCHEMA
from tests.trainer_module.samples import SHELF
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.workload_module import DRAWS
from trainer_module.workloads import photos

LABELS = ["ok", "misplaced", "damaged"]
CONFIG = {"labels": LABELS, "image_size": 32, "channels": 1, "max_side": 512}


def jpeg(width: int, height: int, mode: str = "L") -> bytes:
    gradient = np.linspace(0, 255, width * height, dtype=np.uint8).reshape(height, width)
    file = io.BytesIO()
    Image.fromarray(gradient).convert(mode).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.mark.parametrize("size", [(100, 60), (20, 90)])
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pixels_are_those_of_pillow(size, channels, mode):
    photo = jpeg(*size, mode)
    ours = photos.decode_photos(tf.constant([photo]), 32, channels, 512)[0]
    pillow = Image.open(io.BytesIO(photo)).convert(mode).resize((32, 32), Image.Resampling.BILINEAR)
    assert ours.dtype == tf.uint8
    # Pillow rounds after each of its two passes, TensorFlow once: they differ by one level of 255 at most.
    difference = np.abs(ours.numpy().astype(int) - np.asarray(pillow).reshape(32, 32, channels))
    assert difference.max() <= 1


def test_a_label_becomes_its_index_and_an_unknown_or_missing_one_minus_one():
    labels = tf.sparse.from_dense([["damaged"], [""], ["torn"], ["ok"]])
    features = photos.preprocessing_fn(
        {"photo": tf.sparse.from_dense([[jpeg(32, 32)]] * 4), "label": labels}, CONFIG
    )
    assert features["label"].numpy().tolist() == [2, -1, -1, 0]


def test_the_transform_graph_needs_no_label(transform):
    raw = {"photo": tf.sparse.from_dense([[jpeg(50, 50)]])}
    transformed = transform.transform_features_layer()(raw)
    assert set(transformed) == {"image", "_max_side"}
    assert transformed["image"].shape == (1, 32, 32, 1)
    assert transformed["image"].dtype == tf.float32


def test_the_contract_for_phones_describes_the_graph(transform):
    result = photos.edge_contract(transform, ModelSettings(image_size=32), SHELF)
    assert json.loads(json.dumps(result)) == contract(image_size=32)


def test_the_contract_has_the_levels_of_16_bit_photos(tmp_path):
    config = {**CONFIG, "levels": [26_500, 27_500]}
    raw = {"photo": tf.sparse.from_dense([[jpeg(50, 50)]] * 2), "label": tf.sparse.from_dense([["ok"]] * 2)}
    assert photos.preprocessing_fn(raw, config)["_levels"].numpy().tolist() == [[26_500, 27_500]] * 2

    folder = transform_examples(photos.preprocessing_fn, config, [], SCHEMA, tmp_path)
    result = photos.edge_contract(tft.TFTransformOutput(folder), ModelSettings(image_size=32), SHELF)
    assert result == contract(image_size=32, version=4, levels=[26_500, 27_500])


STILL = {"flip": False, "brightness": 0.0}


def augment(images: np.ndarray, **settings) -> np.ndarray:
    draws = tf.random.stateless_uniform((len(images), DRAWS), (1, 2))
    return photos.augment(
        tf.constant(images, tf.float32), draws, TrainerSettings(**{**STILL, **settings})
    ).numpy()


def test_photos_without_variation_stay_the_same():
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3))
    np.testing.assert_array_equal(augment(images), images)


def test_about_half_of_the_photos_are_mirrored_and_nothing_else_changes():
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1))
    changed = augment(images, flip=True)
    mirrored = (changed == images[:, :, ::-1]).all((1, 2, 3))
    np.testing.assert_array_equal(changed[~mirrored], images[~mirrored])
    assert 70 <= mirrored.sum() <= 130


def test_brightness_moves_a_whole_photo_within_its_bound():
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1))
    changed = augment(images, brightness=0.15)
    assert changed.min() >= 0 and changed.max() <= 255
    unclipped = (changed > 0) & (changed < 255)
    shift = np.where(unclipped, changed - images, np.nan).reshape(200, -1)
    np.testing.assert_allclose(np.nanmin(shift, 1), np.nanmax(shift, 1), atol=1e-4)  # float32
    assert 0.14 * 255 < np.nanmax(np.abs(shift)) <= 0.15 * 255 + 1e-4


def test_a_crop_is_a_part_of_the_photo_in_the_same_size():
    columns = np.broadcast_to(np.linspace(0, 255, 64)[None, None, :, None], (200, 64, 64, 1))
    crops = augment(columns, crop=0.5)
    assert crops.shape == columns.shape
    steps = np.diff(crops[:, 32, :, 0], axis=1)
    assert (steps > 0).all()
    # A crop has 0.5 / 1.22 to 1 of the width; steps between columns shrink by the same share.
    share = steps.mean(axis=1) / (255 / 63)
    assert 0.4 < share.min() < 0.55
    assert 0.9 < share.max() <= 1.001
    assert {round(float(left)) for left in crops[:, 32, 0, 0]} > {0, 20, 40}


def test_photos_are_turned_around_their_centre_to_either_side_within_the_bound_mirrored_or_not():
    photos_of_a_disc = np.zeros((200, 65, 65, 1))
    photos_of_a_disc[:, 30:35, 40:45] = 255  # right of the centre, too far from the corners to be mirrored
    turned = augment(photos_of_a_disc, rotation=0.125, flip=True)
    rows, columns = np.mgrid[:65, :65] - 32.0
    weights = turned[..., 0] / turned.sum((1, 2, 3))[:, np.newaxis, np.newaxis]
    down, right = (weights * rows).sum((1, 2)), (weights * columns).sum((1, 2))
    np.testing.assert_allclose(np.hypot(down, right), 10, atol=0.1)
    angles = np.degrees(np.arctan2(down, np.abs(right)))
    assert -45.5 < angles.min() < -40 and 40 < angles.max() < 45.5
    assert abs(np.median(angles)) < 8
    # Whether a photo is mirrored says nothing of its turn.
    assert abs(np.corrcoef(right < 0, angles)[0, 1]) < 0.2


def test_contrast_keeps_the_mean_of_each_photo():
    images = np.random.default_rng(0).uniform(100, 150, (200, 8, 8, 1))
    changed = augment(images, contrast=0.3)
    np.testing.assert_allclose(changed.mean((1, 2, 3)), images.mean((1, 2, 3)), rtol=1e-5)  # float32
    factor = changed.std((1, 2, 3)) / images.std((1, 2, 3))
    assert 0.7 <= factor.min() < 0.75
    assert 1.25 < factor.max() <= 1.301
