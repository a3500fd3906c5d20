"""Cross-validation by group: more models like the one that is trained, for data with few groups.

The training examples are assigned to folds: each group (session, machine, author) to one, each class to all
as evenly as groups allow. Each fold is answered by a model that was trained only on the others, and the eval
split by the model itself, so no example has a part in the model that answers it. The answers to the training
examples give the temperature; with those to the eval split, they judge a training whose eval split is too
small.
"""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.model_selection import StratifiedGroupKFold

from edgeline.labels import format_count
from edgeline.records.edge import OUT_OF_FOLD, Prediction
from edgeline.records.training import CROSS_VALIDATION, CrossValidation, Estimate
from edgeline.records.workload import Workload
from edgeline.store.locations import write_atomically
from trainer_module.raw_features import first_text
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.training import calibration, input_pipeline
from trainer_module.training.input_pipeline import READ_BATCH, Split
from trainer_module.training.task import Task, train_model

_progress = logging.getLogger("edgeline.progress")

# With fewer groups in a split, or of a class, its figures say little.
_FEW_GROUPS, _FEW_GROUPS_OF_A_CLASS = 20, 5
_FOLDS, _FEWEST_GROUPS = 5, 3
_PHOTO_RANK = 4  # dimensions of a batch of photos
# Five more trainings take long with more examples than these.
_MOST_EXAMPLES = 100_000
_DIGITS = 6  # of a probability; float32 has no more of them near 1


@dataclass(frozen=True)
class Plan:
    """The folds of a training."""

    folds: int = 0
    judges: bool = False  # whether their answers judge the model
    calibrates: bool = False  # whether they give the temperature
    few_in_eval: str = ""  # what eval has too few groups of
    note: str = ""  # says why there are fewer than expected


@dataclass(frozen=True)
class OutOfFold:
    """The answers to the examples of train by models that did not learn from them."""

    probabilities: np.ndarray  # float32 [N, classes]
    labels: np.ndarray  # [N]
    folds: int
    seconds: float


def plan_folds(task: Task, settings: TrainerSettings) -> Plan:
    """Plans the folds before the training; what calibrates is planned by the training examples alone.

    Without `settings.folds`, folds judge if eval has few groups, and calibrate if a tenth of train has few.
    Under a budget nobody knows yet whether there is time for them, so they do not calibrate then.
    """
    training, wanted = task.training, settings.folds
    present = set(training.labels.tolist())
    held_out = task.hold_out().held_out
    few_held_out = _describe_few_groups(task, held_out, present) if held_out else "no groups"
    few_in_eval = _describe_few_groups(task, task.evaluation, present | set(task.evaluation.labels.tolist()))
    judges = bool(wanted or few_in_eval)
    calibrates = bool(wanted or (few_held_out and not settings.budget))
    if wanted == 0 or not (judges or calibrates):
        return Plan()

    groups = len(np.unique(training.groups))
    because = _find_obstacle(training, groups, settings)
    if because and wanted:
        return Plan(note=f"trainer.folds is {wanted}, but no folds are trained: {because}.")
    if because:
        note = f"Eval has only {few_in_eval}, and no folds are trained: {because}."
        return Plan(note=note if few_in_eval else "")
    folds = min(wanted or _FOLDS, groups, int(np.bincount(training.labels).max()))
    fewer = f"trainer.folds is {wanted}: there are only enough groups and examples for {folds}."
    return Plan(folds, judges, calibrates, few_in_eval, fewer if folds < (wanted or 0) else "")


def _find_obstacle(training: Split, groups: int, settings: TrainerSettings) -> str:
    """Returns why folds cannot be trained, or take long and nobody asked for them; empty if nothing does."""
    if settings.strategy == "multi_worker":
        return "trainer.strategy is multi_worker, but folds need a single process"
    if not isinstance(training.inputs, tf.Tensor):
        return "the examples do not fit into memory"
    if groups < _FEWEST_GROUPS:
        return f"train has too few groups ({groups})"
    if settings.folds is not None:
        return ""
    if (examples := len(training.labels)) > _MOST_EXAMPLES:
        return f"they take long with {examples:,} examples"
    if not settings.budget and len(training.inputs.shape) == _PHOTO_RANK:
        return "they take long with photos, and trainer.budget is not set"
    return ""


def keep_to_budget(plan: Plan, settings: TrainerSettings, trained_s: float, left_s: float) -> Plan:
    """Returns the plan without folds that nobody asked for, if the time that is left does not suffice.

    Args:
        plan: As planned before the training.
        settings: Say whether folds were asked for, and whether there is a budget.
        trained_s: The seconds that the training of the model took.
        left_s: The seconds left of the budget, if there is one; negative if it is overrun.
    """
    needed_s = trained_s * (plan.folds - 1)  # each fold trains on that share of the examples
    if settings.folds or not plan.folds or not settings.budget or needed_s <= left_s:
        return plan
    because = f"they take {needed_s:.0f} s, but trainer.budget has {max(left_s, 0):.0f} s left"
    return Plan(note=f"Eval has only {plan.few_in_eval}, and no folds are trained: {because}.")


def _describe_few_groups(task: Task, split: Split, present: Collection[int]) -> str:
    """Describes what a split has too few groups of; empty if it has enough, also of each class `present`."""
    shown_groups, shown_labels = split.groups[split.shown], split.labels[split.shown]
    if (groups := len(np.unique(shown_groups))) < _FEW_GROUPS:
        return format_count(groups, "group")
    for number, label in enumerate(task.workload.labels):
        groups = len(np.unique(shown_groups[shown_labels == number]))
        if number in present and groups < _FEW_GROUPS_OF_A_CLASS:
            return f"{format_count(groups, 'group')} with {label}"
    return ""


def answer_out_of_fold(
    task: Task,
    model_settings: ModelSettings,
    settings: TrainerSettings,
    folds: int,
    replicas: tf.distribute.Strategy,
    folder: Path,
) -> OutOfFold:
    """Trains up to `folds` more models, each for as many epochs as the first; raises HeldBack as that does.

    Args:
        task: The whole of its train split is answered; eval has no part.
        model_settings: Those of the first model.
        settings: Those that the first training ended with, whose epochs fit the limits already.
        folds: There are fewer if one would be empty.
        replicas: Share the steps of each training.
        folder: Gets the answers of each finished fold, so that a resumed run does not train it again.
    """
    training = task.training
    began = time.monotonic()
    fold_of = _assign_folds(training.labels, training.groups, folds)
    folds = int(fold_of.max()) + 1
    answers = np.empty((len(training.labels), len(task.workload.labels)), np.float32)
    for fold in range(folds):
        answers_file = folder / f"fold-{fold}.npy"
        measured = replace(training, only=fold_of == fold)
        if not answers_file.is_file():
            _progress.info("Fold %d of %d.", fold + 1, folds)
            rest = replace(training, only=fold_of != fold)
            fold_task = replace(task, training=rest, evaluation=measured)
            place = folder / f"fold-{fold}"
            # The epochs are those of the first training already.
            limits = dict.fromkeys(("budget", "min_steps", "max_steps", "max_steps_a_group"))
            exact = settings.model_copy(update={**limits, "checkpoint": "best"})
            trained = train_model(fold_task, model_settings, exact, replicas, place, time.monotonic())
            fold_answers = calibration.predict(trained.model, measured, settings.batch_size)
            with write_atomically(answers_file, sync=True) as file:
                np.save(file, fold_answers)
        answers[fold_of == fold] = np.load(answers_file)
    return OutOfFold(answers, training.labels, folds, round(time.monotonic() - began, 3))


def write_estimates(folder: Path, task: Task, of_train: OutOfFold, of_eval: np.ndarray) -> None:
    """Writes how good the answers to train, out of fold, and to eval are, and the answers themselves.

    Args:
        folder: The outputs of the training.
        task: Nothing may be held out of its train split.
        of_train: The answers, already with the model's temperature.
        of_eval: The model's probabilities, [N, classes], with its temperature too.
    """
    splits = task.training, task.evaluation
    labels, groups = (
        np.concatenate([getattr(split, name) for split in splits]) for name in ("labels", "groups")
    )
    answers = np.concatenate([of_train.probabilities, of_eval])
    right = answers.argmax(axis=1) == labels
    classes = {
        name: Estimate.of(right[labels == number], groups[labels == number])
        for number, name in enumerate(task.workload.labels)
        if (labels == number).any()
    }
    overall = Estimate.of(right, groups)
    estimates = CrossValidation(of_train.folds, overall, classes, of_train.seconds)
    CROSS_VALIDATION.write(folder, estimates)
    files = (*task.training.files, *task.evaluation.files)
    OUT_OF_FOLD.write(folder, _make_predictions(files, answers, labels, task.workload))


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
            number = len(predictions)
            raw = tf.train.Example.FromString(record).features.feature
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
