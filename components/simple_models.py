"""Simple models that learn from the same examples as the network, and that it is compared with.

These are the most frequent class; for tables, logistic regression and gradient boosting; for texts, logistic
regression and NBSVM on words and pairs of words; for photos, logistic regression and the nearest neighbours,
both on features of a frozen network. They cost seconds: of a large train split they learn from a random
sample. Where the network is judged out of fold, so are they, on the same examples.
"""

import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.label_issues import Judged
from components.raw_rows import RowReader, Rows
from edgeline.gates.answers import Answers
from edgeline.gates.simple import SimpleAnswers
from edgeline.records.workload import Workload

# Shards are by digest, so the first examples are a random sample.
_MOST_TRAINED = 20_000
# As many labels of train are judged, by answers out of fold.
_MOST_JUDGED, _FOLDS = 10_000, 5
# A judge with an accuracy further below the network's than this suspects more right labels than wrong ones.
_FAR_BELOW = 0.1
_NEIGHBOURS = 10
_MOST_CATEGORIES, _MOST_WORDS = 100, 200_000
_SEED = 20
MAJORITY = "the most frequent class"

log = logging.getLogger("edgeline.model_validator")


class SimpleModels:
    """The simple models of a workload, trained on its train split; one that cannot be trained is left out.

    They decide nothing, so what goes wrong with them is a warning.
    """

    def __init__(
        self, splits: Mapping[str, str], quarantine: Path, workload: Workload, judged: Answers
    ) -> None:
        """Trains the models, and answers what the network is judged by.

        Args:
            splits: The folders of `train` and `eval`.
            quarantine: The folder with the features of photos.
            workload: The workload.
            judged: The network's answers. Those to examples of train are out of fold.
        """
        self.network = judged  # its answers to the examples that these models answer
        self.answers: list[SimpleAnswers] = []
        self.photos: list[tuple[str, Rows]] = []  # of each split; empty without features of photos
        self._train: Rows | None = None
        self._models: dict[str, Any] = {}
        self._workload = workload
        try:
            reader = RowReader(workload, quarantine)
            self._train = reader.read(splits["train"], _MOST_TRAINED)
            evaluation = reader.read(splits["eval"])
        except Exception as error:
            log.warning("No simple model is compared: %s: %s", type(error).__name__, error)
            return
        labels, features = self._train.labels, self._train.features
        if self._train.kind == evaluation.kind == "photos":
            self.photos = [("train", self._train), ("eval", evaluation)]
        answered = [*evaluation.ids, *self._train.ids]
        place = {name: number for number, name in enumerate(answered)}
        self.network = judged.take(np.flatnonzero([name in place for name in judged.ids]))
        order = np.array([place[name] for name in self.network.ids])
        is_out_of_fold = (order >= len(evaluation.ids)).any()

        counts = np.bincount(labels, minlength=len(workload.labels))
        majority = self._spread(np.ones((len(order), 1)), np.array([counts.argmax()]))
        self.answers.append(SimpleAnswers(MAJORITY, majority, len(labels), 0.0))
        if np.count_nonzero(counts) < 2 or features is None or evaluation.features is None:
            return
        for name, model in _make_models(self._train):
            began = time.monotonic()
            try:
                with _ignore_warnings():
                    model.fit(features, labels)
                    scores = model.predict_proba(evaluation.features)
                    if is_out_of_fold:
                        of_train = _answer_out_of_fold(model, self._train, _split_by_group(self._train))
                        scores = np.concatenate([scores, of_train])
            except Exception as error:
                log.warning("A %s is not compared: %s: %s", name, type(error).__name__, error)
                continue
            probabilities = self._spread(scores[order], model.classes_)
            seconds = round(time.monotonic() - began, 3)
            self.answers.append(SimpleAnswers(name, probabilities, len(labels), seconds))
            self._models[name] = model

    def judge_train(self) -> Judged | str:
        """Returns train examples with the answers of the model that is best on eval, out of fold.

        Or a sentence why there are none.
        """
        train = self._train and self._train.take(_MOST_JUDGED)
        network = float(self.network.find_right(self.network.candidate).mean())
        accuracies = {
            answers.name: float(self.network.find_right(answers.probabilities).mean())
            for answers in self.answers
            if answers.name in self._models
        }
        if train is None or not accuracies or len(set(train.groups)) < _FOLDS:
            return "Labels of train are not judged: no simple model could learn from a part of them."
        best = max(accuracies, key=lambda name: accuracies[name])
        if accuracies[best] < network - _FAR_BELOW:
            return (
                f"Labels of train are not judged: the best simple model, {best}, has an accuracy of"
                f" {accuracies[best]:.3f} on eval, and the network {network:.3f}. trainer.folds=5 judges them"
                " by models like the network."
            )
        try:
            with _ignore_warnings():
                cv = _split_by_group(train)
                scores = _answer_out_of_fold(self._models[best], train, cv)
        except Exception as error:
            return f"Labels of train are not judged: {type(error).__name__}: {error}"
        probabilities = self._spread(scores, np.unique(train.labels))
        for learned, held_out in cv:  # a model that never saw a class cannot contradict it
            probabilities[held_out[~np.isin(train.labels[held_out], train.labels[learned])]] = np.nan
        return Judged(best, "train", train.ids, train.labels, probabilities)

    def _spread(self, scores: NDArray[Any], classes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns probabilities of some classes as those of all, 0 for a class that train does not have."""
        probabilities = np.zeros((len(scores), len(self._workload.labels)), np.float32)
        probabilities[:, classes] = scores
        return probabilities


def _split_by_group(rows: Rows) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Returns folds of rows, each the positions to learn from and those that are held out, by group."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = min(_FOLDS, len(set(rows.groups)))
    return list(StratifiedGroupKFold(folds).split(rows.ids, rows.labels, rows.groups))


def _answer_out_of_fold(model: Any, rows: Rows, folds: Sequence[Any]) -> NDArray[Any]:
    """Returns the probabilities of rows by models like one, each of which learned from the other folds."""
    from sklearn.model_selection import cross_val_predict

    # A class may be missing in a fold: cross_val_predict gives it the probability 0 there.
    scores: NDArray[Any] = cross_val_predict(
        model, rows.features, rows.labels, cv=folds, method="predict_proba"
    )
    return scores


@contextmanager
def _ignore_warnings() -> Iterator[None]:
    """Drops warnings of convergence, since more steps would change little, and of rare classes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _make_models(rows: Rows) -> Iterator[tuple[str, Any]]:
    """Yields the untrained models for the features of some rows, each with its name."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from components.log_count_ratios import LogCountRatios
    from edgeline.records.syllables import SYLLABLE

    if rows.kind == "texts":
        pairs = {"ngram_range": (1, 2), "max_features": _MOST_WORDS}
        # Where no blank parts two words, syllables are words, as for the network.
        other = rf"(?!{SYLLABLE})\w"
        words = TfidfVectorizer(sublinear_tf=True, token_pattern=f"{SYLLABLE}|(?:{other}){{2,}}", **pairs)
        # It is the better one for phrases of a few words, and NBSVM for sentences.
        name = "logistic regression on words and pairs of words"
        yield name, make_pipeline(words, LogisticRegression(C=10.0, max_iter=300))
        words = CountVectorizer(binary=True, token_pattern=f"{SYLLABLE}|(?:{other})+", **pairs)
        # By class, since a ratio is that of one class to the others.
        linear = make_pipeline(LogCountRatios(), LogisticRegression(solver="liblinear", dual=True))
        yield "NBSVM on words and pairs of words", make_pipeline(words, OneVsRestClassifier(linear))
    elif rows.kind == "photos":
        # There are so many features that only a strong penalty keeps what holds for other sessions.
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
        yield "logistic regression on frozen features", linear
        neighbours = min(_NEIGHBOURS, len(rows.labels))
        name = f"vote of the {neighbours} nearest neighbours by frozen features"
        yield name, KNeighborsClassifier(neighbours, weights="distance", metric="cosine")
    else:
        categories = list(rows.categories)
        numbers = [column for column in range(rows.features.shape[1]) if column not in rows.categories]
        scaled = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
        indicators = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=_MOST_CATEGORIES)
        columns = ColumnTransformer([("numbers", scaled, numbers), ("categories", indicators, categories)])
        yield "logistic regression", make_pipeline(columns, LogisticRegression(max_iter=300))
        boosting = HistGradientBoostingClassifier(early_stopping=False, random_state=_SEED)
        yield "gradient boosting", boosting
