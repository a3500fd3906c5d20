"""One training: opens the examples of a run, prepares the model and trains it."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from edgeline.records.workload import Workload
from trainer_module import workload_module
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.training import devices, fit, front, input_pipeline
from trainer_module.training.budget import Budget
from trainer_module.training.input_pipeline import Augment, Split
from trainer_module.training.loop import Loop

_progress = logging.getLogger("edgeline.progress")
# Fine-tuning ends with the mean of the weights after each of this many epochs, at most half of all: single
# ones differ by a point or two.
_AVERAGED = 6
# Share of the groups of train that are held out, to calibrate the model and to select an epoch.
_HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class Task:
    """A training task: the workload and its two splits."""

    workload: Workload
    transform: tft.TFTransformOutput
    training: Split
    evaluation: Split
    seed: int
    held_out: Split | None = None  # examples of train that the model does not learn from

    def hold_out(self) -> "Task":
        """Returns the task with a tenth of the groups of train held out; itself if these are too few."""
        if self.held_out:
            return self
        rest, held_out = input_pipeline.hold_out(self.training, _HELD_OUT_SHARE)
        return replace(self, training=rest, held_out=held_out) if len(held_out.shown) else self


def open_task(
    workload: Workload,
    transform_output: str,
    train_files: Sequence[str],
    eval_files: Sequence[str],
    seed: int,
    scratch: Path,
) -> Task:
    """Opens both splits from patterns of their files, as `open_split` does.

    Args:
        workload: Its module makes the model.
        transform_output: The path of Transform's output.
        train_files: Patterns of the split to learn from.
        eval_files: Patterns of the split that judges.
        seed: Decides everything random in the training.
        scratch: Folder for inputs that memory cannot hold; is created if it is missing.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    transform = tft.TFTransformOutput(transform_output)
    training = input_pipeline.open_split(train_files, transform, "train", workload, scratch=scratch)
    evaluation = input_pipeline.open_split(eval_files, transform, "eval", workload, scratch=scratch)
    return Task(workload, transform, training, evaluation, seed)


@dataclass(frozen=True)
class Trained:
    """A trained model, float32, and how it was trained."""

    model: keras.Model
    outcome: fit.Outcome
    settings: TrainerSettings  # with the epochs and variations that fit the budget
    notes: tuple[str, ...] = ()  # a sentence for each deviation from the settings


def train_model(
    task: Task,
    model_settings: ModelSettings,
    settings: TrainerSettings,
    replicas: tf.distribute.Strategy,
    checkpoints: Path,
    began: float,
    exactly: bool = False,
) -> Trained:
    """Builds the workload's model and trains it.

    Args:
        task: Its `evaluation` has no part in the model. If `early_stopping_patience` is set, its `held_out`
            selects the epoch, which is taken from its `training` if there is none.
        model_settings: For the module that builds the network.
        settings: Those asked for; the result has those that the limits and the budget allow.
        replicas: The global batch size is `batch_size` times these.
        checkpoints: Folder from which a training with the same arguments resumes.
        began: When the budget began to count, in seconds of `time.monotonic`.
        exactly: Unless set, one epoch may overrun the budget, by at most as much time as it has.

    Raises:
        UsageError: The budget is too short, or the weights do not fit the network.
        HeldBack: The training diverges.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    overrun_s = 0.0 if exactly else settings.budget_s
    budget = Budget(settings.budget_s, began, checkpoints, replicas, overrun_s) if settings.budget else None
    selection = None
    if settings.early_stopping_patience:
        task = task.hold_out()
        selection = task.held_out
        if selection is None:
            _progress.info("No class has five groups: all epochs are trained, without early stopping.")
    with devices.set_precision(settings):
        prepared = prepare(task, model_settings, settings, replicas, selection, checkpoints, budget)
        settings = prepared.settings
        groups = len(np.unique(task.training.groups[task.training.shown]))
        epochs, limit = settings.count_epochs(prepared.steps, groups)
        notes = []
        if epochs != settings.epochs:
            notes.append(
                f"trainer.{limit}={getattr(settings, limit)} makes {epochs} epochs of {prepared.steps} steps"
                f" of the {settings.epochs} trainer.epochs."
            )
            _progress.info(notes[0])
        settings = settings.model_copy(update={"epochs": epochs})
        loop = prepared.loop(settings)
        if budget:
            splits = filter(None, (prepared.evaluation, prepared.selection))
            measure = partial(fit.time_end_of_epoch, loop, tuple(splits), checkpoints)
            epochs = budget.plan_epochs(loop, prepared.batches_of, prepared.steps, settings.epochs, measure)
            if epochs != settings.epochs:  # the learning rate falls to 0 in as many steps
                settings = settings.model_copy(update={"epochs": epochs})
                loop = prepared.loop(settings)
        split = task.evaluation
        # Folds and trials measure a part of the examples; nobody looks into event files of these.
        is_whole = split.only is None
        board = fit.BoardData(task.workload.labels, split.inputs, split.labels) if is_whole else None
        outcome = fit.train(
            loop,
            prepared.batches_of,
            prepared.steps,
            prepared.evaluation,
            settings,
            checkpoints,
            board,
            prepared.selection,
            max(1, min(_AVERAGED, settings.epochs // 2)) if prepared.fine_tuning else 1,
        )
    model = prepared.model
    if settings.precision != "float32":
        # TFLite's converter takes no operation in float16 (tensorflow/tensorflow#46380).
        model = build_model(task, model_settings)
        model.set_weights(prepared.model.get_weights())
    return Trained(model, outcome, settings, (*notes, *(budget.notes if budget else ())))


@dataclass(frozen=True)
class Prepared:
    """A model that is ready to be trained."""

    model: keras.Model
    trained: keras.Model  # the part that training changes: all of it, or the layers after a front
    front: keras.Model | None  # computes the features of a batch; None if not needed
    fine_tuning: bool  # whether it has a front, and so pretrained weights
    settings: TrainerSettings  # with the variations that fit the budget
    batches_of: Callable[[range, int], Iterable[Any]]  # takes epochs and the batches to skip in the first
    steps: int  # in an epoch
    evaluation: tf.data.Dataset
    selection: tf.data.Dataset | None
    replicas: tf.distribute.Strategy

    def loop(self, settings: TrainerSettings) -> Loop:
        """Compiles the model for all epochs and returns a new loop."""
        with self.replicas.scope():
            fit.compile_model(
                self.trained,
                settings.learning_rate,
                self.steps * settings.epochs,
                fine_tuning=self.fine_tuning,
                replicas=self.replicas.num_replicas_in_sync,
                weight_decay=settings.weight_decay,
                falls=settings.schedule == "cosine",
            )
        return Loop(self.trained, self.replicas, settings, self.front)


def prepare(
    task: Task,
    model_settings: ModelSettings,
    settings: TrainerSettings,
    replicas: tf.distribute.Strategy,
    selection: Split | None = None,
    scratch: Path | None = None,
    budget: Budget | None = None,
) -> Prepared:
    """Builds the workload's model, computes its features and sets the weights that need no training steps.

    Args:
        task: Its train split gives batches; eval is only measured.
        model_settings: For the workload's module.
        settings: The result has those with the variations that fit the budget.
        replicas: Share each batch; the model is built in their scope.
        selection: Examples that select the epoch; None if the last one is kept.
        scratch: Folder for features that memory cannot hold; None for the system's temporary folder.
        budget: Limits the variations; None for no limit.
    """
    training, labels = task.training, task.workload.labels
    measured = [split for split in (task.evaluation, selection) if split]
    batch_size = settings.batch_size * replicas.num_replicas_in_sync
    steps = input_pipeline.steps_per_epoch(training, batch_size)
    keras.utils.set_random_seed(task.seed or 1)  # with 0, tf.data fails on a shuffle whose seed is a tensor
    with replicas.scope():
        model = build_model(task, model_settings)
    augment = workload_module.find(task.workload.module, "augment")
    augment = augment and partial(augment, settings=settings)
    counts = np.bincount(training.labels[training.shown], minlength=len(labels)).tolist()
    weights = np.array(settings.sample_weights(labels, counts), np.float32)[training.labels]
    if settings.balanced_groups:
        weights *= input_pipeline.weigh_groups(training)
    taught = _ask_teacher(task.workload, training) if settings.teacher else None

    trained = model
    batch_front = None
    variations = None
    parts = front.split_model(model)
    if parts:
        frozen, trained = parts
        variations = min(settings.variations, settings.epochs)
        if budget:
            variations = _plan_variations(budget, variations, training, measured, frozen, augment)
        settings = settings.model_copy(update={"variations": variations})
        features = _compute_features(training, measured, frozen, variations, task.seed, augment, scratch)
        if features is None:
            batch_front = front.round_features(frozen)
        else:
            training, measured = features
            augment = None

    batches = partial(
        input_pipeline.make_train_batches,
        training,
        batch_size,
        seed=task.seed,
        augment=augment,
        weights=weights,
        variations=variations,
        taught=taught,
    )
    if parts:
        front.fit_last_layer(model, batches(range(1)), batch_front)
    if initialize := workload_module.find(task.workload.module, "initialize"):
        examples = input_pipeline.make_eval_batches(training, settings.batch_size)
        initialize(model, examples, model_settings, task.transform)
    evaluation, *selections = [input_pipeline.make_eval_batches(split, batch_size) for split in measured]
    return Prepared(
        model,
        trained,
        batch_front,
        parts is not None,
        settings,
        _distribute_batches(replicas, batches),
        steps,
        evaluation,
        selections[0] if selections else None,
        replicas,
    )


def _plan_variations(
    budget: Budget,
    variations: int,
    training: Split,
    measured: Sequence[Split],
    frozen: keras.Model,
    augment: Augment | None,
) -> int:
    """Returns how many variations of the training examples a budget allows, at most `variations`."""
    others = sum(len(split.shown) for split in measured)
    measure = partial(front.measure_seconds_each, training, frozen, augment)
    return budget.plan_variations(variations, len(training.labels), others, measure)


def _compute_features(
    training: Split,
    measured: Sequence[Split],
    frozen: keras.Model,
    variations: int,
    seed: int,
    augment: Augment | None,
    scratch: Path | None,
) -> tuple[Split, list[Split]] | None:
    """Computes what the frozen layers give for train and the measured splits; None if it does not fit."""
    # Features are of all examples, so that batches have the same order as without stored features.
    everything = replace(training, only=None)
    needed = front.count_feature_bytes(frozen, everything, variations)
    needed += sum(front.count_feature_bytes(frozen, split) for split in measured)
    if needed > input_pipeline.compute_storage_limit(scratch):
        text = "Features take %.1f GB, which do not fit: each epoch computes them again."
        _progress.info(text, needed / 1e9)
        return None
    everything = front.compute_features(everything, frozen, variations, seed, augment, scratch)
    features = [front.compute_features(split, frozen, scratch=scratch) for split in measured]
    return replace(everything, only=training.only), features


def _ask_teacher(workload: Workload, training: Split) -> np.ndarray | None:
    """Returns a teacher's answers, float32 [examples, classes]: 0 for examples that are not shown.

    None if the workload has no teacher, or the examples do not fit into memory.
    """
    teach = workload_module.find(workload.module, "teach")
    if teach is None or not isinstance(training.inputs, tf.Tensor):
        return None
    shown = training.shown
    inputs = training.inputs.numpy()[shown]
    answers = teach(inputs, training.labels[shown], training.groups[shown], len(workload.labels))
    if answers is None:
        return None
    taught = np.zeros((len(training.labels), len(workload.labels)), np.float32)
    taught[shown] = answers
    return taught


def build_model(task: Task, settings: ModelSettings) -> keras.Model:
    """Builds the workload's model, with weights that no example has changed."""
    module = workload_module.load_workload_module(task.workload.module)
    model: keras.Model = module.build_model(task.workload.labels, settings, task.transform)
    return model


def _distribute_batches(
    replicas: tf.distribute.Strategy, batches: Callable[..., tf.data.Dataset]
) -> Callable[[range, int], Iterable[Any]]:
    """Makes a function from epochs, and batches to skip, to batches on the device of each replica."""
    if replicas.num_replicas_in_sync == 1 and "CPU" in replicas.extended.worker_devices[0]:
        return lambda epochs, skip: batches(epochs, skip=skip)
    return lambda epochs, skip: replicas.distribute_datasets_from_function(
        lambda context: batches(epochs, skip=skip, context=context)
    )
