"""How many epochs fit into the time that a training may take, by the speed of its first steps."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from errors import UsageError
from locations import whole
from trainer_module import checkpoint, devices
from trainer_module.loop import Loop

_progress = logging.getLogger("edgeline.progress")

# Steps that are timed, after one that traces the graph.
_TIMED = 8
# Of what is left, so much goes to the evaluation and the checkpoint of each epoch, and to what varies.
_RESERVE = 0.15


class BudgetTooShort(UsageError):
    """Not one epoch fits."""


def affordable_epochs(
    loop: Loop,
    batches_of: Callable[[range, int], Iterable[Any]],
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

    def agreed(epochs: int) -> int:
        return int(devices.from_chief(loop.replicas, [np.array(epochs)])[0])

    if known := agreed(json.loads(plan.read_text()) if plan.is_file() else 0):
        return known
    variables = checkpoint.training_variables(loop.model)
    before = [variable.numpy() for variable in variables]
    begun = time.monotonic()
    timed = min(_TIMED, steps)
    loop.run(iter(batches_of(range(1), 0)), 1)
    # From the first batch on again: what waits in queues from the time of tracing costs no time.
    step_s = loop.run(iter(batches_of(range(2), 0)), timed).seconds / timed
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    left_s = (left_s - (time.monotonic() - begun)) * (1 - _RESERVE)
    epochs = agreed(min(most, int(left_s / (step_s * steps))))
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
