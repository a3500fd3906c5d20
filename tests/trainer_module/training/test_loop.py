import resource
import time
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgeline.errors import EdgelineError, HeldBack
from tests.trainer_module.training.test_fit import IMAGES, LABELS, linear_model, loop, settings
from trainer_module.training import devices, fit
from trainer_module.training.loop import Loop

pytestmark = pytest.mark.e2e

WEIGHTS = np.linspace(0.5, 4.0, 24, dtype=np.float32)
BATCH = (tf.constant(IMAGES), tf.constant(LABELS), tf.constant(WEIGHTS))


def run_steps(model: keras.Model, count: int = 1, batch=BATCH, **changes):
    config = settings(batch_size=len(batch[0]), **changes)
    return Loop(model, tf.distribute.get_strategy(), config).run(iter([batch] * count), count)


def test_a_step_does_what_keras_fit_does_with_weights():
    ours, keras_own = linear_model(), linear_model()
    tally = run_steps(ours, 3)
    history = keras_own.fit(IMAGES, LABELS, 24, 3, 0, sample_weight=WEIGHTS, shuffle=False).history
    assert tally.loss == pytest.approx(sum(history["loss"]), rel=1e-5)
    assert tally.hits == pytest.approx(24 * sum(history["accuracy"]), rel=1e-5)
    for one, other in zip(ours.get_weights(), keras_own.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_waiting_for_input_is_part_of_the_time_of_a_step():
    def slow():
        for _ in range(4):
            time.sleep(0.2)
            yield BATCH

    tally = loop(linear_model()).run(slow(), 4)
    assert 0.8 <= tally.waited_s <= tally.seconds
    assert 0 < tally.logs(24)["input_wait"] <= 1


def test_a_loss_that_is_not_finite_is_reported_with_its_step():
    broken = (*BATCH[:2], tf.constant(WEIGHTS * np.nan))
    with pytest.raises(HeldBack, match="loss became nan at step 2 with a learning rate of") as error:
        loop(linear_model()).run(iter([BATCH, broken, BATCH, BATCH]), 4)
    assert error.value.why and "trainer.learning_rate" in error.value.do


class Hungry(keras.layers.Layer):
    """A layer that allocates `factor` times its batch size to `power`, in values of four bytes."""

    def __init__(self, power: int, factor: int) -> None:
        super().__init__()
        self.power, self.factor = power, factor

    def call(self, inputs):
        count = tf.cast(tf.shape(inputs)[0], tf.int64)
        return inputs + 1e-9 * tf.reduce_mean(tf.random.uniform([count**self.power * self.factor]))


def build_model(layer: keras.layers.Layer) -> keras.Model:
    image = keras.Input((8, 8, 1))
    features = keras.layers.Flatten()(layer(image))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(features))
    fit.compile_model(model, 0.01, 10)
    return model


@pytest.fixture
def limited_memory() -> Iterator[None]:
    """Limits memory to 100 GB, also where the kernel grants any amount, as on nodes of Kubernetes."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (100 * 10**9, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_batch_too_large_for_memory_is_refused_with_a_size_that_fits(limited_memory):
    """The tenth power is 247 GB for twelve examples, and 242 MB for six."""
    with pytest.raises(EdgelineError, match="a step of 24 examples; a step of 6 fits") as error:
        run_steps(build_model(Hungry(10, 1)))
    assert "trainer.batch_size=6" in error.value.do


def test_memory_too_small_for_one_example_needs_a_smaller_model(limited_memory):
    # A batch of two, since TensorFlow tries for 10 s to allocate the memory at each size.
    with pytest.raises(EdgelineError, match="nor for a step of one example") as error:
        run_steps(build_model(Hungry(1, 10**12)), batch=tuple(part[:2] for part in BATCH))
    assert "image_size" in error.value.do


def test_check_numerics_names_the_operation_that_is_not_finite():
    with devices.set_precision(settings(check_numerics=True)):
        model = build_model(keras.layers.Lambda(lambda pixels: tf.math.log(-1.0 - pixels)))
        with pytest.raises(HeldBack, match=r"at the operation \S+/Log\."):
            run_steps(model, check_numerics=True)


def test_a_model_that_xla_cannot_compile_is_refused():
    text = keras.layers.Lambda(
        lambda pixels: tf.strings.to_number(tf.strings.as_string(pixels)), output_shape=(8, 8, 1)
    )
    with pytest.raises(EdgelineError, match="XLA cannot compile this model") as error:
        run_steps(build_model(text), jit_compile=True)
    assert "jit_compile=false" in error.value.do
