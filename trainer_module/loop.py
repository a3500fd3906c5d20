"""Steps of training on every replica of a strategy, one after the other.

Keras's fit cannot: under MultiWorkerMirroredStrategy it fails, replicas clip their gradients before they add
them up, and what of its time goes into waiting for input is nowhere to be had.
"""

import math
import re
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from errors import EdgelineError, HeldBack, UsageError
from trainer_module.settings import TrainerSettings


@dataclass(frozen=True)
class Tally:
    """What the steps of an epoch came to so far."""

    steps: int = 0
    loss: float = 0.0  # summed over the steps
    hits: float = 0.0  # examples whose label had the highest probability
    seconds: float = 0.0
    waited_s: float = 0.0  # of these, for the next batch

    def since(self, before: "Tally") -> "Tally":
        """What the steps after those came to."""
        own, earlier = astuple(self), astuple(before)
        return Tally(*(now - then for now, then in zip(own, earlier, strict=True)))

    def logs(self, batch_size: int) -> dict[str, float]:
        """The epoch's figures, as Keras names them."""
        return {
            "loss": self.loss / self.steps,
            "accuracy": self.hits / (self.steps * batch_size),
            "input_wait": self.waited_s / self.seconds,
        }


class Loop:
    """Trains a compiled model, a step at a time.

    Args:
        model: With its optimizer, both built in the scope of `replicas`.
        replicas: Which share each batch.
        settings: The batch size of one replica, and whether XLA compiles a step.
        front: What turns what batches have into what the model reads; None where that is the same.
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
        self._step = tf.function(self._on_replicas, jit_compile=settings.jit_compile or None)

    def run(self, batches: Iterator[Any], steps: int, tally: Tally | None = None) -> Tally:
        """Takes so many steps more; what they came to, with what came before.

        The result of a step is read after the next one has been started, so that a GPU always has work.

        Raises:
            HeldBack: When the loss is no longer a finite number.
            EdgelineError: When memory does not suffice for the batch.
            UsageError: When XLA cannot compile the step.
        """
        tally, pending = tally or Tally(), None
        for _ in range(steps):
            started = time.perf_counter()
            batch = next(batches)
            waited_s = time.perf_counter() - started
            result = self._taken(batch)
            if pending:
                tally = self._added(tally, pending, later=1)
            pending = result
            spent_s = time.perf_counter() - started
            tally = replace(tally, seconds=tally.seconds + spent_s, waited_s=tally.waited_s + waited_s)
        started = time.perf_counter()
        tally = self._added(tally, pending) if pending else tally
        return replace(tally, seconds=tally.seconds + time.perf_counter() - started)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self.model.optimizer.learning_rate)

    def diverged(self, name: str, value: float, later: int = 0) -> HeldBack:
        """What to raise when a figure is no longer a finite number, so many steps ago."""
        step = int(self.model.optimizer.iterations.numpy()) - later
        return HeldBack(
            f"{name} became {value} at step {step} with a learning rate of {self.learning_rate:.2g}.",
            "The training diverged; its weights are of no use.",
            "Lower trainer.learning_rate and run again.",
        )

    def _added(self, tally: Tally, result: Any, later: int = 0) -> Tally:
        loss, hits = (float(value) for value in result)
        if not math.isfinite(loss):
            raise self.diverged("loss", loss, later)
        return replace(tally, steps=tally.steps + 1, loss=tally.loss + loss, hits=tally.hits + hits)

    def _taken(self, batch: Any) -> Any:
        try:
            return self._step(batch)
        except tf.errors.ResourceExhaustedError:
            fits = self._batch_that_fits(batch)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            if self.settings.check_numerics:
                found = re.search(r"Detected at node (\S+?)(/CheckNumerics\w*)? ", str(error))
                where = f"the operation {found[1]}" if found else error.message.splitlines()[0]
                raise HeldBack(
                    f"A number that is not finite came up at {where}.",
                    "It makes all that follows from it worthless.",
                    "The log has the operation's whole stack; look at what goes into it.",
                ) from error
            if self.settings.jit_compile:
                raise UsageError(
                    f"trainer.jit_compile is true, and XLA refuses this model: {error.message[:300]}",
                    "Not every operation can be compiled.",
                    "Set trainer.jit_compile=false.",
                ) from None
            raise
        raise EdgelineError(
            f"Memory does not suffice for a step of {self.settings.batch_size} examples"
            + (f"; it does for one of {fits}." if fits else ", nor for one of a single example."),
            "What a step holds in memory grows with the batch, the size of photos and the network.",
            f"Set trainer.batch_size={fits}." if fits else "Set a smaller model.image_size or backbone.",
        )

    def _batch_that_fits(self, batch: Any) -> int:
        """How many examples a replica can take in a step, by halves; 0 where it cannot take one."""
        fits = self.settings.batch_size // 2
        while fits:
            part = self.replicas.run(lambda *parts, n=fits: tuple(one[:n] for one in parts), batch)
            try:
                self._step(part)
            except tf.errors.ResourceExhaustedError:
                fits //= 2
            else:
                break
        return fits

    def _on_replicas(self, batch: Any) -> tuple[tf.Tensor, tf.Tensor]:
        summed = tf.distribute.ReduceOp.SUM
        loss, hits = self.replicas.run(self._on_replica, batch)
        return self.replicas.reduce(summed, loss, None), self.replicas.reduce(summed, hits, None)

    def _on_replica(
        self, inputs: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One replica's share of the step: the loss is of the whole batch, so shares and gradients add up."""
        model, optimizer = self.model, self.model.optimizer
        count = self.replicas.num_replicas_in_sync
        inputs = self.front(inputs, training=False) if self.front else inputs
        with tf.GradientTape() as tape:
            probabilities = tf.cast(model(inputs, training=True), tf.float32)
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
            loss = tf.reduce_sum(losses * weights) / self.batch_size
            if model.losses:
                loss += tf.add_n(model.losses) / count
            scaled = optimizer.scale_loss(loss)
        variables = [variable.value for variable in model.trainable_variables]
        gradients = tape.gradient(scaled, variables)
        if count > 1:
            # The optimizer adds up what replicas give it after it has clipped that. So each gives the mean of
            # all, which `compile_model` lets it clip at the same share of the norm.
            dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
            gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, dense)
        optimizer.apply(gradients, model.trainable_variables)
        said = tf.argmax(probabilities, axis=1, output_type=labels.dtype)
        return loss, tf.reduce_sum(tf.cast(said == labels, tf.float32))
