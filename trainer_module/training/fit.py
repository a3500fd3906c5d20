"""Trains over all epochs, or up to the best one; reports progress and resumes after a kill.

The data that select an epoch never judge the model: the eval split is measured after each epoch for the
curves, and decides nothing. By default no epoch is selected: as the learning rate falls to 0, the last epochs
hardly differ, and fine-tuning takes the mean of some.
"""

import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import confusion_matrix

from edgeline.errors import UsageError
from edgeline.labels import format_count
from edgeline.records.events import EpochEnded, report
from edgeline.records.training import TENSORBOARD
from trainer_module.settings import TrainerSettings
from trainer_module.training import checkpoint, devices
from trainer_module.training.loop import Loop, Tally
from trainer_module.training.tensorboard import Board

_progress = logging.getLogger("edgeline.progress")

# Steps between two looks at the clock, and the seconds after which a checkpoint is due within an epoch.
_STEPS_AT_ONCE = 50
CHECKPOINT_S = 300.0
# Keras's ReduceLROnPlateau has these too.
_REDUCED_TO, _LEAST_GAIN = 0.1, 1e-4
# An evaluation that takes longer is not measured again without the seconds in which its graph is traced.
_TRACED_S = 20.0


@dataclass(frozen=True)
class Outcome:
    """The result of a training."""

    history: Sequence[Mapping[str, float]]  # the logs of every epoch, including those before a resume
    best_epoch: int  # counted from 0; the model now has its weights, or the mean of the last `averaged`
    resumed_from_epoch: int | None  # epochs done before this process; None if it did not resume
    steps: int  # done by this process
    seconds: float  # spent by this process on steps, evaluations and checkpoints
    averaged: int = 1


@dataclass(frozen=True)
class BoardData:
    """The data of the eval split that TensorBoard shows beside numbers."""

    labels: Sequence[str]  # names, in the order of ids
    inputs: Any  # the model's inputs, in the order of the batches; None if they are not stored
    true: Any  # their label ids, [N]


def compile_model(
    model: keras.Model,
    learning_rate: float,
    steps: int,
    fine_tuning: bool = False,
    replicas: int = 1,
    weight_decay: float = 0.0,
    falls: bool = True,
) -> None:
    """Compiles for integer labels with Adam and builds its variables. Call it in the strategy's scope.

    Gradients, summed over the replicas, have a norm of 1 at most: without that, the first steps of
    fine-tuning spoil the weights. For the same reason, its rate first rises over a tenth of the steps. A rate
    falls to 0 along half a cosine (Loshchilov and Hutter, 2017, arXiv:1608.03983): without that the last
    epochs differ from one another by many points.

    Args:
        model: Ends with probabilities, [N, classes].
        learning_rate: The highest one.
        steps: Number in the whole training.
        fine_tuning: Whether training begins with pretrained weights.
        replicas: Number whose gradients the optimizer adds up.
        weight_decay: That of kernels alone (Loshchilov and Hutter, 2019, arXiv:1711.05101); 0 for none.
        falls: If false, the rate is constant, and does not rise either.
    """
    rate: Any = learning_rate
    if falls:
        warmup_steps = steps // 10 if fine_tuning else 0
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup_steps else learning_rate,
            steps - warmup_steps,
            warmup_target=learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=1.0 / replicas, weight_decay=weight_decay or None)
    optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if v.name != "kernel"])
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    model.optimizer.build(model.trainable_variables)


def train(
    loop: Loop,
    batches_of: Callable[[range, int], Iterable[Any]],
    steps: int,
    evaluation: tf.data.Dataset,
    settings: TrainerSettings,
    folder: Path,
    board_data: BoardData | None = None,
    selection: tf.data.Dataset | None = None,
    averaged: int = 1,
) -> Outcome:
    """Trains until `epochs` are done; the model then has the mean weights of the last `averaged` epochs.

    Called again after a kill with the same arguments, it resumes from the last checkpoint and ends with the
    same weights as without the kill. Among several workers, only the outcome and model of the chief count.

    Args:
        loop: Has the compiled model.
        batches_of: Returns the batches of a range of epochs, without so many of the first.
        steps: Batches an epoch.
        evaluation: Batches that are measured after each epoch.
        settings: With `checkpoint`, an epoch, the model has the weights after it.
        folder: Gets the checkpoints.
        board_data: With it, `folder` gets TensorBoard's files too.
        selection: The weights are those of the best epoch on these batches, by the mean recall of classes if
            these are balanced, else by the loss; `early_stopping_patience` may end it. None for all epochs.
        averaged: Epochs of the mean (Izmailov and others, 2018, arXiv:1803.05407; Kaddour, arXiv:2209.14981).

    Raises as `Loop.run`, and UsageError if the epoch is not one of those whose weights are kept.
    """
    model, replicas = loop.model, loop.replicas
    is_chief = devices.is_chief(replicas)
    resumed = checkpoint.load_checkpoint(model, folder) if is_chief else None
    checkpoint.restore_state(model, devices.from_chief(replicas, checkpoint.read_state(model)))
    select = _make_evaluator(loop, selection) if selection else None
    evaluate, averaged = _make_evaluator(loop, evaluation), 1 if selection else averaged
    state = _TrainingState(loop, settings, folder, evaluate, select, averaged)
    if resumed:
        state.resume(resumed)

    def follow_chief() -> list[int]:
        own = np.array([len(state.history), state.tally.steps, state.finished, state.reductions])
        *progress, reductions = (int(number) for number in devices.from_chief(replicas, [own])[0])
        if settings.schedule == "plateau":
            model.optimizer.learning_rate = settings.learning_rate * _REDUCED_TO**reductions
        return progress

    # The beginning, or where an earlier process stopped.
    epochs_done, steps_taken, finished = follow_chief()
    if resumed and not finished:
        place = (epochs_done, settings.epochs, steps_taken)
        _progress.info("Continuing after epoch %d of %d and %d steps.", *place)
    if board_data and is_chief:
        steps_done = epochs_done * steps + steps_taken
        state.board = Board(folder / TENSORBOARD, board_data.labels, epochs_done, steps_done)

    # The epochs.
    epochs_before = epochs_done
    started = time.monotonic()
    steps_here = -steps_taken
    batches = None if finished else iter(batches_of(range(epochs_done, settings.epochs), steps_taken))
    while batches and not finished:
        while steps_taken < steps:
            count = min(_STEPS_AT_ONCE, steps - steps_taken)
            steps_taken += count
            state.take_steps(batches, count, epochs_done * steps + steps_taken)
            if is_chief and steps_taken < steps:
                state.save_when_due()
        steps_here += steps
        state.end_epoch(is_chief)
        epochs_done, steps_taken, finished = follow_chief()

    seconds = time.monotonic() - started
    if is_chief:
        averaged = state.choose_weights()
    if board_data:
        state.close_board(board_data)
    begins = epochs_before if resumed else None
    return Outcome(state.history, state.best_epoch, begins, steps_here, seconds, averaged)


def time_end_of_epoch(loop: Loop, splits: Sequence[tf.data.Dataset], folder: Path) -> float:
    """Returns the seconds that the evaluations of these splits and the checkpoint after an epoch take.

    Args:
        loop: Its model must be compiled; nothing of it changes.
        splits: The batches of each split that is measured after an epoch.
        folder: That of checkpoints, so that the disk is the same; what is written for the timing is removed.
    """
    seconds = 0.0
    for evaluate in (_make_evaluator(loop, batches) for batches in splits):
        started = time.monotonic()
        evaluate()
        if (took := time.monotonic() - started) < _TRACED_S:
            started = time.monotonic()
            evaluate()
            took = time.monotonic() - started
        seconds += took
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        started = time.monotonic()
        state = checkpoint.read_state(loop.model)
        checkpoint.save(checkpoint.Checkpoint([], state, (), Tally()), Path(scratch))
        return seconds + time.monotonic() - started


@dataclass(frozen=True)
class _Evaluation:
    logs: dict[str, float]
    confusion: np.ndarray  # counts by label and predicted label, [labels, labels]
    probabilities: np.ndarray  # [N, labels]


def _make_evaluator(loop: Loop, batches: tf.data.Dataset) -> Callable[[], _Evaluation]:
    """Makes a function that measures loss, accuracy and mean recall of classes, on one device.

    Each example counts once. Keras's evaluation under a strategy fails on a batch that the replicas cannot
    share evenly.
    """
    model, first = loop.model, loop.front or loop.model

    def answer(inputs: tf.Tensor) -> tf.Tensor:
        inputs = loop.front(inputs, training=False) if loop.front else inputs
        return tf.cast(model(inputs, training=False), tf.float32)

    spec = tf.TensorSpec(first.input_shape, batches.element_spec[0].dtype)
    predict = tf.function(answer, input_signature=[spec], autograph=False)

    def evaluate() -> _Evaluation:
        measured = [(predict(inputs).numpy(), labels.numpy()) for inputs, labels in batches]
        probabilities, labels = (np.concatenate(parts) for parts in zip(*measured, strict=True))
        losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        classes = range(model.output_shape[-1])
        confusion = confusion_matrix(labels, probabilities.argmax(axis=1), labels=classes)
        counts = confusion.sum(axis=1)
        recalls = confusion.diagonal()[counts > 0] / counts[counts > 0]
        logs = {
            "val_loss": float(np.mean(losses)),
            "val_accuracy": float(confusion.trace() / counts.sum()),
            "val_recall": float(recalls.mean()),
        }
        return _Evaluation(logs, confusion, probabilities)

    return evaluate


@dataclass
class _TrainingState:
    """The epochs of a training so far.

    Early stopping is decided here, as Keras's callback forgets the epochs before a resume.
    """

    loop: Loop
    settings: TrainerSettings
    folder: Path
    evaluate: Callable[[], _Evaluation]
    select: Callable[[], _Evaluation] | None
    averaged: int
    history: list[Mapping[str, float]] = field(default_factory=list)
    kept_weights: Sequence[Any] = ()
    tally: Tally = field(default_factory=Tally)
    saved_at: float = field(default_factory=time.monotonic)
    board: Board | None = None
    best_answers: np.ndarray | None = None
    is_chosen: bool = False  # the model has the weights of the epoch that the settings name

    def __post_init__(self) -> None:
        is_unfinished = (self.folder / checkpoint.NAME).exists()
        epoch = self.settings.checkpoint
        if epoch != "best" and devices.is_chief(self.loop.replicas) and not is_unfinished:
            self._load_epoch(epoch)

    def resume(self, before: checkpoint.Checkpoint) -> None:
        """Goes on from a checkpoint of an interrupted training."""
        self.history = list(before.history)
        self.kept_weights = before.kept_weights
        self.tally = before.tally

    @property
    def best_epoch(self) -> int:
        def score(epoch: int) -> tuple[float, float]:
            logs = self.history[epoch]
            return (logs["held_out_recall"] if self.settings.balanced else 0.0, -logs["held_out_loss"])

        last = len(self.history) - 1
        selects = self.select and not self.is_chosen
        return max(range(len(self.history)), key=score, default=0) if selects else max(last, 0)

    @property
    def finished(self) -> bool:
        epochs = len(self.history)
        if epochs >= self.settings.epochs or self.is_chosen:
            return True
        patience = self.settings.early_stopping_patience if self.select else 0
        return bool(epochs and patience) and epochs - 1 - self.best_epoch >= patience

    @property
    def reductions(self) -> int:
        """Returns how often the loss did not become smaller for `plateau_patience` epochs."""
        best, waited, reductions = math.inf, 0, 0
        for logs in self.history:
            loss = logs.get("held_out_loss", logs["loss"])
            waited += 1
            if loss < best - _LEAST_GAIN:
                best, waited = loss, 0
            elif waited == self.settings.plateau_patience:
                reductions, waited = reductions + 1, 0
        return reductions

    def _load_epoch(self, epoch: int) -> None:
        kept = checkpoint.load_epoch(self.loop.model, epoch, self.folder)
        if kept is not None:
            self.history = list(kept.history)
            self.is_chosen = True

    def choose_weights(self) -> int:
        """Gives the model the weights to keep; returns of how many epochs they are the mean.

        Raises UsageError if those of the epoch that the settings name are not kept.
        """
        epoch = self.settings.checkpoint
        if epoch == "best":
            if self.kept_weights:
                self.loop.model.set_weights(self.kept_weights)
            if self.kept_weights and self.averaged > 1:
                # The figures of the mean become those of the last epoch.
                evaluation = self.evaluate()
                self.history[-1] = {**self.history[-1], **evaluation.logs}
                self.best_answers = evaluation.probabilities
            return self.averaged
        if not self.is_chosen:
            self._load_epoch(epoch)
        if not self.is_chosen:
            last = len(self.history)
            raise UsageError(
                f"trainer.checkpoint is {epoch}, and the training had {format_count(last, 'epoch')}.",
                f"The weights after the last {checkpoint.EPOCHS_KEPT} epochs are kept.",
                f"Set it to {last}, or one or two less, or to best.",
            )
        self.best_answers = None
        return 1

    def take_steps(self, batches: Iterator[Any], steps: int, total: int) -> None:
        """Takes `steps` steps; `total` counts the steps of all epochs, including these."""
        result = self.loop.run(batches, steps)
        self.tally += result
        if self.board:
            logs = result.logs(self.loop.batch_size)
            self.board.steps(total, {**logs, "learning_rate": self.loop.learning_rate})

    def save_when_due(self) -> None:
        """Writes a checkpoint within an epoch if the last one is old."""
        if time.monotonic() - self.saved_at >= CHECKPOINT_S:
            self._save()

    def end_epoch(self, is_chief: bool) -> None:
        """Ends the epoch; the chief measures, saves and reports it."""
        tally, self.tally = self.tally, Tally()
        if not is_chief:
            return
        started = time.monotonic()
        evaluation = self.evaluate()
        logs = {**tally.logs(self.loop.batch_size), **evaluation.logs}
        if self.select:
            held_out = self.select().logs
            logs |= {f"held_out_{name}": held_out[f"val_{name}"] for name in ("loss", "recall")}
        for name in ("val_loss", "held_out_loss"):
            if not math.isfinite(logs.get(name, 0.0)):
                raise self.loop.make_divergence_error(name, logs[name])
        seconds = tally.seconds + time.monotonic() - started
        self.history.append({**logs, "seconds": round(seconds, 3)})

        if self.averaged > 1:
            self._add_to_average(len(self.history) - self.settings.epochs + self.averaged)
        elif self.best_epoch == len(self.history) - 1:
            self.kept_weights = self.loop.model.get_weights() if self.select else ()
            self.best_answers = evaluation.probabilities
        if self.board:
            values = {**logs, "learning_rate": self.loop.learning_rate}
            self.board.epoch(len(self.history), values, evaluation.confusion)
        self._save()
        checkpoint.save_epoch(self.loop.model, self.history, self.folder)
        epoch = len(self.history)
        epochs = self.settings.epochs
        loss, accuracy, val_loss, val_accuracy = (
            logs[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")
        )
        eta_s = 0.0 if self.finished else seconds * (epochs - epoch)
        report(EpochEnded(epoch, epochs, loss, accuracy, val_loss, val_accuracy, eta_s))

    def close_board(self, data: BoardData) -> None:
        """Writes the mistakes of the weights that are kept, if this process writes TensorBoard's files."""
        if self.board is None:
            return
        if self.best_answers is None:
            self.best_answers = self.evaluate().probabilities
        self.board.mistakes(data.inputs, self.best_answers, data.true)
        self.board.close()

    def _add_to_average(self, count: int) -> None:
        """Adds the weights to the mean of those after `count - 1` epochs; a count below 1 is not averaged."""
        if count < 1:
            return
        weights = self.loop.model.get_weights()
        means = self.kept_weights or weights
        self.kept_weights = [mean + (new - mean) / count for mean, new in zip(means, weights, strict=True)]

    def _save(self) -> None:
        variables = checkpoint.read_state(self.loop.model)
        state = checkpoint.Checkpoint(self.history, variables, self.kept_weights, self.tally)
        checkpoint.save(state, self.folder)
        self.saved_at = time.monotonic()
