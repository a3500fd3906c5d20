"""The training loop: steps on every replica of a strategy, one after the other.

Keras's fit does not suffice: it fails under MultiWorkerMirroredStrategy, its replicas clip their gradients
before they add them up, and it does not measure the time that it waits for input.
"""

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from edgeline.errors import EdgelineError, HeldBack, UsageError
from trainer_module.settings import TrainerSettings


@dataclass(frozen=True)
class Tally:
    """The sums over some steps of an epoch."""

    steps: int = 0
    loss: float = 0.0  # summed over the steps
    hits: float = 0.0  # examples whose label had the highest probability
    seconds: float = 0.0
    waited_s: float = 0.0  # the part of `seconds` spent waiting for batches

    def __add__(self, later: "Tally") -> "Tally":
        """Returns the sums over the steps of both."""
        return Tally(
            self.steps + later.steps,
            self.loss + later.loss,
            self.hits + later.hits,
            self.seconds + later.seconds,
            self.waited_s + later.waited_s,
        )

    def logs(self, batch_size: int) -> dict[str, float]:
        """Returns the epoch's metrics by the names that Keras uses."""
        return {
            "loss": self.loss / self.steps,
            "accuracy": self.hits / (self.steps * batch_size),
            "input_wait": self.waited_s / self.seconds,
        }


class Loop:
    """A loop that trains a compiled model, a step at a time.

    The model and its optimizer are built in the scope of `replicas`, which share each batch. `front` computes
    the model's input from a batch; None if batches hold it.
    """

    def __init__(
        self,
        model: keras.Model,
        replicas: tf.distribute.Strategy,
        settings: TrainerSettings,
        front: keras.Model | None = None,
    ) -> None:
        self.model, self.replicas, self.settings, self.front = model, replicas, settings, front
        self.batch_size = settings.batch_size * replicas.num_replicas_in_sync
        self._step = tf.function(self._on_replicas, jit_compile=settings.jit_compile or None, autograph=False)

    def run(self, batches: Iterator[Any], steps: int) -> Tally:
        """Runs `steps` steps and returns their sums.

        The result of a step is read after the next one has been started, so that a GPU always has work.

        Raises HeldBack if the loss is no longer a finite number, EdgelineError if memory does not suffice for
        the batch, and UsageError if XLA cannot compile the step.
        """
        tally = Tally()
        pending = None
        for _ in range(steps):
            started = time.perf_counter()
            batch = next(batches)
            waited_s = time.perf_counter() - started
            result = self._take_step(batch)
            if pending:
                tally += self._read_result(pending, later=1)
            pending = result
            tally += Tally(seconds=time.perf_counter() - started, waited_s=waited_s)
        started = time.perf_counter()
        if pending:
            tally += self._read_result(pending)
        return tally + Tally(seconds=time.perf_counter() - started)

    @property
    def learning_rate(self) -> float:
        """Returns the learning rate of the next step."""
        rate: tf.Tensor = tf.convert_to_tensor(self.model.optimizer.learning_rate)  # may be on replicas
        return float(rate)

    def make_divergence_error(self, name: str, value: float, later: int = 0) -> HeldBack:
        """Makes the error for a metric that stopped being a finite number `later` steps ago.

        Args:
            name: The metric's, as logs have it.
            value: NaN or infinite.
            later: Steps that were taken since; the error names the step itself.
        """
        step = int(self.model.optimizer.iterations.numpy()) - later
        return HeldBack(
            f"{name} became {value} at step {step} with a learning rate of {self.learning_rate:.2g}.",
            "The training diverged; its weights cannot be used.",
            "Lower trainer.learning_rate and run again.",
        )

    def _read_result(self, result: Any, later: int = 0) -> Tally:
        loss, hits = (float(value) for value in result)
        if not math.isfinite(loss):
            raise self.make_divergence_error("loss", loss, later)
        return Tally(1, loss, hits)

    def _take_step(self, batch: Any) -> Any:
        try:
            return self._step(batch)
        except tf.errors.ResourceExhaustedError:
            fits = self._find_batch_size(batch)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            if self.settings.check_numerics:
                match = re.search(r"Detected at node (\S+?)(/CheckNumerics\w*)? ", str(error))
                where = f"the operation {match[1]}" if match else error.message.splitlines()[0]
                raise HeldBack(
                    f"A number became NaN or infinite at {where}.",
                    "Everything computed from it is invalid.",
                    "Look at the inputs of the operation; the log has its whole stack.",
                ) from error
            if self.settings.jit_compile:
                raise UsageError(
                    f"trainer.jit_compile is true, but XLA cannot compile this model: {error.message[:300]}",
                    "XLA does not support every operation.",
                    "Set trainer.jit_compile=false.",
                ) from None
            raise
        raise EdgelineError(
            f"There is not enough memory for a step of {self.settings.batch_size} examples"
            + (f"; a step of {fits} fits." if fits else ", nor for a step of one example."),
            "The memory of a step grows with the batch, the size of photos and the network.",
            f"Set trainer.batch_size={fits}." if fits else "Set a smaller model.image_size or backbone.",
        )

    def _find_batch_size(self, batch: Any) -> int:
        """Finds, by halving, a batch size that fits one replica's memory; 0 if not even one example does."""
        fits = self.settings.batch_size // 2
        while fits:
            part = self.replicas.run(lambda *parts, n=fits: tuple(tensor[:n] for tensor in parts), batch)
            try:
                self._step(part)
            except tf.errors.ResourceExhaustedError:
                fits //= 2
            else:
                break
        return fits

    def _soften(self, losses: tf.Tensor, probabilities: tf.Tensor, taught: tf.Tensor | None) -> tf.Tensor:
        """Returns the losses, [N], for labels of which a share is the teacher's, or for all classes alike.

        Szegedy and others (2016, arXiv:1512.00567). Logs have the losses for the labels themselves.
        """
        share, of_teacher = self.settings.label_smoothing, self.settings.teacher
        if taught is None and not share:
            return losses
        logs = -tf.math.log(tf.maximum(probabilities, keras.config.epsilon()))
        if logs.shape.rank == 3:
            logs = tf.reduce_mean(logs, axis=1)
        if taught is not None:
            losses = (1.0 - of_teacher) * losses + of_teacher * tf.reduce_sum(taught * logs, axis=1)
        return (1.0 - share) * losses + share * tf.reduce_mean(logs, axis=1) if share else losses

    def _on_replicas(self, batch: Any) -> tuple[tf.Tensor, tf.Tensor]:
        total = tf.distribute.ReduceOp.SUM
        loss, hits = self.replicas.run(self._on_replica, batch)
        return self.replicas.reduce(total, loss, None), self.replicas.reduce(total, hits, None)

    def _on_replica(
        self, inputs: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, taught: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs one replica's part of a step; losses are divided by the whole batch, so that parts add up."""
        model, optimizer = self.model, self.model.optimizer
        count = self.replicas.num_replicas_in_sync
        inputs = self.front(inputs, training=False) if self.front else inputs
        with tf.GradientTape() as tape:
            probabilities = tf.cast(model(inputs, training=True), tf.float32)
            if probabilities.shape.rank == 3:  # an ensemble, each member of which learns by itself
                targets = tf.repeat(labels[:, tf.newaxis], probabilities.shape[1], axis=1)
                losses = keras.losses.sparse_categorical_crossentropy(targets, probabilities)
                losses = tf.reduce_mean(losses, axis=1)
            else:  # Keras finds the logits of such a tensor, and loses no precision
                losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
            others = tf.add_n(model.losses) / count if model.losses else 0.0
            loss = tf.reduce_sum(losses * weights) / self.batch_size + others
            softened = tf.reduce_sum(self._soften(losses, probabilities, taught) * weights) / self.batch_size
            scaled = optimizer.scale_loss(softened + others)

        variables = [variable.value for variable in model.trainable_variables]
        gradients = tape.gradient(scaled, variables)
        if count > 1:
            # The optimizer clips each replica's gradients before it adds them up. So each replica passes the
            # mean of all, and `compile_model` divides the limit of the norm by the number of replicas.
            dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
            gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, dense)
        optimizer.apply(gradients, model.trainable_variables)
        if probabilities.shape.rank == 3:
            probabilities = tf.reduce_mean(probabilities, axis=1)
        predicted = tf.argmax(probabilities, axis=1, output_type=labels.dtype)
        return loss, tf.reduce_sum(tf.cast(predicted == labels, tf.float32))
