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
    """A classifier whose weights are not those that it began with."""
    made = backbones.classifier(settings(), 3)
    random = np.random.default_rng(1)
    made.set_weights([random.random(weight.shape) for weight in made.get_weights()])
    return made


@pytest.mark.parametrize("name", ["w.weights.h5", "w.keras", "w.h5"])
def test_weights_of_another_training_are_taken_over_its_classes_left_out(tmp_path, network, name):
    path = tmp_path / name
    (network.save_weights if ".weights" in name else network.save)(path)
    body = backbones.body(settings(path))
    assert len(body.weights) > 20
    for ours, theirs in zip(body.get_weights(), network.get_weights(), strict=False):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["w.weights.h5", "w.keras", "w.h5"])
def test_weights_for_colour_answer_the_same_for_grey_photos_in_one_channel(tmp_path, name):
    colour, path = backbones.classifier(settings(channels=3), 3), tmp_path / name
    (colour.save_weights if ".weights" in name else colour.save)(path)
    grey = backbones.body(settings(path))
    photos = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 1)).astype(np.float32)
    pooled = keras.Model(colour.input, colour.layers[-4].output)(np.repeat(photos, 3, axis=3))
    np.testing.assert_allclose(grey(photos), pooled, rtol=1e-4, atol=1e-4)  # sums in another order


@pytest.mark.parametrize("name", ["w.weights.h5", "w.keras", "w.h5"])
def test_the_first_layer_that_differs_is_named_with_both_shapes(tmp_path, network, name):
    path = tmp_path / name
    (network.save_weights if ".weights" in name else network.save)(path)
    with pytest.raises(UsageError, match=r"layer conv2d\S* does not fit") as refused:
        backbones.body(settings(path, channels=3))
    assert "has float32 [3, 3, 1, 16] instead of float32 [3, 3, 3, 16]" in refused.value.found
    with pytest.raises(UsageError, match="of mobilenet_v3_small_body"):
        backbones.body(settings(path, "mobilenet_v3_small"))


def test_weights_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"which is not a file") as refused:
        backbones.body(settings(tmp_path / "none.h5"))
    assert refused.value.why
    assert "model.weights" in refused.value.do


@pytest.mark.parametrize("name", ["w.weights.h5", "w.keras", "w.h5"])
@pytest.mark.parametrize("whole", [True, False], ids=["cut off", "garbage"])
def test_a_file_that_is_cut_off_or_holds_no_weights_is_refused(tmp_path, network, name, whole):
    path = tmp_path / name
    if whole:
        (network.save_weights if ".weights" in name else network.save)(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(b"not weights")
    with pytest.raises(UsageError, match="cannot be read as weights of Keras") as refused:
        backbones.body(settings(path))
    assert "model.weights" in refused.value.do
