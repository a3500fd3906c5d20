"""How many epochs fit into the time that a training may take, by the speed of its first steps."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UsageError
from locations import whole
from trainer_module import checkpoint

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_progress = logging.getLogger("edgeline.progress")

# Steps that are timed, after one that traces the graph.
_TIMED = 8
# Of what is left, so much goes to the evaluation and the checkpoint of each epoch, and to what varies.
_RESERVE = 0.15


class BudgetTooShort(UsageError):
    """Not one epoch fits."""


def affordable_epochs(
    model: keras.Model,
    batches_of: Callable[[range], tf.data.Dataset],
    steps: int,
    most: int,
    left_s: float,
    folder: Path,
) -> int:
    """The epochs of so many steps that fit into `left_s` seconds, `most` at the most.

    The model is compiled, and is as it was afterwards. What was found is kept in the folder of the
    checkpoint: a training that goes on after a kill has the plan that it began with.

    Raises:
        BudgetTooShort: Not one epoch fits.
    """
    plan = folder / "epochs.json"
    if plan.is_file():
        return int(json.loads(plan.read_text()))
    variables = checkpoint.training_variables(model)
    before = [variable.numpy() for variable in variables]
    begun = time.monotonic()
    timed = min(_TIMED, steps)
    batches = batches_of(range(2))
    model.fit(batches, steps_per_epoch=1, verbose=0)
    started = time.monotonic()
    model.fit(batches, steps_per_epoch=timed, verbose=0)
    step_s = (time.monotonic() - started) / timed
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    left_s = (left_s - (time.monotonic() - begun)) * (1 - _RESERVE)
    epochs = min(most, int(left_s / (step_s * steps)))
    if epochs < 1:
        raise BudgetTooShort(
            f"trainer.budget leaves {max(left_s, 0):.0f} s for epochs, and one takes {step_s * steps:.0f} s.",
            "A model that has not seen every example once is none.",
            "Give it more time, a smaller data.window or model.image_size, or a GPU.",
        )
    _progress.info("An epoch takes about %.0f s: %d of %d fit into the budget.", step_s * steps, epochs, most)
    folder.mkdir(parents=True, exist_ok=True)
    with whole(plan) as file:
        file.write(json.dumps(epochs).encode())
    return epochs
