"""One small trained model, exported and converted once for all tests of the room."""

import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeline.edge.variants import VARIANTS
from edgeline.records.edge import Conversion
from tests.shared import make_once
from trainer_module.export import conversion_worker
from trainer_module.export.convert import convert

SIZE = 32
CLASSES = 3


@dataclass(frozen=True)
class Exported:
    """A SavedModel, photos with labels, and the probabilities that it gives them."""

    folder: Path
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]


def photos(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draws lying, standing or slanting stripes with noise and changing light, uint8 [count, 32, 32, 1]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    along = np.stack([y, x, (x + y) / 2])[labels]
    stripes = np.sin(along * rng.uniform(0.6, 1.0, (count, 1, 1)) + rng.uniform(0, 6, (count, 1, 1)))
    light = rng.uniform(40, 90, (count, 1, 1))
    images = 127 + light * stripes + rng.normal(0, 25, stripes.shape)
    return images.clip(0, 255).astype(np.uint8)[..., np.newaxis], labels


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return make_once(tmp_path_factory, "exported", _export)


def train_classifier(images: NDArray[Any], labels: NDArray[Any]) -> Any:
    """Trains a small network on photos of `SIZE` and `CLASSES`."""
    import keras

    keras.utils.set_random_seed(20)
    image = keras.Input((SIZE, SIZE, 1), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
    for filters in (8, 32):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        # The default of 0.99 would still sit near its start after so few steps.
        x = keras.layers.BatchNormalization(momentum=0.8)(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(images, labels, batch_size=40, epochs=4, verbose=0)
    return model


def _export(folder: Path) -> Exported:
    import keras
    import tensorflow as tf

    images, labels = photos(400, seed=1)
    model = train_classifier(images, labels)

    def serve_image(image: Any) -> dict[str, Any]:
        finite = tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(image)), ["not finite"])
        with tf.control_dependencies([finite]):
            tf.debugging.assert_equal(tf.shape(image)[1:], [SIZE, SIZE, 1])
            probabilities = model(tf.debugging.check_numerics(image, "image"), training=False)
        tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(probabilities)), ["not finite"])
        return {"probabilities": probabilities}

    def serve_arctan(image: Any) -> dict[str, Any]:
        return {"probabilities": tf.math.atan(model(image, training=False))}

    def serve_sine(image: Any) -> dict[str, Any]:
        return {"probabilities": model(tf.math.sin(image), training=False)}

    def serve_nan(image: Any) -> dict[str, Any]:
        return {"probabilities": tf.math.log(model(image, training=False) - 2)}

    archive = keras.export.ExportArchive()
    archive.track(model)
    spec = [tf.TensorSpec([None, SIZE, SIZE, 1], tf.float32, name="image")]
    for function in (serve_image, serve_arctan, serve_sine, serve_nan):
        archive.add_endpoint(function.__name__, function, input_signature=spec)
    model_folder = folder / "model"
    archive.write_out(model_folder, verbose=False)

    images, labels = photos(200, seed=2)
    probabilities = serve_image(tf.constant(images, tf.float32))["probabilities"].numpy()
    return Exported(model_folder, images, labels, probabilities)


def convert_here(
    exported: Exported,
    signature: str,
    variants: Sequence[str],
    output: Path,
    calibration: NDArray[Any] | None = None,
    oldest_runtime: str = "",
) -> dict[str, str | None]:
    """Runs the worker in this process, where TensorFlow is loaded already; returns the errors by variant."""
    np.save(output / "calibration.npy", exported.images if calibration is None else calibration)
    paths = [str(output / name) for name in ("calibration.npy", "", "journal")]
    conversion_worker.main([str(exported.folder), signature, *paths, "600", oldest_runtime, *variants])
    entries = [json.loads(line) for line in (output / "journal").read_text().splitlines()]
    return {entry["variant"]: entry["error"] for entry in entries}


@pytest.fixture(scope="session")
def converted(
    exported: Exported, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Conversion], dict[str, Path]]:
    """Converts each variant, by a worker that is killed at the first and another that makes the rest."""

    def make(folder: Path) -> tuple[dict[str, Conversion], dict[str, Path]]:
        conversions: list[Conversion] = []
        variants, calibration = list(VARIANTS), photos(100, seed=3)[0]
        run = threading.Thread(
            target=lambda: conversions.extend(
                convert(exported.folder, "serve_image", variants, calibration, folder)
            )
        )
        run.start()
        os.kill(_find_worker(folder), signal.SIGKILL)
        run.join()
        (fp32 := folder / "fp32").mkdir()
        assert convert_here(exported, "serve_image", ["fp32"], fp32) == {"fp32": None}
        files = {each.variant: folder / each.file for each in conversions if each.file}
        return {each.variant: each for each in conversions}, {"fp32": fp32 / "model_fp32.tflite", **files}

    return make_once(tmp_path_factory, "converted", make)


@pytest.fixture
def conversions(converted: tuple[dict[str, Conversion], dict[str, Path]]) -> dict[str, Conversion]:
    return converted[0]


@pytest.fixture(scope="session")
def files(converted: tuple[dict[str, Conversion], dict[str, Path]]) -> dict[str, Path]:
    return converted[1]


def _find_worker(output: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments = process.read_bytes().split(b"\0")
            except OSError:  # it has ended meanwhile
                continue
            if b"trainer_module.export.conversion_worker" in arguments and str(output).encode() in arguments:
                return int(process.parent.name)
        time.sleep(0.01)
    raise AssertionError("no worker was started")
