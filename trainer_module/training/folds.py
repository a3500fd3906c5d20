"""Cross-validation by group: estimates the quality of a training whose eval split is too small.

All examples are assigned to folds: each group (session, machine, author) to one, each class to all as evenly
as groups allow. Each fold measures a model that was trained only on the others, so no example has a part in
the model that it measures.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.model_selection import StratifiedGroupKFold

from edgeline.records.edge import Prediction
from edgeline.records.training import CrossValidation, Estimate
from edgeline.records.workload import Workload
from edgeline.store.locations import write_atomically
from trainer_module.raw_features import first_text
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.training import calibration, input_pipeline
from trainer_module.training.input_pipeline import READ_BATCH, Split
from trainer_module.training.task import Task, train_model

_progress = logging.getLogger("edgeline.progress")

# With fewer groups in eval, or of a class, figures say little: folds are trained unless `folds` is set.
_FEW_GROUPS, _FEW_GROUPS_OF_A_CLASS = 20, 5
_FOLDS, _FEWEST_GROUPS = 5, 3
_PHOTO_RANK = 4  # dimensions of a batch of photos
# Five more trainings take long with more examples than these.
_MOST_EXAMPLES = 100_000
_DIGITS = 6  # of a probability; float32 has no more of them near 1


@dataclass(frozen=True)
class OutOfFold:
    """The predictions of models for groups that they were not trained on."""

    estimates: CrossValidation
    predictions: Sequence[Prediction]  # at `temperature`
    temperature: float | None  # by which all answers together are most likely; None if they are not scaled


def count_folds(task: Task, settings: TrainerSettings, trained_s: float, left_s: float) -> tuple[int, str]:
    """Returns the number of folds to train, 0 for none, and a sentence if that is fewer than expected.

    The training of the model took `trained_s`; `left_s` are left of the budget, if there is one.
    """
    both, wanted, few = (task.training, task.evaluation), settings.folds, _describe_few_groups(task)
    if wanted == 0 or (wanted is None and not few):
        return 0, ""
    groups = len(np.unique(np.concatenate([split.groups for split in both])))
    examples = sum(len(split.labels) for split in both)
    largest_class = int(np.bincount(np.concatenate([split.labels for split in both])).max())
    folds = min(wanted or _FOLDS, groups, largest_class)
    needed_s = trained_s * (folds - 1)  # each fold trains on that share of the examples
    shapes = [split.inputs.shape for split in both if isinstance(split.inputs, tf.Tensor)]
    because = ""
    if settings.strategy == "multi_worker":
        because = "trainer.strategy is multi_worker, but folds need a single process"
    elif len(shapes) < len(both):
        because = "the examples do not fit into memory"
    elif groups < _FEWEST_GROUPS:
        because = f"the examples have too few groups ({groups})"
    elif wanted is None and examples > _MOST_EXAMPLES:
        because = f"they take long with {examples:,} examples"
    elif wanted is None and settings.budget and needed_s > left_s:
        because = f"they take {needed_s:.0f} s, but trainer.budget has {max(left_s, 0):.0f} s left"
    elif wanted is None and not settings.budget and len(shapes[0]) == _PHOTO_RANK:
        because = "they take long with photos, and trainer.budget is not set"
    if because and wanted is None:
        return 0, f"Eval has only {few}, and no folds are trained: {because}."
    if because:
        return 0, f"trainer.folds is {wanted}, but no folds are trained: {because}."
    fewer = f"trainer.folds is {wanted}: there are only enough groups and examples for {folds}."
    fewer = fewer if folds < (wanted or 0) else ""
    return folds, fewer


def _describe_few_groups(task: Task) -> str:
    """Describes what the eval split has too few groups of; empty if it has enough of everything."""
    evaluation = task.evaluation
    if (groups := len(np.unique(evaluation.groups))) < _FEW_GROUPS:
        return f"{groups} groups"
    for number, label in enumerate(task.workload.labels):
        has_examples = (task.training.labels == number).any() or (evaluation.labels == number).any()
        groups = len(np.unique(evaluation.groups[evaluation.labels == number]))
        if has_examples and groups < _FEW_GROUPS_OF_A_CLASS:
            return f"{groups} groups with {label}"
    return ""


def cross_validate(
    task: Task,
    model_settings: ModelSettings,
    settings: TrainerSettings,
    folds: int,
    replicas: tf.distribute.Strategy,
    folder: Path,
    scales: bool,
) -> OutOfFold:
    """Trains up to `folds` more models, each for as many epochs as the first.

    Where the model's logits cannot be scaled, `scales` is False: the answers are not scaled either.

    A finished fold leaves its answers in `folder`, so that a resumed run does not train it again.

    Raises:
        HeldBack: A training diverges.
    """
    everything = _concatenate(task.training, task.evaluation)
    labels = everything.labels
    fold_of = _assign_folds(labels, everything.groups, folds)
    folds = int(fold_of.max()) + 1
    answers = np.empty((len(labels), len(task.workload.labels)), np.float32)
    began = time.monotonic()
    for fold in range(folds):
        answers_file = folder / f"fold-{fold}.npy"
        measured = replace(everything, only=fold_of == fold)
        if not answers_file.is_file():
            _progress.info("Fold %d of %d.", fold + 1, folds)
            rest = replace(everything, only=fold_of != fold)
            fold_task = replace(task, training=rest, evaluation=measured)
            place = folder / f"fold-{fold}"
            # The epochs are those of the first training already.
            exact = settings.model_copy(update={"budget": None, "min_steps": None, "max_steps": None})
            trained = train_model(fold_task, model_settings, exact, replicas, place, time.monotonic())
            fold_answers = calibration.predict(trained.model, measured, settings.batch_size)
            with write_atomically(answers_file, sync=True) as file:
                np.save(file, fold_answers)
        answers[fold_of == fold] = np.load(answers_file)
    right = answers.argmax(axis=1) == labels
    overall = Estimate.of(right, everything.groups)
    classes = {
        name: Estimate.of(right[labels == number], everything.groups[labels == number])
        for number, name in enumerate(task.workload.labels)
        if (labels == number).any()
    }
    estimates = CrossValidation(folds, overall, classes, round(time.monotonic() - began, 3))
    files = (*task.training.files, *task.evaluation.files)
    temperature = calibration.fit_temperature(answers, labels) if scales else None
    answers = calibration.divide_logits(answers, temperature or 1.0)
    return OutOfFold(estimates, _make_predictions(files, answers, labels, task.workload), temperature)


def _concatenate(one: Split, other: Split) -> Split:
    with tf.device("/cpu:0"):
        inputs = tf.concat([one.inputs, other.inputs], axis=0)
    labels, groups = (
        np.concatenate([getattr(split, name) for split in (one, other)]) for name in ("labels", "groups")
    )
    return replace(one, files=(), counts=(len(labels),), labels=labels, groups=groups, inputs=inputs)


def _assign_folds(labels: np.ndarray, groups: np.ndarray, folds: int) -> np.ndarray:
    """Returns the fold of each example, int [N], of at most `folds`."""
    fold_of = np.empty(len(labels), int)
    # Groups are not shuffled: with scikit-learn 1.5, shuffling leaves classes out of folds.
    for fold, (_, measured) in enumerate(StratifiedGroupKFold(folds).split(labels, labels, groups)):
        fold_of[measured] = fold
    # With hardly more groups than folds, scikit-learn may leave a fold empty.
    return np.unique(fold_of, return_inverse=True)[1]


def _make_predictions(
    files: Sequence[str], answers: np.ndarray, labels: np.ndarray, workload: Workload
) -> Sequence[Prediction]:
    """Combines the answers with the features of each example in the files."""
    features = {kind: name for kind, name in workload.slice_features.items() if kind not in ("class", "span")}
    predictions: list[Prediction] = []
    for batch in input_pipeline.read_records(files).batch(READ_BATCH).as_numpy_iterator():
        for record in batch:
            number, raw = len(predictions), tf.train.Example.FromString(record).features.feature
            predictions.append(
                Prediction(
                    example_id=first_text(raw[workload.id]),
                    label=workload.labels[labels[number]],
                    probabilities=tuple(round(float(p), _DIGITS) for p in answers[number]),
                    slices={kind: first_text(raw[name]) for kind, name in features.items()},
                    span=next(iter(raw["span"].int64_list.value), None),
                    group=first_text(raw[workload.group]),
                )
            )
    return predictions
