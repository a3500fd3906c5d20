"""A teacher for the network of a table: gradient boosting, from whose answers it learns beside the labels.

The answers to an example are of a model that learned from other groups. So the network learns what holds for
groups that it has not seen, and less of what tells those apart that it has (distillation: Hinton, Vinyals and
Dean, 2015, arXiv:1503.02531).
"""

import logging
import warnings

import numpy as np

_progress = logging.getLogger("edgeline.progress")

_FOLDS, _FEWEST_GROUPS = 5, 3
# Numbers that all trees of one round read; with more, the teacher takes longer than the network.
_MOST_READ = 10_000_000
_SEED = 20


def teach(inputs: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int) -> np.ndarray | None:
    """Returns the teacher's probabilities, float32 [N, classes]; None for too few groups or too many rows.

    Args:
        inputs: Examples of train, float32 [N, readings, channels].
        labels: Class ids, [N].
        groups: A number for each example's group, [N].
        classes: Number of all classes, also of those that no example has.
    """
    rows = inputs.reshape(len(labels), -1)
    rows = rows[:, rows.min(axis=0) < rows.max(axis=0)]
    group_count = len(np.unique(groups))
    if group_count < _FEWEST_GROUPS or not rows.size:
        return None
    present = len(np.unique(labels))
    if rows.size * (present if present > 2 else 1) > _MOST_READ:
        _progress.info("The table is too large for a teacher: the network learns from the labels alone.")
        return None

    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold

    answers = np.zeros((len(rows), classes), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer rows than folds
        folds = StratifiedGroupKFold(min(_FOLDS, group_count, np.bincount(labels).max()))
        for learned, answered in folds.split(rows, labels, groups):
            if len(np.unique(labels[learned])) < 2:
                return None
            if len(answered):  # with hardly more groups than folds, a fold may be empty
                boosting = HistGradientBoostingClassifier(early_stopping=False, random_state=_SEED)
                boosting.fit(rows[learned], labels[learned])
                answers[np.ix_(answered, boosting.classes_)] = boosting.predict_proba(rows[answered])
    return answers
