from pathlib import Path

import keras
import numpy as np
import pytest

from edgeline.errors import UsageError
from trainer_module.networks import backbones
from trainer_module.settings import ModelSettings

pytestmark = pytest.mark.e2e


def settings(weights: Path | str = "none", backbone: str = "compact", channels: int = 1) -> ModelSettings:
    return ModelSettings(backbone=backbone, image_size=32, channels=channels, weights=str(weights))


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """Builds a classifier and replaces its initial weights."""
    model = backbones.build_classifier(settings(), 3)
    random = np.random.default_rng(1)
    model.set_weights([random.random(weight.shape) for weight in model.get_weights()])
    return model


def save(network: keras.Model, path: Path) -> None:
    (network.save_weights if ".weights" in path.name else network.save)(path)


@pytest.fixture(params=["w.weights.h5", "w.keras", "w.h5"])
def path(request, network, tmp_path) -> Path:
    """Saves the network's weights in one of the formats of Keras."""
    save(network, tmp_path / request.param)
    return tmp_path / request.param


def test_weights_of_another_training_are_loaded_without_its_classes(path, network):
    body = backbones.build_body(settings(path))
    assert len(body.weights) > 20
    for ours, theirs in zip(body.get_weights(), network.get_weights(), strict=False):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_for_colour_give_the_same_features_for_grey_photos_in_one_channel(path):
    colour = backbones.build_classifier(settings(channels=3), 3)
    save(colour, path)
    grey = backbones.build_body(settings(path))
    photos = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 1)).astype(np.float32)
    pooled = keras.Model(colour.input, colour.layers[-4].output)(np.repeat(photos, 3, axis=3))
    np.testing.assert_allclose(grey(photos), pooled, rtol=1e-4, atol=1e-4)  # sums in another order


def test_the_first_layer_that_differs_is_named_with_both_shapes(path):
    with pytest.raises(UsageError, match=r"layer conv2d\S* does not fit") as error:
        backbones.build_body(settings(path, channels=3))
    assert "has float32 [3, 3, 1, 16] instead of float32 [3, 3, 3, 16]" in error.value.found
    with pytest.raises(UsageError, match="of mobilenet_v3_small_body"):
        backbones.build_body(settings(path, "mobilenet_v3_small"))


def test_a_missing_or_cut_file_and_one_without_weights_are_refused(path):
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"not weights"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="cannot be read as weights of Keras"):
            backbones.build_body(settings(path))
    path.unlink()
    with pytest.raises(UsageError, match="which is not a file") as error:
        backbones.build_body(settings(path))
    assert error.value.why and "model.weights" in error.value.do
