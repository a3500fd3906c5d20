"""Simple models that learn from the same examples as the network, and that it is compared with.

These are the most frequent class; for tables, logistic regression and gradient boosting; for texts, logistic
regression on words and pairs of words; for photos, logistic regression and the nearest neighbours, both on
features of a frozen network. They cost seconds: of a large train split they learn from a random sample.
"""

import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.spans.tfrecords import format_value, list_values
from edgeline.gates.simple import SimpleAnswers
from edgeline.records.photo_features import read_features
from edgeline.records.shards import find_shards
from edgeline.records.workload import Workload
from trainer_module.training.input_pipeline import read_records

# Shards are by digest, so the first examples are a random sample.
_MOST_TRAINED = 50_000
_NEIGHBOURS = 10
_MOST_CATEGORIES, _MOST_WORDS = 100, 200_000
_SEED = 20
MAJORITY = "the most frequent class"

log = logging.getLogger("edgeline.evaluator")


@dataclass(frozen=True)
class _Rows:
    """The examples of a split that a simple model reads."""

    ids: list[str]
    labels: NDArray[np.int64]  # [n]
    features: Any  # of each example, as its model reads them: [n, ...]


def answer_simply(
    splits: Mapping[str, str], quarantine: Path, workload: Workload, ids: Sequence[str]
) -> list[SimpleAnswers]:
    """Trains the simple models of a workload, and answers the eval examples `ids`, in their order.

    A model that cannot be trained is left out, with a warning: it decides nothing.

    Args:
        splits: The folders of the splits `train` and `eval`.
        quarantine: The folder in which ingest left the features of photos.
        workload: The workload, with the features that its network reads.
        ids: The ids of all eval examples.
    """
    try:
        train, evaluation = _read_splits(splits, quarantine, workload, ids)
    except Exception as error:
        log.warning("No simple model is compared: %s: %s", type(error).__name__, error)
        return []
    counts = np.bincount(train.labels, minlength=len(workload.labels))
    majority = np.zeros((len(ids), len(workload.labels)), np.float32)
    majority[:, counts.argmax()] = 1.0
    answers = [SimpleAnswers(MAJORITY, majority, len(train.labels), 0.0)]
    if np.count_nonzero(counts) < 2 or train.features is None:
        return answers
    for name, model in _make_models(train.features):
        began = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of convergence: more steps would change little
                model.fit(train.features, train.labels)
                known = model.predict_proba(evaluation.features)
        except Exception as error:
            log.warning("A %s is not compared: %s: %s", name, type(error).__name__, error)
            continue
        probabilities = np.zeros((len(ids), len(workload.labels)), np.float32)
        probabilities[:, model.classes_] = known
        seconds = round(time.monotonic() - began, 3)
        answers.append(SimpleAnswers(name, probabilities, len(train.labels), seconds))
    return answers


def _make_models(features: Any) -> Iterator[tuple[str, Any]]:
    """Yields the untrained models for features, each with its name."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    if isinstance(features, list):
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=_MOST_WORDS)
        yield (
            "logistic regression on words and pairs of words",
            make_pipeline(words, LogisticRegression(C=10.0, max_iter=300)),
        )
    elif features.dtype != object:
        # There are so many features that only a strong penalty keeps what holds for other sessions.
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
        yield "logistic regression on frozen features", linear
        neighbours = min(_NEIGHBOURS, len(features))
        name = f"vote of the {neighbours} nearest neighbours by frozen features"
        yield name, KNeighborsClassifier(neighbours, weights="distance", metric="cosine")
    else:
        is_number = [not isinstance(value, str) for value in features[0]]
        numbers, texts = np.flatnonzero(is_number), np.flatnonzero(np.invert(is_number))
        scaled = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
        indicators = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=_MOST_CATEGORIES)
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        yield (
            "logistic regression",
            make_pipeline(
                ColumnTransformer([("numbers", scaled, numbers), ("categories", indicators, texts)]),
                LogisticRegression(max_iter=300),
            ),
        )
        yield (
            "gradient boosting",
            make_pipeline(
                ColumnTransformer([("numbers", "passthrough", numbers), ("categories", codes, texts)]),
                HistGradientBoostingClassifier(early_stopping=False, random_state=_SEED),
            ),
        )


def _read_splits(
    splits: Mapping[str, str], quarantine: Path, workload: Workload, ids: Sequence[str]
) -> tuple[_Rows, _Rows]:
    """Reads what the models learn from, and the eval examples in the order of `ids`."""
    place = {name: number for number, name in enumerate(ids)}
    by_photo = read_features(quarantine)
    rows = {
        split: _read_rows(folder, workload, by_photo, _MOST_TRAINED if split == "train" else None)
        for split, folder in splits.items()
    }
    train, evaluation = rows["train"], rows["eval"]
    order = np.argsort([place[name] for name in evaluation.ids])
    if len(order) != len(ids):
        raise ValueError(f"the eval split has {len(order):,} examples, and {len(ids):,} were evaluated")
    features = evaluation.features
    if isinstance(features, list):
        features = [features[number] for number in order]
    elif features is not None:
        features = features[order]
    if train.features is None or features is None:  # some photos have no features
        train, features = _Rows(train.ids, train.labels, None), None
    return train, _Rows(list(ids), evaluation.labels[order], features)


def _read_rows(
    folder: str, workload: Workload, by_photo: Mapping[str, NDArray[np.float16]], most: int | None
) -> _Rows:
    from tensorflow.core.example.example_pb2 import Example

    names = [name for name in (*workload.numbers, *workload.categories) if name in workload.reads]
    (content,) = workload.unmeasured if len(workload.unmeasured) == 1 else (None,)
    ids: list[str] = []
    labels: list[int] = []
    features: list[Any] = []
    records = read_records(find_shards([f"{folder}/*"]))
    for record in records.take(-1 if most is None else most).as_numpy_iterator():
        values = Example.FromString(record).features.feature
        name = format_value(list_values(values[workload.id])[0])
        if by_photo and name not in by_photo and most is not None:
            continue  # the features of a sample are kept
        ids.append(name)
        labels.append(workload.labels.index(format_value(list_values(values["label"])[0])))
        if by_photo:
            features.append(by_photo.get(name))
        elif content is not None:
            features.append(_read_text(list_values(values[content])))
        else:
            features.append({name: list_values(values[name]) for name in names})
    ids_and_labels = ids, np.array(labels, np.int64)
    if any(item is None for item in features):
        return _Rows(*ids_and_labels, None)
    if by_photo:
        return _Rows(*ids_and_labels, np.stack(features).astype(np.float32))
    if content is not None:
        return _Rows(*ids_and_labels, features)
    return _Rows(*ids_and_labels, _make_table(features, workload) if names else None)


def _read_text(values: Sequence[Any]) -> str | None:
    """Returns a feature as text; None if it is something else, such as a photo."""
    try:
        return b" ".join(values).decode()
    except (TypeError, UnicodeDecodeError):
        return None


def _make_table(rows: Sequence[Mapping[str, list[Any]]], workload: Workload) -> NDArray[np.object_]:
    """Returns the columns of a table, object [n, columns]: numbers, NaN where there is none, and texts.

    A feature with several values, as a window of readings, has as many columns.
    """
    columns: list[list[Any]] = []
    for name in rows[0]:
        if name in workload.categories:
            columns.append([format_value(row[name][0]) if row[name] else "" for row in rows])
            continue
        for number in range(max(1, max(len(row[name]) for row in rows))):
            values = (row[name][number] if number < len(row[name]) else np.nan for row in rows)
            columns.append([float(value) for value in values])
    return np.array(columns, object).T
