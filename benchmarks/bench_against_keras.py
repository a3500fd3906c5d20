"""The model of a run against a bare Keras script: `python -m benchmarks.bench_against_keras --workspace WS`.

The script reads the same spans, splits them the same way, and trains the same network for as many epochs
with the same batch, as somebody would write it without a pipeline. What is compared is accuracy on the eval
split, by class: of the file that phones get, and of the script's model. Of a hundred photos of the rendered
sample one has a wrong label: the ceiling is what a model is right on that knows what each photo shows, and a
second table is by that.
"""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from benchmarks.bench_photos import predict_on_phones
from data.photos.checks import check_photo
from data.photos.labels_file import LabelRow, PhotoSpan, read_labels
from data.photos.screening import screen_rows
from data.settings import DataSettings
from data.shelf.renderer import plan_week
from data.spans.layout import find_newest_spans
from data.spans.split import Ends
from edgeline.records.rejection import RowRejected
from edgeline.release import store
from edgeline.workspace import runs
from pipeline.settings import Settings
from pipeline.workloads import find_workload, with_features
from trainer_module.networks.backbones import classifier


class Photo(NamedTuple):
    """A photo of a split; `shows` is the class in the picture, or `label` if it was not rendered."""

    jpeg: bytes
    label: str
    shows: str


def main() -> None:
    """Trains the bare script on the data of the workspace's last pushed run, and prints both accuracies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--workspace", type=Path, default=Path("workspace"), help="a workspace with a pushed run"
    )
    parser.add_argument("--seed", type=int, default=20, help="seed of the rendered sample")
    options = parser.parse_args()
    run = [run for run in runs.read_runs(options.workspace) if run.outcome == "pushed"][-1]
    labels = with_features(find_workload(run.workload_source)).labels
    settings = Settings.model_validate_json(json.dumps(run.settings))
    train, evaluation = _read_photos(Path(run.data), settings.data, labels, options.seed)
    release = next(each for each in store.releases(run.push, run.workload) if each.version == run.version)
    ours = predict_on_phones(release, [photo.jpeg for photo in evaluation])
    started = time.monotonic()
    script = _train(train, evaluation, labels, settings)
    print(f"{len(train):,} train, {len(evaluation):,} eval photos; script {time.monotonic() - started:.0f} s")

    by_label = np.array([photo.label for photo in evaluation])
    shown = np.array([photo.shows for photo in evaluation])
    _print_table("by label", labels, by_label, {"pipeline": ours, "script": script, "ceiling": shown})
    if (by_label != shown).any():
        _print_table("by what it shows", labels, shown, {"pipeline": ours, "script": script})


def _print_table(title: str, labels: Iterable[str], truth: Any, answers: dict[str, Any]) -> None:
    print(f"{title:16} {'eval photos':>11}" + "".join(f"{name:>10}" for name in answers))
    for name, of_class in (("overall", truth == truth), *((label, truth == label) for label in labels)):
        shares = (float((predicted == truth)[of_class].mean()) for predicted in answers.values())
        print(f"{name:16} {of_class.sum():>11}" + "".join(f"{share:>10.3f}" for share in shares))


def _read_photos(
    data: Path, settings: DataSettings, labels: Sequence[str], seed: int
) -> tuple[list[Photo], list[Photo]]:
    rows: list[tuple[PhotoSpan, LabelRow, str]] = []
    for span in find_newest_spans(data, settings.window):
        accepted = screen_rows(read_labels(span), list(labels))[0]
        shown = _find_shown(span.number, accepted, seed)
        rows += [(PhotoSpan.of(span), row, shown.get(row.photo, row.label)) for row in accepted]
    ends = Ends(sides={row.session_id: row.split for _, row, _ in rows if row.split})
    for _, row, _ in rows:
        ends = ends if row.split else ends.with_group(row.session_id)
    seen: set[str] = set()
    splits: dict[bool, list[Photo]] = {False: [], True: []}
    for span, row, shows in rows:
        try:
            photo = check_photo(span.resolve(row.photo).read_bytes(), settings)
        except RowRejected:
            continue
        if photo.digest not in seen:
            seen.add(photo.digest)
            in_eval = ends.in_eval(row.session_id, settings.eval_fraction)
            splits[in_eval].append(Photo(photo.stored, row.label, shows))
    return splits[False], splits[True]


def _find_shown(span: int, rows: Sequence[LabelRow], seed: int) -> dict[str, str]:
    """Returns the classes in the photos of a rendered span, by name; empty for another seed."""
    planned = {
        (session.photo(index), label): shows
        for session in plan_week(span, len(rows), seed, {})
        for index, (shows, label) in enumerate(zip(session.found, session.labels, strict=True))
    }
    if set(planned) != {(row.photo, row.label) for row in rows}:
        return {}
    return {photo: shows for (photo, _), shows in planned.items()}


def _train(train: list[Photo], evaluation: list[Photo], labels: tuple[str, ...], settings: Settings) -> Any:
    """Trains the script's model; returns its class for each eval photo after the last epoch."""
    size, channels = settings.model.image_size, settings.model.channels
    trainer = settings.trainer

    def dataset(photos: list[Photo]) -> Any:
        def decode(jpeg: Any, label: Any) -> Any:
            return tf.image.resize(tf.io.decode_jpeg(jpeg, channels), (size, size), antialias=True), label

        ids = [labels.index(photo.label) for photo in photos]
        return tf.data.Dataset.from_tensor_slices(([photo.jpeg for photo in photos], ids)).map(decode).cache()

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
    batch = trainer.batch_size
    model.fit(
        dataset(train).shuffle(len(train)).map(vary).batch(batch).prefetch(2),
        validation_data=dataset(evaluation).batch(batch),
        epochs=trainer.epochs,
        class_weight={i: trainer.class_weights.get(label, 1.0) for i, label in enumerate(labels)},
        verbose=0,
    )
    return np.array(labels)[model.predict(dataset(evaluation).batch(batch), verbose=0).argmax(axis=1)]


if __name__ == "__main__":
    main()
