"""A teacher for the network of a table: gradient boosting, from whose answers it learns beside the labels.

The answers to an example are of a model that learned from other groups. So the network learns what holds for
groups that it has not seen, and less of what tells those apart that it has (distillation: Hinton, Vinyals and
Dean, 2015, arXiv:1503.02531).
"""

import logging
import warnings

import numpy as np
import tensorflow as tf

from trainer_module.training.input_pipeline import Split

_progress = logging.getLogger("edgeline.progress")

_FOLDS, _FEWEST_GROUPS = 5, 3
_ROWS_RANK = 3  # dimensions of the inputs of a table, [N, readings, channels]
# Numbers that all trees of one round read; with more, the teacher takes longer than the network.
_MOST_READ = 10_000_000
_SEED = 20


def teach(split: Split, classes: int) -> np.ndarray | None:
    """Returns the teacher's probabilities for a train split, float32 [examples, classes].

    Those of examples that the split does not show are 0. Returns None if the examples are no rows of a table,
    or too many, or have too few groups.
    """
    shown = split.shown
    if not isinstance(split.inputs, tf.Tensor) or len(split.inputs.shape) != _ROWS_RANK:
        return None
    rows = split.inputs.numpy().reshape(len(split.labels), -1)[shown]
    rows = rows[:, rows.min(axis=0) < rows.max(axis=0)]
    labels, groups = split.labels[shown], split.groups[shown]
    present = len(np.unique(labels))
    if len(np.unique(groups)) < _FEWEST_GROUPS or not rows.size:
        return None
    if rows.size * (present if present > 2 else 1) > _MOST_READ:
        _progress.info("The table is too large for a teacher: the network learns from the labels alone.")
        return None

    answers = _answer_out_of_fold(rows, labels, groups, classes)
    if answers is None:
        return None
    probabilities = np.zeros((len(split.labels), classes), np.float32)
    probabilities[shown] = answers
    return probabilities


def _answer_out_of_fold(
    rows: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int
) -> np.ndarray | None:
    """Returns the probabilities of rows by models that learned from other groups; None if one cannot."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold

    answers = np.zeros((len(rows), classes), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer rows than folds
        folds = StratifiedGroupKFold(min(_FOLDS, len(np.unique(groups)), np.bincount(labels).max()))
        for learned, answered in folds.split(rows, labels, groups):
            if len(np.unique(labels[learned])) < 2:
                return None
            if len(answered):  # with hardly more groups than folds, a fold may be empty
                boosting = HistGradientBoostingClassifier(early_stopping=False, random_state=_SEED)
                boosting.fit(rows[learned], labels[learned])
                answers[np.ix_(answered, boosting.classes_)] = boosting.predict_proba(rows[answered])
    return answers
