"""Compares the DAG with Keras' recipe for pretrained networks on test photos, at equal training time.

    .venv/bin/python -m benchmarks.bench_photos TRAIN TEST [--minutes 5] [--cut CLASS=25] [--set a.b=c]

TRAIN and TEST have a folder of JPEGs for each class; --cut limits the train photos of one class. TRAIN is
imported and run through the DAG with the steps of a new user, which holds out a part for eval. Keras' guide
(keras.io/guides/transfer_learning) freezes the same network with the same weights, trains a new last layer
with Adam, then all layers at a rate of 1e-5. The third model is a small network with random initial weights.
Each has the same training minutes and selects its best epoch with a fifth of TRAIN. TEST gives the scores.

With `--side 'a.b=c d.e=f'`, repeatable, only the DAG is run, once with the settings of each side.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgeline.release import store
from edgeline.report import archive
from edgeline.runtime import load_bundle
from edgeline.workspace import runs
from pipeline.settings import Settings
from trainer_module.networks import backbones
from trainer_module.settings import ModelSettings

Photos = tuple[list[bytes], np.ndarray]  # JPEGs, and the numbers of their labels
_BATCH = 64


def main() -> None:
    """Prints accuracy, mean and worst recall of models on TEST, and minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--minutes", type=int, default=5)
    parser.add_argument("--cut", metavar="CLASS=N", help="train on only N photos of CLASS")
    parser.add_argument("--side", action="append", default=[], help="settings of one run of ours; repeatable")
    parser.add_argument("--set", action="append", default=[], help="a setting of all our runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.cut:
            label, count = options.cut.split("=")
            options.train = _cut_class(options.train, label, int(count), Path(folder, "cut"))
        compare(options)


def _cut_class(source: Path, label: str, count: int, target: Path) -> Path:
    shutil.copytree(source, target)
    photos = sorted((target / label).iterdir())
    # Photos are selected at even intervals, since neighbours by name often show the same object.
    sample = {photos[at * len(photos) // count] for at in range(count)}
    for path in set(photos) - sample:
        path.unlink()
    return target


def compare(options: argparse.Namespace) -> None:
    """Trains all sides, and prints their accuracy on TEST."""
    labels = sorted(folder.name for folder in options.train.iterdir() if folder.is_dir())
    train, test = _read_photos(options.train, labels), _read_photos(options.test, labels)
    print(f"{len(train[1]):,} train photos, {len(test[1]):,} test photos, {len(labels)} classes", flush=True)
    print(f"{'':58} {'accuracy':>8} {'mean recall':>11} {'worst class':>16} {'minutes':>7}", flush=True)

    def report(name: str, predicted: np.ndarray, seconds: float) -> None:
        recalls = {label: float((predicted == n)[test[1] == n].mean()) for n, label in enumerate(labels)}
        worst, accuracy = min(recalls, key=recalls.__getitem__), float((predicted == test[1]).mean())
        scores = f"{accuracy:>8.3f} {np.mean(list(recalls.values())):>11.3f} {worst:>10} {recalls[worst]:.3f}"
        print(f"{name:58} {scores} {seconds / 60:>7.1f}", flush=True)

    for side in options.side:
        print(side, flush=True)
        _run_dag(options, side.split(), labels, test, report)
    if options.side:
        return
    model = _run_dag(options, [], labels, test, report)
    for name, recipe in (("Keras' guide", _fine_tune), ("small, random weights", _train_from_scratch)):
        started = time.monotonic()
        trained, epochs = recipe(train, labels, model, 60.0 * options.minutes)
        duration = time.monotonic() - started
        report(
            f"{name}, {epochs} epochs",
            trained.predict(_make_dataset(test, model).batch(_BATCH), verbose=0).argmax(1),
            duration,
        )


def _read_photos(folder: Path, labels: list[str]) -> Photos:
    files = [(path, n) for n, label in enumerate(labels) for path in sorted((folder / label).glob("*.jpg"))]
    return [path.read_bytes() for path, _ in files], np.array([n for _, n in files])


def _run_dag(
    options: argparse.Namespace, own: list[str], labels: list[str], test: Photos, report: Callable[..., None]
) -> ModelSettings:
    """Runs the DAG, reports the file for phones if a model is pushed, and returns the model's settings."""
    with tempfile.TemporaryDirectory() as scratch:
        data, workspace = Path(scratch, "data"), Path(scratch, "workspace")
        run_edgeline("data", "import", options.train, "--data", data)
        settings = [f"trainer.budget={options.minutes}m", *own, *options.set]
        command = ["run", "--workload", data / "workload.yaml", "--data", data, "--workspace", workspace]
        started = time.monotonic()
        run_edgeline(*command, *(part for setting in settings for part in ("--set", setting)))
        seconds = time.monotonic() - started
        (run,) = runs.read_runs(workspace)
        print(f"{run.outcome}: {' '.join(run.reasons)}", flush=True)
        model = Settings.model_validate_json(json.dumps(run.settings)).model
        if not (pushed := store.releases(run.push, run.workload)):
            return model
        (release,) = pushed
        bundle = load_bundle(release.manifest, release.read)
        answers = [next(iter(bundle.predict(photo).ranked)) for photo in test[0]]
        predicted = np.array([labels.index(label) for label in answers])
        facts = archive.read(workspace / "runs" / run.id)
        assert facts and facts.training and facts.edge and facts.edge.default_measured
        measured, parameters = facts.edge.default_measured, facts.training.summary.parameters or 0
        size = f"{parameters / 1e6:.2f} M, {measured.size_bytes / 1e6:.2f} MB"
        speed = f"{measured.latency.p50_ms:.1f} ms, {len(facts.training.epochs)} epochs"
        report(f"{model.backbone}, {release.default_file.name}: {size}, {speed}", predicted, seconds)
        return model


def run_edgeline(*arguments: object) -> None:
    """Runs the command; exits with its output if it neither pushed nor held back a model."""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "runners.cli", *map(str, arguments)]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if result.returncode not in (0, 3):
        sys.exit(result.stdout + result.stderr)


def _fine_tune(train: Photos, labels: list[str], settings: ModelSettings, seconds: float) -> tuple[Any, str]:
    """Trains by the guide's recipe: a frozen body, then all at a low rate; BatchNormalization only infers."""
    body = backbones.build_body(settings)
    image = keras.Input(body.input_shape[1:])
    body.trainable = False
    features = keras.layers.GlobalAveragePooling2D()(body(image, training=False))
    features = keras.layers.Dropout(0.2)(features)
    model = keras.Model(image, keras.layers.Dense(len(labels), activation="softmax")(features))
    frozen = _fit(model, train, settings, 1e-3, seconds / 2)
    body.trainable = True
    return model, f"{frozen} + {_fit(model, train, settings, 1e-5, seconds / 2)}"


def _train_from_scratch(
    train: Photos, labels: list[str], settings: ModelSettings, seconds: float
) -> tuple[Any, str]:
    small = settings.model_copy(update={"backbone": "compact", "weights": "none"})
    model = backbones.build_classifier(small, len(labels))
    return model, str(_fit(model, train, settings, 1e-3, seconds))


def _fit(model: Any, train: Photos, settings: ModelSettings, rate: float, seconds: float) -> int:
    """Trains for `seconds`, restores the best epoch by a fifth of the photos; returns the epochs."""
    order = np.random.default_rng(0).permutation(len(train[1]))
    validation, used = np.split(order, [len(order) // 5])
    varied = keras.Sequential([keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)])
    batches = _make_dataset(train, settings, used).cache().shuffle(len(used)).batch(_BATCH)
    ends = time.monotonic() + seconds

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = time.monotonic() > ends

    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        batches.map(lambda image, label: (varied(image, training=True), label)).prefetch(tf.data.AUTOTUNE),
        validation_data=_make_dataset(train, settings, validation).cache().batch(_BATCH),
        epochs=10_000,
        callbacks=[
            Stop(),
            keras.callbacks.EarlyStopping("val_loss", patience=10_000, restore_best_weights=True),
        ],
        verbose=0,
    )
    return len(history.epoch)


def _make_dataset(photos: Photos, settings: ModelSettings, chosen: Any = slice(None)) -> Any:
    size, channels = settings.image_size, settings.channels

    def decode(jpeg: Any, label: Any) -> Any:
        return tf.image.resize(tf.io.decode_jpeg(jpeg, channels), (size, size), antialias=True), label

    return tf.data.Dataset.from_tensor_slices((np.array(photos[0], object)[chosen], photos[1][chosen])).map(
        decode, tf.data.AUTOTUNE
    )


if __name__ == "__main__":
    main()
