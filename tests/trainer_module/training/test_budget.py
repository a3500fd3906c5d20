import time

import numpy as np
import pytest
import tensorflow as tf

from edgeline.errors import UsageError
from tests.trainer_module.samples import assert_same
from tests.trainer_module.training.test_fit import IMAGES, LABELS, linear_model, loop
from trainer_module.training import checkpoint
from trainer_module.training.budget import Budget

pytestmark = pytest.mark.e2e

STEPS, STEP_S = 20, 0.05


def slow_batches(epochs: range, skip: int) -> tf.data.Dataset:
    """Returns batches that take STEP_S seconds each."""

    def wait(number: tf.Tensor) -> tf.Tensor:
        return tf.py_function(lambda n: (time.sleep(STEP_S), n)[1], [number], tf.int64)

    batch = (IMAGES, LABELS, np.ones(24, np.float32))
    return tf.data.Dataset.range(len(epochs) * STEPS).map(wait).map(lambda _: batch)


def make_budget(folder, total_s: float, spent_s: float = 0.0) -> Budget:
    return Budget(total_s, time.monotonic() - spent_s, folder, tf.distribute.get_strategy(), total_s)


def plan_epochs(
    folder, most: int, total_s: float, spent_s: float = 0.0, model=None, end_s: float = 0.0
) -> int:
    model, budget = model or linear_model(), make_budget(folder, total_s, spent_s)
    return budget.plan_epochs(loop(model), slow_batches, STEPS, most, lambda: end_s)


def test_as_many_epochs_are_planned_as_fit_and_the_model_stays_the_same(tmp_path):
    model = linear_model()
    before = checkpoint.read_state(model)
    epochs = plan_epochs(tmp_path, 50, 12.0, model=model)
    # An epoch takes at least a second, and more on a busy machine.
    assert 1 <= epochs <= 11
    (note,) = make_budget(tmp_path, 12.0).notes
    assert note.endswith(f": trainer.budget has time for {epochs} of 50 trainer.epochs.")
    assert_same(checkpoint.read_state(model), before)


def test_no_more_epochs_are_planned_than_set_and_a_resumed_training_keeps_a_plan_that_it_can_read(
    tmp_path, caplog
):
    assert plan_epochs(tmp_path, 3, 3600.0) == 3
    assert make_budget(tmp_path, 3600.0).notes == ()
    assert plan_epochs(tmp_path, 3, 0.1) == 3
    (tmp_path / "plan.json").write_bytes(b'{"epo')
    assert plan_epochs(tmp_path, 2, 3600.0) == 2 and "plan.json cannot be read" in caplog.text
    assert plan_epochs(tmp_path, 3, 0.1) == 2


def test_the_end_of_an_epoch_counts(tmp_path):
    assert 5 <= plan_epochs(tmp_path, 50, 120.0, end_s=12.0) <= 8


def test_one_epoch_is_trained_and_noted_if_the_budget_has_less_time_left(tmp_path):
    """Features can use up the budget on a busy machine."""
    assert plan_epochs(tmp_path, 3, 600.0, spent_s=601.0) == 1
    (note,) = make_budget(tmp_path, 600.0).notes
    assert "trainer.budget leaves only 0 s: one epoch is trained" in note


def test_a_budget_shorter_than_half_an_epoch_is_refused_with_the_time_of_one(tmp_path):
    with pytest.raises(UsageError, match=r"leaves 0 s for epochs, but one epoch takes \d+ s") as error:
        plan_epochs(tmp_path, 3, 0.1)
    assert "smaller" in error.value.do
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("each", "count", "message"),
    [
        (0.01, 4, ""),  # 10 s each, of 100 s
        (0.02, 2, "take about 20 s: trainer.budget has time for 2 of 4 "),
        (0.08, 1, "take about 80 s: trainer.budget has time for 1 of 4 "),
    ],
)
def test_as_many_variations_are_computed_as_fit_into_half_of_the_time(tmp_path, each, count, message):
    variations = make_budget(tmp_path, 100.0).plan_variations(4, 1000, 100, lambda: each)
    assert variations == count
    assert message in " ".join(make_budget(tmp_path, 100.0).notes)
    again = make_budget(tmp_path, 100.0, 99.0).plan_variations(4, 1000, 100, lambda: pytest.fail("timed"))
    assert again == count


def test_photos_that_take_twice_the_budget_are_refused_before_they_are_computed(tmp_path):
    with pytest.raises(UsageError, match="the features of the photos take 550 s"):
        make_budget(tmp_path, 100.0).plan_variations(4, 1000, 100, lambda: 0.5)
