"""Simple models that learn from the same examples as the network, and that it is compared with.

These are the most frequent class; for tables, logistic regression and gradient boosting; for texts, logistic
regression on words and pairs of words; for photos, logistic regression and the nearest neighbours, both on
features of a frozen network. They cost seconds: of a large train split they learn from a random sample.
"""

import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.label_issues import Judged
from data.spans.tfrecords import format_value, list_values
from edgeline.gates.simple import SimpleAnswers
from edgeline.records.photo_features import read_features
from edgeline.records.shards import find_shards
from edgeline.records.workload import Workload
from trainer_module.training.input_pipeline import read_records

# Shards are by digest, so the first examples are a random sample.
_MOST_TRAINED = 50_000
# The answers out of fold, by which labels of train are judged, may take so long.
_FOLDS, _PATIENCE_S = 5, 60.0
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
    groups: NDArray[np.object_]  # [n], the session, machine or author; its id for an example without one
    features: Any  # of each example, as its model reads them: [n, ...]


class SimpleModels:
    """The simple models of a workload, trained on its train split; one that cannot be trained is left out.

    They decide nothing, so what goes wrong with them is a warning.
    """

    def __init__(
        self, splits: Mapping[str, str], quarantine: Path, workload: Workload, ids: Sequence[str]
    ) -> None:
        """Trains the models, and answers the eval examples.

        Args:
            splits: The folders of the splits `train` and `eval`.
            quarantine: The folder in which ingest left the features of photos.
            workload: The workload, with the features that its network reads.
            ids: The ids of all eval examples; the answers are in their order.
        """
        self.answers: list[SimpleAnswers] = []
        self._train: _Rows | None = None
        self._models: dict[str, Any] = {}
        self._workload = workload
        try:
            self._train, evaluation = _read_splits(splits, quarantine, workload, ids)
        except Exception as error:
            log.warning("No simple model is compared: %s: %s", type(error).__name__, error)
            return
        labels, features = self._train.labels, self._train.features
        counts = np.bincount(labels, minlength=len(workload.labels))
        majority = np.zeros((len(ids), len(workload.labels)), np.float32)
        majority[:, counts.argmax()] = 1.0
        self.answers.append(SimpleAnswers(MAJORITY, majority, len(labels), 0.0))
        if np.count_nonzero(counts) < 2 or features is None:
            return
        for name, model in _make_models(features):
            began = time.monotonic()
            try:
                with _ignore_warnings():
                    model.fit(features, labels)
                    known = model.predict_proba(evaluation.features)
            except Exception as error:
                log.warning("A %s is not compared: %s: %s", name, type(error).__name__, error)
                continue
            probabilities = np.zeros((len(ids), len(workload.labels)), np.float32)
            probabilities[:, model.classes_] = known
            seconds = round(time.monotonic() - began, 3)
            self.answers.append(SimpleAnswers(name, probabilities, len(labels), seconds))
            self._models[name] = model

    def judge_train(self, eval_labels: NDArray[np.int64]) -> Judged | None:
        """Returns the train examples with the answers of the model that is best on eval, out of fold.

        None if no model was trained, or all are slow. `eval_labels` are those of the eval examples.
        """
        from sklearn.base import clone
        from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

        quick = [a for a in self.answers if a.name in self._models and a.seconds * _FOLDS < _PATIENCE_S]
        if self._train is None or not quick or len(set(self._train.groups)) < _FOLDS:
            return None
        best = max(quick, key=lambda answers: (answers.probabilities.argmax(1) == eval_labels).mean())
        train = self._train
        try:
            with _ignore_warnings():
                # A class may be missing in a fold: cross_val_predict gives it the probability 0 there.
                known = cross_val_predict(
                    clone(self._models[best.name]),
                    train.features,
                    train.labels,
                    groups=train.groups,
                    cv=StratifiedGroupKFold(_FOLDS),
                    method="predict_proba",
                )
        except Exception as error:
            log.warning("Labels of train are not judged: %s: %s", type(error).__name__, error)
            return None
        probabilities = np.zeros((len(train.ids), len(self._workload.labels)), np.float32)
        probabilities[:, np.unique(train.labels)] = known
        return Judged(best.name, "train", train.ids, train.labels, probabilities)


@contextmanager
def _ignore_warnings() -> Iterator[None]:
    """Drops warnings of convergence, since more steps would change little, and of rare classes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


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
        train, features = replace(train, features=None), None
    return train, _Rows(list(ids), evaluation.labels[order], evaluation.groups[order], features)


def _read_rows(
    folder: str, workload: Workload, by_photo: Mapping[str, NDArray[np.float16]], most: int | None
) -> _Rows:
    from tensorflow.core.example.example_pb2 import Example

    names = [name for name in (*workload.numbers, *workload.categories) if name in workload.reads]
    (content,) = workload.unmeasured if len(workload.unmeasured) == 1 else (None,)
    ids: list[str] = []
    labels: list[int] = []
    groups: list[str] = []
    features: list[Any] = []
    records = read_records(find_shards([f"{folder}/*"]))
    for record in records.take(-1 if most is None else most).as_numpy_iterator():
        values = Example.FromString(record).features.feature
        name = format_value(list_values(values[workload.id])[0])
        if by_photo and name not in by_photo and most is not None:
            continue  # the features of a sample are kept
        ids.append(name)
        labels.append(workload.labels.index(format_value(list_values(values["label"])[0])))
        groups.append(next(map(format_value, list_values(values[workload.group])), "") or name)
        if by_photo:
            features.append(by_photo.get(name))
        elif content is not None:
            features.append(_read_text(list_values(values[content])))
        else:
            features.append({name: list_values(values[name]) for name in names})
    about = ids, np.array(labels, np.int64), np.array(groups, object)
    if any(item is None for item in features):
        return _Rows(*about, None)
    if by_photo:
        return _Rows(*about, np.stack(features).astype(np.float32))
    if content is not None:
        return _Rows(*about, features)
    return _Rows(*about, _make_table(features, workload) if names else None)


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
