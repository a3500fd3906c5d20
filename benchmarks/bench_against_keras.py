"""The model of a run against a bare Keras script: `python -m benchmarks.bench_against_keras --workspace WS`.

The script reads the same spans, splits them the same way, and trains the same network for as many epochs
with the same batch, as somebody would write it without a pipeline. What is compared is accuracy on the eval
split, by class.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data.photos.checks import check_photo
from data.photos.labels_file import LabelRow, PhotoSpan, read_labels
from data.photos.screening import screen_rows
from data.settings import DataSettings
from data.spans.layout import newest_spans
from data.spans.rejection import RowRejected
from data.spans.split import Ends
from pipeline.settings import Settings
from pipeline.workloads import find_workload, with_features
from runners.shared import runs


def main() -> None:
    """Trains the bare script on the data of the workspace's last pushed run, and prints both accuracies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--workspace", type=Path, default=Path("workspace"), help="a workspace with a pushed run"
    )
    workspace = parser.parse_args().workspace
    run = [run for run in runs.read_runs(workspace) if run.outcome == "pushed"][-1]
    (manifest,) = Path(run.push, "edge", run.workload, str(run.version)).glob("manifest.json")
    metrics = json.loads(manifest.read_text())["metrics"]
    labels = with_features(find_workload(run.workload_source)).labels

    settings = Settings.model_validate_json(json.dumps(run.settings))
    train, evaluation = _photos(Path(run.data), settings.data, labels)
    started = time.monotonic()
    bare = _train(train, evaluation, labels, settings)
    print(f"{len(train)} train and {len(evaluation)} eval photos; script {time.monotonic() - started:.0f} s")
    print(f"{'':12} {'eval photos':>11} {'pipeline':>9} {'script':>7} {'difference':>11}")
    piped = {"overall": metrics["overall"]["all"], **metrics["class"]}
    for name, (photos, accuracy) in bare.items():
        ours = piped[name]["accuracy"]
        print(f"{name:12} {photos:>11} {ours:>9.3f} {accuracy:>7.3f} {ours - accuracy:>+11.3f}")


Photo = tuple[bytes, str]


def _photos(data: Path, settings: DataSettings, labels: Iterable[str]) -> tuple[list[Photo], list[Photo]]:
    rows: list[tuple[PhotoSpan, LabelRow]] = []
    for span in newest_spans(data, settings.window):
        rows += [(PhotoSpan.of(span), row) for row in screen_rows(read_labels(span), list(labels))[0]]
    ends = Ends(sides={row.session_id: row.split for _, row in rows if row.split})
    for _, row in rows:
        ends = ends if row.split else ends.with_group(row.session_id)
    seen: set[str] = set()
    splits: dict[bool, list[Photo]] = defaultdict(list)
    for span, row in rows:
        try:
            photo = check_photo(span.resolve(row.photo).read_bytes(), settings)
        except RowRejected:
            continue
        if photo.digest not in seen:
            seen.add(photo.digest)
            splits[ends.in_eval(row.session_id, settings.eval_fraction)].append((photo.jpeg, row.label))
    return splits[False], splits[True]


def _train(
    train: list[Photo], evaluation: list[Photo], labels: tuple[str, ...], settings: Settings
) -> dict[str, tuple[int, float]]:
    """Photos and accuracy, overall and by class, at the epoch with the lowest eval loss."""
    import keras
    import numpy as np
    import tensorflow as tf

    from trainer_module.backbones import classifier

    size, channels = settings.model.image_size, settings.model.channels
    trainer = settings.trainer

    def dataset(photos: list[Photo]) -> Any:
        def decode(jpeg: Any, label: Any) -> Any:
            return tf.image.resize(tf.io.decode_jpeg(jpeg, channels), (size, size), antialias=True), label

        ids = [labels.index(label) for _, label in photos]
        return tf.data.Dataset.from_tensor_slices(([jpeg for jpeg, _ in photos], ids)).map(decode).cache()

    def vary(image: Any, label: Any) -> Any:
        image = tf.image.random_flip_left_right(image) if trainer.flip else image
        image = tf.image.random_brightness(image, 255.0 * trainer.brightness + 1e-6)
        return tf.clip_by_value(image, 0.0, 255.0), label

    keras.utils.set_random_seed(settings.seed)
    model = classifier(settings.model, len(labels))
    model.compile(
        keras.optimizers.Adam(trainer.learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    patience = trainer.early_stopping_patience or trainer.epochs
    batch = trainer.batch_size
    model.fit(
        dataset(train).shuffle(len(train)).map(vary).batch(batch).prefetch(2),
        validation_data=dataset(evaluation).batch(batch),
        epochs=trainer.epochs,
        class_weight={i: trainer.class_weights.get(label, 1.0) for i, label in enumerate(labels)},
        callbacks=[keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)],
        verbose=0,
    )
    truth = np.array([labels.index(label) for _, label in evaluation])
    right = model.predict(dataset(evaluation).batch(batch), verbose=0).argmax(axis=1) == truth
    by_class = {label: right[truth == i] for i, label in enumerate(labels)}
    return {name: (len(hits), float(hits.mean())) for name, hits in {"overall": right, **by_class}.items()}


if __name__ == "__main__":
    main()
