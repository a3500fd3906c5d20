"""The model of texts, and each part of it taken away, against logistic regression on words and pairs.

    python -m benchmarks.bench_texts TEXTS.csv [TEXTS.csv ...] [--texts 2000] [--seeds 3]

A file has the columns `text` and `label`, and `group` where texts belong together. For each seed a quarter of
the groups, 2,000 texts at most, is measured; of the others, `--texts` train, or all. Transform, `initialize`
and the training loop are those of the DAG, and the logistic regression, which learns from the same texts, is
the simple model that each run compares itself with.
"""

import argparse
import csv
import tempfile
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "the model": {},
    "without vectors": {"weights": "none"},
    "without vectors and pairs": {"weights": "none", "pairs": False},
    "without the training after": {"epochs": 0},
    "with an LSTM": {"lstm_units": 8},
}
_MOST_MEASURED = 2000


def main() -> None:
    """Trains all variants on each file, and prints accuracy, and its distance to the logistic regression."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="CSV files")
    parser.add_argument("--texts", type=int, default=0, help="number of texts that train; 0 for all")
    parser.add_argument("--seeds", type=int, default=3, help="number of splits")
    parser.add_argument("--only", nargs="*", default=list(_VARIANTS), choices=list(_VARIANTS))
    arguments = parser.parse_args()
    for file in arguments.files:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = {row["text"].strip().lower(): row for row in csv.DictReader(lines)}.values()
        splits = [split_groups(list(rows), arguments.texts, seed) for seed in range(arguments.seeds)]
        anchors = [measure_anchor(*split) for split in splits]
        print_line(file.stem, len(splits[0][0]), "TF-IDF, logistic regression", anchors, anchors)
        for name in arguments.only:
            found = [measure_model(*split, seed, **_VARIANTS[name]) for seed, split in enumerate(splits)]
            print_line(file.stem, len(splits[0][0]), name, found, anchors)


def print_line(file: str, texts: int, name: str, found: Sequence[float], anchors: Sequence[float]) -> None:
    """Prints the mean, the points above the logistic regression, and each seed."""
    ahead = 100 * (np.mean(found) - np.mean(anchors))
    seeds = " ".join(f"{accuracy:.3f}" for accuracy in found)
    print(f"{file:16} {texts:>6,} {name:28} {np.mean(found):.4f} {ahead:+.1f}  {seeds}", flush=True)


def split_groups(rows: Sequence[Mapping[str, str]], texts: int, seed: int) -> tuple[list[Any], list[Any]]:
    """Splits rows by group into those that train and those that are measured."""
    names = [row.get("group") or str(number) for number, row in enumerate(rows)]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    order = np.random.default_rng(100 + seed).permutation(len(places))
    shuffled = [rows[n] for n in np.argsort([order[places[name]] for name in names], kind="stable")]
    groups = sorted(order[places[name]] for name in names)
    most = min(_MOST_MEASURED, len(rows) // 4)
    while groups[most] == groups[most - 1]:
        most -= 1
    training = shuffled[most:]
    return training[: texts or len(training)], shuffled[:most]


def measure_anchor(training: Sequence[Mapping[str, str]], test: Sequence[Mapping[str, str]]) -> float:
    """Returns the accuracy of logistic regression on words and pairs, as each run has it."""
    from components.raw_rows import Rows
    from components.simple_models import _make_models

    texts, labels = [row["text"] for row in training], np.array([row["label"] for row in training])
    ((_, model),) = _make_models(Rows([], labels, labels, texts, "texts"))
    model.fit(texts, labels)
    return float(np.mean(model.predict([row["text"] for row in test]) == [row["label"] for row in test]))


def measure_model(
    training: Sequence[Mapping[str, str]],
    test: Sequence[Mapping[str, str]],
    seed: int,
    pairs: bool = True,
    epochs: int | None = None,
    **changes: Any,
) -> float:
    """Returns the accuracy of the network as the DAG trains it."""
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from pipeline.workloads import KINDS
    from trainer_module.settings import ModelSettings, TrainerSettings
    from trainer_module.training import devices, fit
    from trainer_module.training.loop import Loop
    from trainer_module.workloads import texts

    kind = KINDS["text"]["settings"]
    model_settings = ModelSettings(**{**kind["model"], **changes})
    settings = TrainerSettings(**kind["trainer"])
    labels = sorted({row["label"] for row in training})
    keras.utils.set_random_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        transform = tft.TFTransformOutput(
            transform_texts(training, labels, model_settings.model_dump(), Path(folder))
        )
        layer = transform.transform_features_layer()

        def encode(rows: Sequence[Mapping[str, str]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
            column = [[unicodedata.normalize("NFC", row["text"]).encode()] for row in rows]
            ids = layer({"text": tf.sparse.from_dense(column)})["tokens"].numpy().astype(np.int32)
            if not pairs:
                ids[:, ids.shape[1] // 2 :] = 0
            return ids, np.array([labels.index(row["label"]) for row in rows])

        (ids, true), (test_ids, test_true) = encode(training), encode(test)
        model = texts.build_model(labels, model_settings, transform)
        examples = tf.data.Dataset.from_tensor_slices((ids, true)).batch(settings.batch_size)
        texts.initialize(model, examples, model_settings, transform)
    if epochs is None:
        steps = -(-len(ids) // settings.batch_size)
        fit.compile_model(model, settings.learning_rate, steps * settings.epochs)
        batches = tf.data.Dataset.from_tensor_slices((ids, true, np.ones(len(ids), np.float32)))
        batches = batches.shuffle(len(ids), seed).repeat().batch(settings.batch_size)
        Loop(model, devices.make_strategy(settings), settings).run(iter(batches), steps * settings.epochs)
    return float(np.mean(model.predict(test_ids, verbose=0).argmax(axis=1) == test_true))


def transform_texts(
    rows: Sequence[Mapping[str, str]], labels: Sequence[str], settings: Mapping[str, Any], folder: Path
) -> str:
    """Runs Transform on rows, and returns its folder."""
    import tensorflow as tf
    import tensorflow_transform.beam as tft_beam
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

    from trainer_module.workloads import texts

    feature = 'feature { name: "%s" type: BYTES value_count { min: 1 max: 1 } }'
    schema = text_format.Parse("".join(feature % name for name in ("text", "label")), schema_pb2.Schema())
    metadata = dataset_metadata.DatasetMetadata(schema)
    raw = [{name: [row[name].encode()] for name in ("text", "label")} for row in rows]
    values = (tf.train.Feature(bytes_list=tf.train.BytesList(value=row["text"])) for row in raw)
    config = texts.settle({"labels": labels, **settings}, ({"text": value} for value in values))
    with tft_beam.Context(temp_dir=str(folder / "tmp")):
        analyzed = (raw, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: texts.preprocessing_fn(inputs, config)
        )
        _ = analyzed | tft_beam.WriteTransformFn(str(folder / "graph"))
    metadata_io.write_metadata(metadata, str(folder / "graph" / "metadata"))
    return str(folder / "graph")


if __name__ == "__main__":
    main()
