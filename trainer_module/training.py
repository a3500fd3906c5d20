"""One training, from the examples of a run to a model: what it trains, in which order, and for how long."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from records.workload import Workload
from trainer_module import budget, devices, fit, front, input_pipeline, workload_module
from trainer_module.input_pipeline import Split
from trainer_module.loop import Loop
from trainer_module.settings import ModelSettings, TrainerSettings


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
) -> Task:
    """Reads the examples, patterns of whose files these are.

    Raises:
        EdgelineError: When a split cannot be trained or measured on.
    """
    transform = tft.TFTransformOutput(transform_output)
    training = input_pipeline.open_split(train_files, transform, "train", workload)
    evaluation = input_pipeline.open_split(eval_files, transform, "eval", workload)
    return Task(workload, transform, training, evaluation, seed)


def train_model(
    task: Task,
    model_settings: ModelSettings,
    settings: TrainerSettings,
    replicas: tf.distribute.Strategy,
    checkpoints: Path,
    began: float,
) -> tuple[keras.Model, fit.Outcome]:
    """Builds the workload's model and trains it; it then has the weights of its best epoch, and is float32.

    Args:
        task: What is learned.
        model_settings: Which network.
        settings: How it is trained.
        replicas: Whose batch size together is `batch_size` times their number.
        checkpoints: The folder that a training with the same arguments goes on from.
        began: The time, by `time.monotonic`, that a budget counts from.

    Raises:
        UsageError: When the budget is too short, or the weights do not fit the network.
        HeldBack: When it diverges.
    """
    with devices.numbers(settings):
        prepared = prepare(task, model_settings, settings, replicas)
        if settings.budget:
            left_s = settings.budget_s - (time.monotonic() - began)
            loop = prepared.loop(settings)
            epochs = budget.affordable_epochs(
                loop, prepared.batches_of, prepared.steps, settings.epochs, left_s, checkpoints
            )
            settings = settings.model_copy(update={"epochs": epochs})
        loop = prepared.loop(settings)
        split = task.evaluation
        outcome = fit.train(
            loop,
            prepared.batches_of,
            prepared.steps,
            prepared.evaluation,
            settings,
            checkpoints,
            fit.Shown(task.workload.labels, split.inputs, split.labels),
        )
    if settings.precision == "float32":
        return prepared.model, outcome
    exact = _build(task, model_settings)
    exact.set_weights(prepared.model.get_weights())
    return exact, outcome


@dataclass(frozen=True)
class Prepared:
    """A model that is about to be trained."""

    model: keras.Model
    trained: keras.Model  # what of it training changes: all of it, or what comes after a front
    fine_tuning: bool  # whether it has a front, so weights that are good already
    batches_of: Callable[[range, int], Iterable[Any]]  # of a range of epochs, but for so many
    steps: int  # in an epoch
    evaluation: tf.data.Dataset
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
        return Loop(self.trained, self.replicas, settings)


def prepare(
    task: Task, model_settings: ModelSettings, settings: TrainerSettings, replicas: tf.distribute.Strategy
) -> Prepared:
    """Builds the workload's model, computes what its front gives, and fits its last layer to that."""
    training, evaluation, labels = task.training, task.evaluation, task.workload.labels
    batch_size = settings.batch_size * replicas.num_replicas_in_sync
    steps = input_pipeline.steps_per_epoch(training, batch_size)
    keras.utils.set_random_seed(task.seed)
    with replicas.scope():
        model = _build(task, model_settings)
    augment = workload_module.augmentation(task.workload.module, settings)
    weights = settings.weights_of(labels, np.bincount(training.labels, minlength=len(labels)).tolist())

    trained, parts = model, front.parts(model)
    if parts and (copies := front.copies_that_fit(parts[0], len(training.labels), settings.epochs)):
        training = front.features(training, parts[0], copies, task.seed, augment)
        evaluation = front.features(evaluation, parts[0])
        trained, augment = parts[1], None

    batches = partial(
        input_pipeline.training_batches,
        training,
        batch_size,
        seed=task.seed,
        augment=augment,
        weights=weights,
    )
    if parts:
        front.fit_last_layer(model, batches(range(1)), kept=trained is not model)
    measured_on = input_pipeline.evaluation_batches(evaluation, batch_size)
    batches_of = _batches_on(replicas, batches)
    return Prepared(model, trained, parts is not None, batches_of, steps, measured_on, replicas)


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
