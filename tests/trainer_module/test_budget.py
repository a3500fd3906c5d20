import json
import time

import numpy as np
import pytest
import tensorflow as tf

from errors import UsageError
from tests.trainer_module.test_fit import IMAGES, LABELS, linear, loop
from trainer_module import budget, checkpoint

pytestmark = pytest.mark.e2e

STEPS, STEP_S = 20, 0.05


def slow_batches(epochs: range, skip: int) -> tf.data.Dataset:
    """Batches of which none can be had in less time."""

    def wait(number: tf.Tensor) -> tf.Tensor:
        return tf.py_function(lambda n: (time.sleep(STEP_S), n)[1], [number], tf.int64)

    batch = (IMAGES, LABELS, np.ones(24, np.float32))
    return tf.data.Dataset.range(len(epochs) * STEPS).map(wait).map(lambda _: batch)


def test_as_many_epochs_are_planned_as_fit_and_the_model_is_as_it_was(tmp_path):
    model = linear()
    before = [variable.numpy() for variable in checkpoint.training_variables(model)]
    epochs = budget.affordable_epochs(loop(model), slow_batches, STEPS, 50, 12.0, tmp_path)
    # An epoch takes a second and more on a busy machine, and never less.
    assert 1 <= epochs <= 11
    for variable, value in zip(checkpoint.training_variables(model), before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_a_budget_never_gives_more_epochs_than_are_set(tmp_path):
    assert budget.affordable_epochs(loop(linear()), slow_batches, STEPS, 2, 3600.0, tmp_path) == 2


def test_a_training_that_goes_on_keeps_the_plan_that_it_began_with(tmp_path):
    budget.affordable_epochs(loop(linear()), slow_batches, STEPS, 3, 3600.0, tmp_path)
    assert json.loads((tmp_path / "epochs.json").read_text()) == 3
    assert budget.affordable_epochs(loop(linear()), slow_batches, STEPS, 3, 0.1, tmp_path) == 3


def test_a_budget_too_short_for_an_epoch_is_refused_with_what_one_takes(tmp_path):
    with pytest.raises(UsageError, match=r"leaves 0 s for epochs, and one takes \d+ s") as refused:
        budget.affordable_epochs(loop(linear()), slow_batches, STEPS, 3, 0.1, tmp_path)
    assert "smaller" in refused.value.do
    assert not list(tmp_path.iterdir())
