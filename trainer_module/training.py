"""One training, from the examples of a run to a model: what it trains, in which order, and for how long."""

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

from records.workload import Workload
from trainer_module import devices, fit, front, input_pipeline, workload_module
from trainer_module.budget import Budget
from trainer_module.input_pipeline import Split
from trainer_module.loop import Loop
from trainer_module.settings import ModelSettings, TrainerSettings

_progress = logging.getLogger("edgeline.progress")
# The share of the groups of train that choose an epoch, where anything does.
_CHOOSES = 0.1


@dataclass(frozen=True)
class Task:
    """What is learned from what."""

    workload: Workload
    transform: tft.TFTransformOutput
    training: Split
    evaluation: Split
    seed: int


def open_task(
    workload: Workload,
    transform_output: str,
    train_files: Sequence[str],
    eval_files: Sequence[str],
    seed: int,
    scratch: Path,
) -> Task:
    """Reads the examples, patterns of whose files these are; `scratch` takes what memory cannot hold.

    Raises:
        EdgelineError: When a split cannot be trained or measured on.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    transform = tft.TFTransformOutput(transform_output)
    training = input_pipeline.open_split(train_files, transform, "train", workload, scratch=scratch)
    evaluation = input_pipeline.open_split(eval_files, transform, "eval", workload, scratch=scratch)
    return Task(workload, transform, training, evaluation, seed)


@dataclass(frozen=True)
class Trained:
    """A model that was trained, float32, and how."""

    model: keras.Model
    outcome: fit.Outcome
    settings: TrainerSettings  # with the epochs and variations that a budget had the time for
    notes: tuple[str, ...] = ()  # what went another way than set, a sentence each


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

    Nothing of `task.evaluation` has a part in the model: where there is an `early_stopping_patience`, groups
    that are held out of `task.training` choose the epoch.

    Args:
        task: What is learned.
        model_settings: Which network.
        settings: How it is trained.
        replicas: Whose batch size together is `batch_size` times their number.
        checkpoints: The folder that a training with the same arguments goes on from.
        began: The time, by `time.monotonic`, that a budget counts from.
        exactly: Whether no epoch may overrun the budget. Defaults to allowing that to one, by as much time
            as the budget has at most.

    Raises:
        UsageError: When the budget is too short, or the weights do not fit the network.
        HeldBack: When it diverges.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    overrun_s = 0.0 if exactly else settings.budget_s
    budget = Budget(settings.budget_s, began, checkpoints, replicas, overrun_s) if settings.budget else None
    choosing = None
    if settings.early_stopping_patience:
        rest, choosing = input_pipeline.hold_out(task.training, _CHOOSES)
        if len(choosing.shown):
            task = replace(task, training=rest)
        else:
            _progress.info("No class has three groups: all epochs are trained, and nothing chooses one.")
            choosing = None
    with devices.numbers(settings):
        prepared = prepare(task, model_settings, settings, replicas, choosing, checkpoints, budget)
        settings = prepared.settings
        if budget:
            epochs = budget.affordable_epochs(
                prepared.loop(settings), prepared.batches_of, prepared.steps, settings.epochs
            )
            settings = settings.model_copy(update={"epochs": epochs})
        split = task.evaluation
        photos = split.inputs if split.only is None else None
        outcome = fit.train(
            prepared.loop(settings),
            prepared.batches_of,
            prepared.steps,
            prepared.evaluation,
            settings,
            checkpoints,
            fit.Shown(task.workload.labels, photos, split.labels[split.shown]),
            prepared.choosing,
        )
    model = prepared.model
    if settings.precision != "float32":
        model = _build(task, model_settings)
        model.set_weights(prepared.model.get_weights())
    return Trained(model, outcome, settings, tuple(budget.notes) if budget else ())


@dataclass(frozen=True)
class Prepared:
    """A model that is about to be trained."""

    model: keras.Model
    trained: keras.Model  # what of it training changes: all of it, or what comes after a front
    front: keras.Model | None  # what computes the features of a batch; None where batches have them, or none
    fine_tuning: bool  # whether it has a front, so weights that are good already
    settings: TrainerSettings  # with the variations that a budget has the time for
    batches_of: Callable[[range, int], Iterable[Any]]  # of a range of epochs, but for so many of the first
    steps: int  # in an epoch
    evaluation: tf.data.Dataset
    choosing: tf.data.Dataset | None
    replicas: tf.distribute.Strategy

    def loop(self, settings: TrainerSettings) -> Loop:
        """The model, compiled for all epochs, in a loop that has not begun."""
        with self.replicas.scope():
            fit.compile_model(
                self.trained,
                settings.learning_rate,
                self.steps * settings.epochs,
                fine_tuning=self.fine_tuning,
                replicas=self.replicas.num_replicas_in_sync,
            )
        return Loop(self.trained, self.replicas, settings, self.front)


def prepare(
    task: Task,
    model_settings: ModelSettings,
    settings: TrainerSettings,
    replicas: tf.distribute.Strategy,
    choosing: Split | None = None,
    scratch: Path | None = None,
    budget: Budget | None = None,
) -> Prepared:
    """Builds the workload's model, computes what its front gives, and sets the weights that need no steps."""
    training, labels = task.training, task.workload.labels
    measured = [split for split in (task.evaluation, choosing) if split]
    batch_size = settings.batch_size * replicas.num_replicas_in_sync
    steps = input_pipeline.steps_per_epoch(training, batch_size)
    keras.utils.set_random_seed(task.seed)
    with replicas.scope():
        model = _build(task, model_settings)
    augment = workload_module.augmentation(task.workload.module, settings)
    counts = np.bincount(training.labels[training.shown], minlength=len(labels)).tolist()
    weights = settings.weights_of(labels, counts)

    trained, computes, variations, parts = model, None, None, front.parts(model)
    if parts:
        before, trained = parts
        variations = min(settings.variations, settings.epochs)
        if budget:
            others = sum(len(split.shown) for split in measured)
            timed = partial(front.seconds_each, training, before, augment)
            variations = budget.affordable_variations(variations, len(training.labels), others, timed)
        settings = settings.model_copy(update={"variations": variations})
        # Of all examples, so that the order of the batches is that of examples that are read as they come.
        every, only = replace(training, only=None), training.only
        needed = front.size_of(before, every, variations)
        needed += sum(front.size_of(before, split) for split in measured)
        if needed <= input_pipeline.bytes_to_keep(scratch):
            every = front.features(every, before, variations, task.seed, augment, scratch)
            training = replace(every, only=only)
            measured = [front.features(split, before, scratch=scratch) for split in measured]
            augment = None
        else:
            computes = front.rounded(before)
            said = "Features take %.1f GB, for which there is no room: each epoch computes them again."
            _progress.info(said, needed / 1e9)

    batches = partial(
        input_pipeline.training_batches,
        training,
        batch_size,
        seed=task.seed,
        augment=augment,
        weights=weights,
        variations=variations,
    )
    if parts:
        front.fit_last_layer(model, batches(range(1)), computes)
    if initialize := getattr(workload_module.load(task.workload.module), "initialize", None):
        initialize(model, input_pipeline.evaluation_batches(training, settings.batch_size), model_settings)
    evaluation, *chooses = [input_pipeline.evaluation_batches(split, batch_size) for split in measured]
    return Prepared(
        model,
        trained,
        computes,
        parts is not None,
        settings,
        _batches_on(replicas, batches),
        steps,
        evaluation,
        chooses[0] if chooses else None,
        replicas,
    )


def _build(task: Task, settings: ModelSettings) -> keras.Model:
    module = workload_module.load(task.workload.module)
    model: keras.Model = module.build_model(task.workload.labels, settings, task.transform)
    return model


def _batches_on(
    replicas: tf.distribute.Strategy, batches: Callable[..., tf.data.Dataset]
) -> Callable[[range, int], Iterable[Any]]:
    """What gives batches of epochs, without so many of the first, to each replica on its device."""
    if replicas.num_replicas_in_sync == 1 and "CPU" in replicas.extended.worker_devices[0]:
        return lambda epochs, skip: batches(epochs, skip=skip)
    return lambda epochs, skip: replicas.distribute_datasets_from_function(
        lambda context: batches(epochs, skip=skip, context=context)
    )
