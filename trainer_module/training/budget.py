"""The time budget of a training: plans what fits into it by the speed of the first examples and steps."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from edgeline.errors import UsageError
from edgeline.records.json_file import JsonFile
from trainer_module.training import checkpoint, devices
from trainer_module.training.loop import Loop

_progress = logging.getLogger("edgeline.progress")

# Number of timed steps, after one that traces the graph.
_TIMED = 8
# Share of the remaining time for the pictures of some epochs, and for variance.
_RESERVE = 0.15
# Share of the time that computing the features of a frozen front may take.
_FEATURE_SHARE = 0.5


class BudgetTooShort(UsageError):
    """The budget does not fit a single epoch."""


@dataclass(frozen=True)
class _Plan:
    """The counts that fit into the budget; 0 for one that is not planned yet."""

    variations: int = 0
    epochs: int = 0
    notes: tuple[str, ...] = ()  # a sentence for each setting that is reduced


_PLAN = JsonFile[_Plan]("plan.json", _Plan)


@dataclass(frozen=True)
class Budget:
    """The time of one training, and the plan that was made for it.

    The plan is stored beside the checkpoint and is the same for all workers, so a training that resumes after
    a kill keeps the plan that it began with.
    """

    total_s: float
    began: float  # by `time.monotonic`
    folder: Path
    replicas: tf.distribute.Strategy
    overrun_s: float  # by which one epoch may exceed the budget

    @property
    def left_s(self) -> float:
        """Returns the seconds that are left; negative when the budget is overrun."""
        return self.total_s - (time.monotonic() - self.began)

    def plan_variations(
        self, most: int, examples: int, others: int, seconds_each: Callable[[], float]
    ) -> int:
        """Returns how many variations to compute features of: `most`, or what half of the time allows.

        Args:
            most: The number without a budget, at least 1.
            examples: Number of examples that are varied.
            others: Number of examples whose features are computed once.
            seconds_each: Measures the time for the features of one example; not called if there is a plan.

        Raises:
            BudgetTooShort: One variation takes longer than the remaining time and the permitted overrun.
        """
        if planned := self._from_chief(self._read().variations):
            return planned
        seconds = seconds_each()
        time_for = self.left_s * _FEATURE_SHARE - others * seconds
        count = max(1, min(most, int(time_for / (examples * seconds))))
        needed = (others + examples * count) * seconds
        if needed > self.left_s + self.overrun_s:
            raise _make_budget_error("the features of the photos take", needed, self.left_s)
        note = (
            f"The features of one variation of each photo take about {examples * seconds:.0f} s:"
            f" trainer.budget has time for {count} of {most} trainer.variations."
        )
        return self._write_plan("variations", count, note if count < most else "")

    def plan_epochs(
        self,
        loop: Loop,
        batches_of: Callable[[range, int], Iterable[Any]],
        steps: int,
        most: int,
        measure_end: Callable[[], float],
    ) -> int:
        """Returns how many epochs of `steps` steps fit into the remaining time: between 1 and `most`.

        Args:
            loop: Its model must be compiled; the variables are restored after the timing.
            batches_of: Returns the batches of a range of epochs, without so many of the first.
            steps: Some of them are timed, 8 at most.
            most: The number without a budget.
            measure_end: Returns the seconds that the chief takes after an epoch's steps; it alone calls this.

        Raises:
            BudgetTooShort: One epoch takes longer than the remaining time and the permitted overrun.
        """
        if planned := self._from_chief(self._read().epochs):
            return planned
        before = checkpoint.read_state(loop.model)
        timed = min(_TIMED, steps)
        loop.run(iter(batches_of(range(1), 0)), 1)
        # The batches start again: those that were queued while the graph was traced would cost no time.
        epoch_s = loop.run(iter(batches_of(range(2), 0)), timed).seconds / timed * steps
        epoch_s += measure_end() if devices.is_chief(self.replicas) else 0.0
        checkpoint.restore_state(loop.model, before)
        left_s = self.left_s * (1 - _RESERVE)
        if epoch_s > left_s + self.overrun_s:
            raise _make_budget_error("one epoch takes", epoch_s, left_s)
        fitting = min(most, max(0, int(left_s / epoch_s)))
        takes = f"An epoch takes about {epoch_s:.{1 if epoch_s < 10 else 0}f} s"
        note = f"{takes}: trainer.budget has time for {fitting} of {most} trainer.epochs."
        if not fitting:
            note = (
                f"{takes}, but trainer.budget leaves only {max(left_s, 0):.0f} s:"
                " one epoch is trained, which exceeds the budget."
            )
        return self._write_plan("epochs", max(1, fitting), note if fitting < most else "")

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns a sentence for each setting that the budget has reduced."""
        return self._read().notes

    def _read(self) -> _Plan:
        return _PLAN.find_readable(self.folder) or _Plan()

    def _write_plan(self, name: str, count: int, note: str) -> int:
        plan = self._read()
        changes = dict[str, Any]({name: self._from_chief(count)})
        if note:
            _progress.info(note)
            plan = replace(plan, notes=(*plan.notes, note))
        _PLAN.write(self.folder, replace(plan, **changes), sync=True)
        return int(changes[name])

    def _from_chief(self, count: int) -> int:
        return int(devices.from_chief(self.replicas, [np.array(count)])[0])


def _make_budget_error(what: str, needed_s: float, left_s: float) -> BudgetTooShort:
    return BudgetTooShort(
        f"trainer.budget leaves {max(left_s, 0):.0f} s for epochs, but {what} {needed_s:.0f} s.",
        "The model must be trained on every example at least once.",
        "Set a longer budget, a smaller data.window or model.image_size, or use a GPU.",
    )
