"""Training to the best epoch: Keras's fit, early stopping, progress, and going on after a kill."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import HeldBack
from trainer_module import checkpoint
from trainer_module.settings import TrainerSettings

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_progress = logging.getLogger("edgeline.progress")


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    history: Sequence[Mapping[str, float]]  # the logs of every epoch, those before a resume included
    best_epoch: int  # counted from 0, whose weights the model now has
    resumed_from_epoch: int | None  # epochs done before this process; None when it began with the first
    seconds: float  # what this process spent in fit


def compile_model(model: keras.Model, learning_rate: float, steps: int, fine_tuning: bool = False) -> None:
    """Compiles for integer labels with Adam, its variables built. To be called in the strategy's scope.

    Over all `steps` of the training the learning rate falls to 0 along half a cosine (Loshchilov and Hutter,
    2017, arXiv:1608.03983), without which the last epochs differ from one another by many points. Weights
    that are good already are tuned with a rate that first rises over a tenth of the steps, and with gradients
    of a norm of 1 at most: without both, the first steps spoil them.
    """
    import keras

    rising = steps // 10 if fine_tuning else 0
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if rising else learning_rate,
        steps - rising,
        warmup_target=learning_rate if rising else None,
        warmup_steps=rising,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, global_clipnorm=1.0 if fine_tuning else None),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    model.optimizer.build(model.trainable_variables)


def train(
    model: keras.Model,
    batches_of: Callable[[range], tf.data.Dataset],
    steps: int,
    evaluation: tf.data.Dataset,
    settings: TrainerSettings,
    folder: Path,
) -> Outcome:
    """Trains a compiled model until `epochs` are done or eval gets no better; keeps the best weights.

    The best have the highest mean recall of classes where these are balanced, else the lowest loss.

    Called again after a kill with the same arguments, it goes on in the epoch that was cut off and ends with
    the weights that it would have had.

    Args:
        model: Compiled.
        batches_of: The training batches of a range of epochs, `steps` each.
        steps: In an epoch.
        evaluation: The batches that tell which epoch is the best.
        settings: Epochs and patience.
        folder: Where the checkpoint of this one training lies.

    Raises:
        HeldBack: When the loss is no longer a finite number.
    """
    import keras

    resumed = checkpoint.load(model, folder)
    state = _Epochs(model, settings, folder, resumed, _evaluation(model, evaluation))
    done = len(state.history)
    started = time.monotonic()
    if not state.finished:
        if done:
            _progress.info("Going on after epoch %d of %d.", done, settings.epochs)
        model.fit(
            batches_of(range(done, settings.epochs)),
            initial_epoch=done,
            epochs=settings.epochs,
            steps_per_epoch=steps,
            callbacks=[
                keras.callbacks.TerminateOnNaN(),
                keras.callbacks.LambdaCallback(on_epoch_begin=state.begin, on_epoch_end=state.end),
            ],
            verbose=0,
        )
    model.set_weights(state.best_weights)
    seconds = time.monotonic() - started
    return Outcome(state.history, state.best_epoch, done if resumed else None, seconds)


def _evaluation(model: keras.Model, batches: tf.data.Dataset) -> Callable[[], dict[str, float]]:
    """Makes what measures loss, accuracy and the mean recall of classes on one device, every example once.

    Keras's own evaluation under a strategy fails on a batch that the replicas cannot share evenly.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    predict = tf.function(
        lambda inputs: model(inputs, training=False),
        input_signature=[tf.TensorSpec(model.input_shape, model.inputs[0].dtype)],
    )

    def evaluate() -> dict[str, float]:
        loss = keras.metrics.SparseCategoricalCrossentropy()
        accuracy = keras.metrics.SparseCategoricalAccuracy()
        confusion = np.zeros([model.output_shape[-1]] * 2, np.int64)
        for inputs, label in batches:
            probabilities = predict(inputs)
            loss.update_state(label, probabilities)
            accuracy.update_state(label, probabilities)
            said = tf.argmax(probabilities, axis=1)
            confusion += tf.math.confusion_matrix(label, said, model.output_shape[-1]).numpy()
        there = confusion.sum(axis=1)
        recalls = confusion.diagonal()[there > 0] / there[there > 0]
        return {
            "val_loss": float(loss.result()),
            "val_accuracy": float(accuracy.result()),
            "val_recall": float(recalls.mean()),
        }

    return evaluate


class _Epochs:
    """The epochs so far, and what follows from them.

    Early stopping is decided here and not by Keras's callback, which forgets the epochs before a resume.
    """

    def __init__(
        self,
        model: keras.Model,
        settings: TrainerSettings,
        folder: Path,
        resumed: checkpoint.Checkpoint | None,
        evaluate: Callable[[], Mapping[str, float]],
    ) -> None:
        self.model, self.settings, self.folder, self.evaluate = model, settings, folder, evaluate
        self.history: list[Mapping[str, float]] = list(resumed.history) if resumed else []
        self.best_weights: Sequence[Any] = resumed.best_weights if resumed else ()

    @property
    def best_epoch(self) -> int:
        def worth(epoch: int) -> tuple[float, float]:
            logs = self.history[epoch]
            return (logs["val_recall"] if self.settings.balanced else 0.0, -logs["val_loss"])

        return max(range(len(self.history)), key=worth)

    @property
    def finished(self) -> bool:
        done, patience = len(self.history), self.settings.early_stopping_patience
        if done >= self.settings.epochs:
            return True
        return bool(done and patience) and done - 1 - self.best_epoch >= patience

    def begin(self, epoch: int, logs: Any = None) -> None:
        self.started = time.monotonic()

    def end(self, epoch: int, logs: Mapping[str, float]) -> None:
        logs = {name: float(value) for name, value in {**logs, **self.evaluate()}.items()}
        self._refuse_divergence(logs)
        self.history.append(logs)
        if self.best_epoch == len(self.history) - 1:
            self.best_weights = self.model.get_weights()
        variables = [variable.numpy() for variable in checkpoint.training_variables(self.model)]
        checkpoint.save(checkpoint.Checkpoint(self.history, variables, self.best_weights), self.folder)
        self._report(logs, time.monotonic() - self.started)
        self.model.stop_training = self.finished

    def _refuse_divergence(self, logs: Mapping[str, float]) -> None:
        """TerminateOnNaN has ended the epoch at the step; the checkpoint is still of the epoch before."""
        for name in ("loss", "val_loss"):
            if not math.isfinite(logs[name]):
                rate, step = self.model.optimizer.learning_rate, self.model.optimizer.iterations
                raise HeldBack(
                    f"{name} became {logs[name]} in epoch {len(self.history) + 1}, at step"
                    f" {int(step.numpy())} with a learning rate of {float(rate):.2g}.",
                    "The training diverged; its weights are of no use.",
                    f"Lower trainer.learning_rate (it is {self.settings.learning_rate:g}) and run again.",
                )

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
