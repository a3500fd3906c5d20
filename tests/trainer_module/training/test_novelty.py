"""The output `unlike` on photos of stripes, in the model and in each file converted from it."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgeline.edge.inspect import find_problems, inspect
from edgeline.edge.interpreter import EdgeModel
from edgeline.edge.variants import VARIANTS
from tests.edgeline.edge.conftest import SIZE, photos, train_classifier
from tests.trainer_module.samples import save_model
from trainer_module.export.convert import convert
from trainer_module.training import novelty
from trainer_module.training.input_pipeline import Split

pytestmark = pytest.mark.e2e


def split(count: int, seed: int) -> Split:
    images, labels = photos(count, seed)
    return Split((), (count,), 1, labels, tf.constant(images), lambda records: records, np.arange(count))


def other_photos() -> dict[str, np.ndarray]:
    """Returns photos of other things by kind, each uint8 [40, SIZE, SIZE, 1]."""
    rng, shape = np.random.default_rng(7), (40, SIZE, SIZE, 1)
    checks = np.kron(rng.integers(0, 256, (40, SIZE // 8, SIZE // 8)), np.ones((8, 8)))
    return {
        "blank": np.broadcast_to(rng.integers(0, 256, (40, 1, 1, 1)), shape).astype(np.uint8),
        "noise": rng.integers(0, 256, shape).astype(np.uint8),
        "checks": checks[..., np.newaxis].astype(np.uint8),
    }


@pytest.fixture(scope="module")
def models() -> tuple[keras.Model, keras.Model]:
    """Trains a classifier; returns it and the same one with the output."""
    training = split(1_000, 1)
    model = train_classifier(training.inputs, training.labels)
    return model, novelty.add_unlike(model, model.layers[-1].input, training, split(400, 2), 64)


def test_probabilities_stay_the_same_and_one_of_twenty_eval_photos_is_a_false_alarm(models):
    model, with_unlike = models
    images = tf.constant(photos(400, 2)[0])
    probabilities, unlike = with_unlike(images, training=False)
    assert np.array_equal(probabilities, model(images, training=False))
    assert unlike.shape == (400, 1)
    assert np.mean(unlike.numpy() > 0.5) == pytest.approx(0.05, abs=0.005)
    unlike_new = with_unlike(tf.constant(photos(400, 3)[0]), training=False)[1]
    assert np.mean(unlike_new.numpy() > 0.5) < 0.1


@pytest.mark.parametrize("kind", other_photos())
def test_photos_of_other_things_are_unlike(models, kind):
    unlike = models[1](tf.constant(other_photos()[kind]), training=False)[1].numpy()
    assert np.mean(unlike > 0.5) >= 0.9


def test_every_file_gives_the_output_of_the_model_and_int8_has_no_float(models, tmp_path, warm_converter):
    with_unlike, (images, _) = models[1], photos(100, 2)
    saved = save_model(with_unlike, "serve_image", tmp_path / "model", ("probabilities", "unlike"))
    conversions = convert(saved, "serve_image", list(VARIANTS), photos(100, 1)[0], tmp_path)
    photos_of = {"eval": images, **other_photos()}
    for conversion in conversions:
        file = Path(tmp_path, str(conversion.file))
        # In a network this small most weights belong to this output, which `dynamic` keeps in float.
        assert conversion.variant == "dynamic" or not find_problems(inspect(file), conversion.variant)
        model = EdgeModel(file)
        for kind, batch in photos_of.items():
            expected = with_unlike(tf.constant(batch), training=False)[1].numpy()[:, 0]
            _, unlike = model.answer(batch)
            difference = np.abs(unlike - expected)
            bound = 0.08 if conversion.variant == "int8" else 0.02
            assert difference.mean() < bound, (conversion.variant, kind)
