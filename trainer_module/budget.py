"""What of a training fits into the time that it may take, by the speed of its first examples and steps."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from errors import UsageError
from locations import whole
from trainer_module import checkpoint, devices
from trainer_module.loop import Loop

_progress = logging.getLogger("edgeline.progress")

# Steps that are timed, after one that traces the graph.
_TIMED = 8
# Of what is left, so much goes to the evaluation and the checkpoint of each epoch, and to what varies.
_RESERVE = 0.15
# The share of the time that the features of a frozen front may take.
_FOR_FEATURES = 0.5


class BudgetTooShort(UsageError):
    """Not one epoch fits."""


@dataclass(frozen=True)
class Budget:
    """The time of one training, and the plan that was made for it.

    The plan is kept in the folder of the checkpoint, and agreed on by all workers: a training that goes on
    after a kill has the one that it began with.
    """

    total_s: float
    began: float  # by `time.monotonic`
    folder: Path
    replicas: tf.distribute.Strategy
    overrun_s: float  # by how much one epoch may take longer

    @property
    def left_s(self) -> float:
        """The seconds that are left; below 0 where it is overrun."""
        return self.total_s - (time.monotonic() - self.began)

    def affordable_variations(
        self, most: int, examples: int, others: int, seconds_each: Callable[[], float]
    ) -> int:
        """Of how many variations the features are computed: `most`, or as many as half of the time allows.

        Args:
            most: That are set.
            examples: Of which there are variations.
            others: Examples of which features are computed once.
            seconds_each: Measures the time that the features of one example take.

        Raises:
            BudgetTooShort: One variation takes longer than what is left and what it may be overrun by.
        """
        if known := self._planned("variations"):
            return known
        each = seconds_each()
        time_for = self.left_s * _FOR_FEATURES - others * each
        count = max(1, min(most, int(time_for / (examples * each))))
        needed = (others + examples * count) * each
        if needed > self.left_s + self.overrun_s:
            raise _too_short("the features of the photos take", needed, self.left_s)
        note = (
            f"The features of one variation of each photo take about {examples * each:.0f} s: {count} of"
            f" trainer.variations, {most}, are what trainer.budget has the time for."
        )
        return self._plan("variations", count, note if count < most else "")

    def affordable_epochs(
        self, loop: Loop, batches_of: Callable[[range, int], Iterable[Any]], steps: int, most: int
    ) -> int:
        """The epochs of so many steps that fit into what is left, `most` at the most, and one at least.

        The model is compiled, and is as it was afterwards.

        Raises:
            BudgetTooShort: One epoch takes longer than what is left and what it may be overrun by.
        """
        if known := self._planned("epochs"):
            return known
        variables = checkpoint.training_variables(loop.model)
        before = [variable.numpy() for variable in variables]
        timed = min(_TIMED, steps)
        loop.run(iter(batches_of(range(1), 0)), 1)
        # From the first batch on again: what waits in queues from the time of tracing costs no time.
        epoch_s = loop.run(iter(batches_of(range(2), 0)), timed).seconds / timed * steps
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        left_s = self.left_s * (1 - _RESERVE)
        if epoch_s > left_s + self.overrun_s:
            raise _too_short("one takes", epoch_s, left_s)
        fitting = min(most, max(0, int(left_s / epoch_s)))
        _progress.info("An epoch takes about %.0f s: %d of %d fit into the budget.", epoch_s, fitting, most)
        note = (
            f"An epoch takes about {epoch_s:.0f} s, and trainer.budget leaves {max(left_s, 0):.0f} s for it:"
            " one is trained, for which the training takes longer."
        )
        return self._plan("epochs", max(1, fitting), "" if fitting else note)

    @property
    def notes(self) -> list[str]:
        """What became less than is set, a sentence each."""
        return list(self._read().get("notes", ()))

    def _read(self) -> dict[str, Any]:
        plan = self.folder / "plan.json"
        return json.loads(plan.read_text()) if plan.is_file() else {}

    def _planned(self, name: str) -> int:
        return self._agree(self._read().get(name, 0))

    def _plan(self, name: str, count: int, note: str) -> int:
        plan = {**self._read(), name: self._agree(count)}
        if note:
            _progress.info(note)
            plan["notes"] = [*plan.get("notes", ()), note]
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole(self.folder / "plan.json") as file:
            file.write(json.dumps(plan).encode())
        return int(plan[name])

    def _agree(self, count: int) -> int:
        return int(devices.from_chief(self.replicas, [np.array(count)])[0])


def _too_short(what: str, needed_s: float, left_s: float) -> BudgetTooShort:
    return BudgetTooShort(
        f"trainer.budget leaves {max(left_s, 0):.0f} s for epochs, and {what} {needed_s:.0f} s.",
        "A model that has not seen every example once is none.",
        "Give it more time, a smaller data.window or model.image_size, or a GPU.",
    )
