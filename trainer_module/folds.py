"""Cross-validation by session: what a training is worth where the eval split is too small to tell.

All examples are dealt to folds, each session to one, each class to all as evenly as sessions allow. Of every
fold a model is measured that has learned from the others but one, and whose best epoch that one has chosen;
so no example has a part in the model that it measures, which of the eval split cannot be said.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.model_selection import StratifiedGroupKFold

from errors import UsageError
from locations import whole
from records.training import CrossValidation, Estimate
from records.workload import Workload
from trainer_module import input_pipeline
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.training import Task, train_model

_progress = logging.getLogger("edgeline.progress")

_RESAMPLES, _CONFIDENCE = 2_000, 0.95


def cross_validate(
    task: Task,
    model_settings: ModelSettings,
    settings: TrainerSettings,
    replicas: tf.distribute.Strategy,
    folder: Path,
) -> CrossValidation:
    """Trains `settings.folds` models more, each for as long as the first.

    A fold that is done leaves its answers in `folder`: after a kill it is not trained again.

    Raises:
        UsageError: When there are fewer sessions than folds, or the examples are too many to be kept.
        HeldBack: When a training diverges.
    """
    splits = (task.training, task.evaluation)
    if not all(isinstance(split.inputs, tf.Tensor) for split in splits):
        raise UsageError(
            f"trainer.folds is {settings.folds}, and the examples do not fit into memory.",
            "Of so many the eval split tells enough.",
            "Set trainer.folds=0.",
        )
    labels = np.concatenate([split.labels for split in splits])
    inputs = np.concatenate([np.asarray(split.inputs) for split in splits])
    groups = np.concatenate([_groups(split.files, task.workload) for split in splits])
    fold_of = _dealt(labels, groups, settings.folds)
    answers = np.empty((len(labels), len(task.workload.labels)), np.float32)
    began = time.monotonic()

    def part(of: np.ndarray) -> input_pipeline.Split:
        with tf.device("/cpu:0"):
            kept = tf.constant(inputs[of])
            return replace(task.training, files=(), counts=(len(kept),), labels=labels[of], inputs=kept)

    for fold in range(settings.folds):
        done = folder / f"fold-{fold}.npy"
        measured, chooses = fold_of == fold, fold_of == (fold + 1) % settings.folds
        if not done.is_file():
            _progress.info("Fold %d of %d.", fold + 1, settings.folds)
            one = replace(task, training=part(~(measured | chooses)), evaluation=part(chooses))
            place = folder / f"fold-{fold}"
            model, _ = train_model(one, model_settings, settings, replicas, place, time.monotonic())
            batches = input_pipeline.evaluation_batches(part(measured), settings.batch_size)
            said = [model(batch, training=False).numpy() for batch, _ in batches]
            with whole(done, sync=True) as file:
                np.save(file, np.concatenate(said))
        answers[measured] = np.load(done)
    right = answers.argmax(axis=1) == labels
    sessions = np.unique(groups, return_inverse=True)[1]
    overall = _estimate(right, sessions)
    classes = {
        name: _estimate(right[labels == number], sessions[labels == number])
        for number, name in enumerate(task.workload.labels)
        if (labels == number).any()
    }
    return CrossValidation(settings.folds, overall, classes, round(time.monotonic() - began, 3))


def _groups(files: Sequence[str], workload: Workload) -> np.ndarray:
    """The session of each example, in the order of the records; one without is a session of its own."""
    spec = {workload.group: tf.io.VarLenFeature(tf.string)}
    found: list[bytes] = []
    for records in input_pipeline.read_records(files).batch(input_pipeline.READ_BATCH):
        parsed = tf.io.parse_example(records, spec)[workload.group]
        found += tf.sparse.to_dense(parsed)[:, :1].numpy().ravel().tolist() or [b""] * len(records)
    return np.array([group or b"%s %d" % (files[0].encode(), at) for at, group in enumerate(found)])


def _dealt(labels: np.ndarray, groups: np.ndarray, folds: int) -> np.ndarray:
    """The fold of each example."""
    if (sessions := len(np.unique(groups))) < folds:
        raise UsageError(
            f"trainer.folds is {folds}, and the examples are of {sessions} sessions.",
            "A session is in one fold, and each fold needs one.",
            f"Set trainer.folds to {sessions} at most, or to 0.",
        )
    fold_of = np.empty(len(labels), int)
    # Not shuffled: of scikit-learn 1.5 that leaves classes out of folds.
    dealt = StratifiedGroupKFold(folds).split(labels, labels, groups)
    for fold, (_, measured) in enumerate(dealt):
        fold_of[measured] = fold
    return fold_of


def _estimate(right: np.ndarray, sessions: np.ndarray) -> Estimate:
    """The share that is right, with the interval of a bootstrap that draws whole sessions.

    Examples of one session are right or wrong together: drawn one by one, they would seem to say more.
    """
    ids = np.unique(sessions, return_inverse=True)[1]
    there, hits = np.bincount(ids), np.bincount(ids, weights=right)
    random, equal = np.random.default_rng(20), np.full(len(there), 1 / len(there))
    draws = (random.multinomial(len(there), equal) for _ in range(_RESAMPLES))
    shares = [float(drawn @ hits / (drawn @ there)) for drawn in draws]
    low, high = np.quantile(shares, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Estimate(len(right), len(there), float(right.mean()), float(low), float(high))
