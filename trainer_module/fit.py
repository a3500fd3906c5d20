"""Training over all epochs, or to the best of them: progress, and going on after a kill.

What chooses an epoch is never what judges the model: the eval split is measured after each epoch for the
curves, and decides nothing. By default nothing is chosen: where the rate falls to 0, the last epochs hardly
differ.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from records.training import TENSORBOARD
from trainer_module import checkpoint, devices
from trainer_module.loop import Loop, Tally
from trainer_module.settings import TrainerSettings
from trainer_module.tensorboard import Board

_progress = logging.getLogger("edgeline.progress")

# Steps between two looks at the clock, and the time after which a checkpoint is due in mid-epoch.
_STEPS_AT_ONCE = 50
CHECKPOINT_S = 300.0


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    history: Sequence[Mapping[str, float]]  # the logs of every epoch, those before a resume included
    best_epoch: int  # counted from 0, whose weights the model now has
    resumed_from_epoch: int | None  # epochs done before this process; None when it began with the first
    steps: int  # that this process took
    seconds: float  # what it spent on them, and on measuring and saving


@dataclass(frozen=True)
class Shown:
    """What TensorBoard shows beside numbers, of the eval split."""

    labels: Sequence[str]  # names, in the order of ids
    inputs: Any  # what the model reads, in the order of the batches; None where that is not kept
    true: Any  # label ids of these, [N]


def compile_model(
    model: keras.Model, learning_rate: float, steps: int, fine_tuning: bool = False, replicas: int = 1
) -> None:
    """Compiles for integer labels with Adam, its variables built. To be called in the strategy's scope.

    Over all `steps` of the training the learning rate falls to 0 along half a cosine (Loshchilov and Hutter,
    2017, arXiv:1608.03983), without which the last epochs differ from one another by many points. Gradients
    have a norm of 1 at most. Weights that are good already are tuned with a rate that first rises over a
    tenth of the steps: without both, the first steps spoil them.
    """
    rising = steps // 10 if fine_tuning else 0
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if rising else learning_rate,
        steps - rising,
        warmup_target=learning_rate if rising else None,
        warmup_steps=rising,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, global_clipnorm=1.0 / replicas),
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
    shown: Shown | None = None,
    choosing: tf.data.Dataset | None = None,
) -> Outcome:
    """Trains until `epochs` are done; the model then has the weights of the last epoch.

    With `choosing` it has those of the epoch that is best on that, by the mean recall of classes where these
    are balanced, else by the loss; `early_stopping_patience` epochs without a better one end the training.

    Called again after a kill with the same arguments, it goes on where the last checkpoint was written and
    ends with the weights that it would have had. Of several workers the chief decides, measures and writes;
    only its outcome and its model are of use.

    Args:
        loop: With a compiled model.
        batches_of: The training batches of a range of epochs, `steps` each, but so many of the first.
        steps: In an epoch.
        evaluation: The batches that are measured after each epoch, and decide nothing.
        settings: Epochs and patience.
        folder: Where the checkpoint of this one training lies, and below it what TensorBoard reads.
        shown: What TensorBoard shows; nothing is written for it where this is None.
        choosing: Batches of groups held out of training, which tell the best epoch; None takes the last.

    Raises:
        HeldBack: When the loss is no longer a finite number.
        EdgelineError: When memory does not suffice for a batch.
    """
    model, replicas = loop.model, loop.replicas
    chief = devices.is_chief(replicas)
    resumed = checkpoint.load(model, folder) if chief else None
    variables = checkpoint.training_variables(model)
    chiefs = devices.from_chief(replicas, [variable.numpy() for variable in variables])
    for variable, value in zip(variables, chiefs, strict=True):
        variable.assign(value)
    choose = _evaluation(loop, choosing) if choosing else None
    state = _Epochs(loop, settings, folder, resumed, _evaluation(loop, evaluation), choose)

    def agreed() -> list[int]:
        mine = np.array([len(state.history), state.tally.steps, state.finished])
        return [int(number) for number in devices.from_chief(replicas, [mine])[0]]

    done, taken, finished = agreed()
    if resumed and not finished:
        _progress.info("Going on after epoch %d of %d and %d steps.", done, settings.epochs, taken)
    if shown and chief:
        state.board = Board(folder / TENSORBOARD, done, done * steps + taken)
        state.labels = shown.labels
    before, started = done, time.monotonic()
    steps_here = -taken
    batches = None if finished else iter(batches_of(range(done, settings.epochs), taken))
    while batches and not finished:
        while taken < steps:
            now = min(_STEPS_AT_ONCE, steps - taken)
            taken += now
            state.take(batches, now, done * steps + taken)
            if chief and taken < steps:
                state.save_when_due()
        steps_here += steps
        state.end(chief)
        done, taken, finished = agreed()
    seconds = time.monotonic() - started
    if chief and state.best_weights:
        model.set_weights(state.best_weights)
    if shown and state.board:
        if state.best_answers is None:
            state.best_answers = state.evaluate().probabilities
        state.board.mistakes(shown.inputs, state.best_answers, shown.true, shown.labels)
        state.board.close()
    return Outcome(state.history, state.best_epoch, before if resumed else None, steps_here, seconds)


@dataclass(frozen=True)
class _Measured:
    logs: dict[str, float]
    confusion: np.ndarray  # examples by label and answer, [labels, labels]
    probabilities: np.ndarray  # [N, labels]


def _evaluation(loop: Loop, batches: tf.data.Dataset) -> Callable[[], _Measured]:
    """Makes what measures loss, accuracy and the mean recall of classes on one device, every example once.

    Keras's own evaluation under a strategy fails on a batch that the replicas cannot share evenly.
    """
    model, reads = loop.model, loop.front or loop.model

    def answer(inputs: tf.Tensor) -> tf.Tensor:
        inputs = loop.front(inputs, training=False) if loop.front else inputs
        return tf.cast(model(inputs, training=False), tf.float32)

    predict = tf.function(answer, input_signature=[tf.TensorSpec(reads.input_shape, reads.inputs[0].dtype)])

    def evaluate() -> _Measured:
        loss = keras.metrics.SparseCategoricalCrossentropy()
        accuracy = keras.metrics.SparseCategoricalAccuracy()
        confusion = np.zeros([model.output_shape[-1]] * 2, np.int64)
        answers = []
        for inputs, label in batches:
            probabilities = predict(inputs)
            loss.update_state(label, probabilities)
            accuracy.update_state(label, probabilities)
            said = tf.argmax(probabilities, axis=1)
            answers.append(probabilities.numpy())
            confusion += tf.math.confusion_matrix(label, said, model.output_shape[-1]).numpy()
        there = confusion.sum(axis=1)
        recalls = confusion.diagonal()[there > 0] / there[there > 0]
        logs = {
            "val_loss": float(loss.result()),
            "val_accuracy": float(accuracy.result()),
            "val_recall": float(recalls.mean()),
        }
        return _Measured(logs, confusion, np.concatenate(answers))

    return evaluate


class _Epochs:
    """The epochs so far, and what follows from them.

    Early stopping is decided here and not by Keras's callback, which forgets the epochs before a resume.
    """

    def __init__(
        self,
        loop: Loop,
        settings: TrainerSettings,
        folder: Path,
        resumed: checkpoint.Checkpoint | None,
        evaluate: Callable[[], _Measured],
        choose: Callable[[], _Measured] | None,
    ) -> None:
        self.loop, self.settings, self.folder = loop, settings, folder
        self.evaluate, self.choose = evaluate, choose
        self.history: list[Mapping[str, float]] = list(resumed.history) if resumed else []
        self.best_weights: Sequence[Any] = resumed.best_weights if resumed else ()
        self.tally = resumed.tally if resumed else Tally()
        self.saved = time.monotonic()
        self.board: Board | None = None
        self.labels: Sequence[str] = ()
        self.best_answers: np.ndarray | None = None

    @property
    def best_epoch(self) -> int:
        def worth(epoch: int) -> tuple[float, float]:
            logs = self.history[epoch]
            return (logs["held_out_recall"] if self.settings.balanced else 0.0, -logs["held_out_loss"])

        last = len(self.history) - 1
        return max(range(len(self.history)), key=worth, default=0) if self.choose else max(last, 0)

    @property
    def finished(self) -> bool:
        done = len(self.history)
        if done >= self.settings.epochs:
            return True
        patience = self.settings.early_stopping_patience if self.choose else 0
        return bool(done and patience) and done - 1 - self.best_epoch >= patience

    def take(self, batches: Iterator[Any], steps: int, done: int) -> None:
        """Takes so many steps; `done` are they, over all epochs, then."""
        before = self.tally
        self.tally = self.loop.run(batches, steps, before)
        if self.board:
            logs = self.tally.since(before).logs(self.loop.batch_size)
            self.board.steps(done, {**logs, "learning_rate": self.loop.learning_rate})

    def save_when_due(self) -> None:
        """Writes a checkpoint in mid-epoch where the last one is old."""
        if time.monotonic() - self.saved >= CHECKPOINT_S:
            self._save()

    def end(self, chief: bool) -> None:
        """Ends the epoch; the chief's is measured, saved and reported."""
        tally, self.tally = self.tally, Tally()
        if not chief:
            return
        started = time.monotonic()
        measured = self.evaluate()
        logs = {**tally.logs(self.loop.batch_size), **measured.logs}
        if not math.isfinite(logs["val_loss"]):
            raise self.loop.diverged("val_loss", logs["val_loss"])
        if self.choose:
            chosen = self.choose().logs
            logs |= {f"held_out_{name}": chosen[f"val_{name}"] for name in ("loss", "recall")}
        self.history.append(logs)
        if self.best_epoch == len(self.history) - 1:
            self.best_weights = self.loop.model.get_weights() if self.choose else ()
            self.best_answers = measured.probabilities
        if self.board:
            shown = {**logs, "learning_rate": self.loop.learning_rate}
            self.board.epoch(len(self.history), shown, measured.confusion, self.labels)
        self._save()
        self._report(logs, tally.seconds + time.monotonic() - started)

    def _save(self) -> None:
        variables = [variable.numpy() for variable in checkpoint.training_variables(self.loop.model)]
        state = checkpoint.Checkpoint(self.history, variables, self.best_weights, self.tally)
        checkpoint.save(state, self.folder)
        self.saved = time.monotonic()

    def _report(self, logs: Mapping[str, float], seconds: float) -> None:
        epoch, epochs = len(self.history), self.settings.epochs
        eta_s = 0.0 if self.finished else seconds * (epochs - epoch)
        numbers = {name: logs[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
        _progress.info(
            "Epoch %d of %d: loss %.4f, accuracy %.3f, eval loss %.4f, eval accuracy %.3f, %.0f s to go.",
            epoch,
            epochs,
            *numbers.values(),
            eta_s,
            extra={
                "progress": {"event": "epoch", "epoch": epoch, "epochs": epochs, **numbers, "eta_s": eta_s}
            },
        )
