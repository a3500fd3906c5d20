"""The text model against logistic regression on TF-IDF: `python -m benchmarks.bench_texts REVIEWS.csv`.

Both learn from the same texts of a CSV file with the columns text and label, and are measured on a fifth that
neither has seen, once a seed. A tenth of the rest chooses the epoch of the one and C of the other; the last
column is the other fitted to that tenth too, which is 11 % more texts. scikit-learn comes with another
library here; where it does not, `python -m pip install scikit-learn`.
"""

import argparse
import csv
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.workloads import BUILT_IN
from trainer_module.settings import ModelSettings, TrainerSettings

Texts = list[tuple[str, str]]


def main() -> None:
    """Trains both on each split and prints their accuracy side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reviews", type=Path, help="a CSV file with the columns text and label")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one split and training each")
    arguments = parser.parse_args()
    with arguments.reviews.open(encoding="utf-8", newline="") as file:
        texts = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    labels = sorted({label for _, label in texts})
    print(f"seed test texts {'model':>7} {'TF-IDF':>7} {'difference':>11} {'on more':>8} {'s':>5}")
    rows = []
    for seed in arguments.seeds:
        mixed = random.Random(seed).sample(texts, len(texts))
        test, rest = mixed[: len(mixed) // 5], mixed[len(mixed) // 5 :]
        chosen_on, train = rest[: len(rest) // 10], rest[len(rest) // 10 :]
        began = time.monotonic()
        model = _model(train, chosen_on, test, labels, seed)
        seconds = time.monotonic() - began
        rows.append((model, *_logistic_regression(train, chosen_on, test)))
        print(f"{seed:>4} {len(test):>10} {_shown(rows[-1])} {seconds:>5.0f}", flush=True)
    print(f"mean {'':>10} {_shown([sum(column) / len(rows) for column in zip(*rows, strict=True)])}")


def _shown(accuracies: Sequence[float]) -> str:
    model, regression, on_more = accuracies
    return f"{model:>7.4f} {regression:>7.4f} {model - regression:>+11.4f} {on_more:>8.4f}"


def _logistic_regression(train: Texts, chosen_on: Texts, test: Texts) -> tuple[float, float]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def fitted(c: float, on: Texts) -> Any:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        return make_pipeline(words, LogisticRegression(C=c, max_iter=1000)).fit(*zip(*on, strict=True))

    def accuracy(c: float, on: Texts, of: Texts) -> float:
        return float(fitted(c, on).score(*zip(*of, strict=True)))

    best = max((1.0, 3.0, 10.0, 30.0), key=lambda c: accuracy(c, train, chosen_on))
    return accuracy(best, train, test), accuracy(best, train + chosen_on, test)


def _model(train: Texts, chosen_on: Texts, test: Texts, labels: Sequence[str], seed: int) -> float:
    import keras
    import numpy as np
    import tensorflow as tf

    from trainer_module import texts
    from trainer_module.fit import compile_model

    settings, trainer = ModelSettings(), TrainerSettings(**BUILT_IN["text"].settings["trainer"])
    with tempfile.TemporaryDirectory() as folder:
        transform = _transform(train, labels, settings, Path(folder))
        layer = transform.transform_features_layer()

        def arrays(of: Texts) -> tuple[Any, Any]:
            raw = {"text": tf.sparse.from_dense([[text] for text, _ in of])}
            ids = layer(raw)[texts.TOKENS].numpy().astype(np.int32)
            return ids, np.array([labels.index(label) for _, label in of])

        keras.utils.set_random_seed(seed)
        model = texts.build_model(labels, settings, transform)
        compile_model(model, trainer.learning_rate, -(-len(train) // trainer.batch_size) * trainer.epochs)
        model.fit(
            *arrays(train),
            validation_data=arrays(chosen_on),
            batch_size=trainer.batch_size,
            epochs=trainer.epochs,
            callbacks=[
                keras.callbacks.EarlyStopping(
                    patience=trainer.early_stopping_patience, restore_best_weights=True
                )
            ],
            verbose=0,
        )
        ids, right = arrays(test)
        return float((model.predict(ids, verbose=0).argmax(axis=1) == right).mean())


def _transform(train: Texts, labels: Sequence[str], settings: ModelSettings, folder: Path) -> Any:
    import tensorflow as tf
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

    from trainer_module import texts

    spec = {name: tf.io.VarLenFeature(tf.string) for name in (texts.TEXT, texts.LABEL)}
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    rows = [{texts.TEXT: [text.encode()], texts.LABEL: [label.encode()]} for text, label in train]
    config = {"labels": list(labels), **settings.model_dump()}
    with tft_beam.Context(temp_dir=str(folder / "tmp")):
        analyzed = (rows, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: texts.preprocessing_fn(inputs, config)
        )
        _ = analyzed | tft_beam.WriteTransformFn(str(folder))
    return tft.TFTransformOutput(str(folder))


if __name__ == "__main__":
    main()
