"""Every part of the recipe of a training, by the gradients, batches or weights that differ without it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.workloads import find_workload, with_features
from tests.docstrings import ROOT
from tests.trainer_module.samples import LABELS, SHELF, assert_same
from tests.trainer_module.training.test_fit import IMAGES, linear_model
from tests.trainer_module.training.test_fit import LABELS as CLASSES
from tests.warm import WarmRun
from trainer_module.networks import backbones
from trainer_module.settings import ModelSettings, TrainerSettings
from trainer_module.training import checkpoint, devices, fit, front, input_pipeline
from trainer_module.training.input_pipeline import Split
from trainer_module.training.loop import Loop
from trainer_module.training.task import Prepared, Task, Trained, prepare, train_model
from trainer_module.workloads import tables
from trainer_module.workloads.teacher import teach

pytestmark = pytest.mark.e2e

ONE_DEVICE = tf.distribute.get_strategy()
CONSTANT_RATE = 10**9  # steps, over the first of which the learning rate does not change
RATE = 0.01


def settings(**changes: Any) -> TrainerSettings:
    plain = {"epochs": 6, "batch_size": 8, "learning_rate": RATE, "flip": False, "brightness": 0.0}
    return TrainerSettings(**{**plain, **changes})


def make_batch(weight: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Makes a batch of all images, each with the same sample weight."""
    return tf.constant(IMAGES), tf.constant(CLASSES), tf.fill([24], weight)


def take_plain_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, weight: float, smoothing: float = 0.0
) -> tuple[float, float]:
    """Takes a step of Keras with gradients shortened by hand; returns their length and the loss."""
    images, labels, weights = make_batch(weight)
    with tf.GradientTape() as tape:
        targets, answers = tf.one_hot(labels, 3), model(images, training=True)
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
        value = loss(targets, answers, sample_weight=weights)
    gradients = tape.gradient(value, [variable.value for variable in model.trainable_variables])
    length = float(tf.linalg.global_norm(gradients))
    optimizer.apply([gradient / max(length, 1.0) for gradient in gradients], model.trainable_variables)
    unsmoothed = keras.losses.CategoricalCrossentropy()(targets, answers, sample_weight=weights)
    return length, float(unsmoothed)


def assert_close(ours: keras.Model, theirs: keras.Model, tolerance: float = 1e-5) -> None:
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * RATE)


def test_a_gradient_longer_than_one_is_shortened_to_one():
    ours, plain, optimizer = linear_model(), linear_model(), keras.optimizers.Adam(RATE)
    fit.compile_model(ours, RATE, CONSTANT_RATE)
    loop = Loop(ours, ONE_DEVICE, settings(batch_size=24))
    lengths = []
    for weight in (100.0, 0.1):
        loop.run(iter([make_batch(weight)]), 1)
        length, _ = take_plain_step(plain, optimizer, weight)
        lengths.append(length)
    assert lengths[0] > 10 and lengths[1] < 1
    assert_close(ours, plain)


def test_labels_are_smoothed_for_the_gradients_and_not_for_the_logs():
    ours, plain, optimizer = linear_model(), linear_model(), keras.optimizers.Adam(RATE)
    fit.compile_model(ours, RATE, CONSTANT_RATE)
    loop = Loop(ours, ONE_DEVICE, settings(batch_size=24, label_smoothing=0.4))
    for _ in range(3):
        tally = loop.run(iter([make_batch(0.1)]), 1)
        _, loss = take_plain_step(plain, optimizer, 0.1, smoothing=0.4)
        assert tally.loss == pytest.approx(loss, rel=1e-5)
    assert_close(ours, plain)


@pytest.mark.parametrize("members", [1, 4])
def test_a_share_of_each_label_is_the_answer_of_the_teacher(members):
    rows = np.random.default_rng(4).normal(size=(24, 1, 6)).astype(np.float32)
    taught = np.random.default_rng(5).dirichlet([1, 1, 1], 24).astype(np.float32)
    moved = []
    for by_teacher in (True, False):
        keras.utils.set_random_seed(6)
        model = tables.build_model(
            ["a", "b", "c"], ModelSettings(members=members, hidden=8), make_transform(6)
        )
        fit.compile_model(model, RATE, CONSTANT_RATE)
        if by_teacher:
            loop = Loop(model, ONE_DEVICE, settings(batch_size=24, teacher=0.25))
            tally = loop.run(iter([(tf.constant(rows), tf.constant(CLASSES), tf.ones(24), taught)]), 1)
        else:
            targets = 0.75 * tf.one_hot(CLASSES, 3) + 0.25 * taught
            with tf.GradientTape() as tape:
                answers = model(rows, training=True)
                answers = answers if members > 1 else tf.reshape(answers, [24, 1, 3])
                logs = -tf.reduce_mean(tf.math.log(answers), axis=1)
                loss = tf.reduce_mean(tf.reduce_sum(targets * logs, axis=1))
                of_labels = tf.reduce_mean(tf.reduce_sum(tf.one_hot(CLASSES, 3) * logs, axis=1))
            variables = [variable.value for variable in model.trainable_variables]
            model.optimizer.apply(tape.gradient(loss, variables), model.trainable_variables)
            assert tally.loss == pytest.approx(float(of_labels), rel=1e-5)
        moved.append(model)
    assert_close(*moved, tolerance=1e-3)


def test_the_teacher_of_a_table_is_in_its_batches():
    rows = np.random.default_rng(2).normal(size=(60, 1, 5)).astype(np.float32)
    classes = (rows[:, 0, 0] > 0).astype(np.int64)
    shown = np.arange(60) > 9
    split = Split((), (60,), 64, classes, tf.constant(rows), lambda records: records, np.arange(60), 1, shown)
    task = Task(with_features(find_workload("sensor")), make_transform(5), split, split, 20)
    prepared = prepare_here(task, ModelSettings(), settings(teacher=0.5))
    taught = np.zeros((60, 2))
    taught[shown] = teach(rows[shown], classes[shown], np.arange(50), 2)
    for inputs, labels, _, answers in prepared.batches_of(range(2), 0):
        place = [int(np.flatnonzero((rows == row).all(axis=(1, 2)))[0]) for row in inputs.numpy()]
        np.testing.assert_array_equal(answers[:, :2], taught[place])
        np.testing.assert_array_equal(labels, classes[place])
    assert len(next(iter(prepare_here(task, ModelSettings(), settings()).batches_of(range(1), 0)))) == 3


def list_moves(steps: int, fine_tuning: bool) -> list[float]:
    """Returns how far each step moves the weights by a gradient that stays the same: Adam's rate."""
    model = linear_model()
    fit.compile_model(model, RATE, steps, fine_tuning)
    gradients = [tf.fill(variable.shape, 0.01) for variable in model.trainable_variables]
    moves = []
    for _ in range(steps):
        before = model.trainable_variables[0].numpy()
        model.optimizer.apply(gradients, model.trainable_variables)
        moves.append(float(np.mean(before - model.trainable_variables[0].numpy())))
    return moves


def list_cosine(steps: int) -> list[float]:
    return [RATE * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)]


def test_the_learning_rate_falls_to_zero_along_half_a_cosine():
    assert list_moves(20, fine_tuning=False) == pytest.approx(list_cosine(20), rel=1e-2, abs=RATE / 1000)


def test_for_fine_tuning_the_learning_rate_first_rises_over_a_tenth_of_the_steps():
    moves = list_moves(20, fine_tuning=True)
    assert moves == pytest.approx([0.0, RATE / 2, *list_cosine(18)], rel=1e-2, abs=RATE / 1000)


def make_photos(sizes: tuple[int, ...] = (8, 8, 8), groups: np.ndarray | None = None) -> Split:
    """Makes a split of photos of noise, of so many of each label; each is its own group by default."""
    labels = np.repeat(np.arange(3), sizes)
    pixels = np.random.default_rng(1).integers(0, 256, (len(labels), 32, 32, 1)).astype(np.float32)
    groups = np.arange(len(labels)) if groups is None else groups
    return Split((), (len(labels),), 64, labels, tf.constant(pixels), lambda records: records, groups)


def make_task(training: Split) -> Task:
    return Task(SHELF, None, training, make_photos(), 20)


def prepare_here(task: Task, model: ModelSettings, settings: TrainerSettings) -> Prepared:
    return prepare(task, model, settings, tf.distribute.OneDeviceStrategy("/cpu:0"))


COMPACT = ModelSettings(backbone="compact", image_size=32)


def test_a_seed_of_zero_is_a_seed():
    prepared = prepare_here(replace(make_task(make_photos()), seed=0), COMPACT, settings())
    first, again = (next(iter(prepared.batches_of(range(1), 0)))[1] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def train_whole(model: ModelSettings, folder: Path) -> Trained:
    task, replicas = make_task(make_photos()), tf.distribute.OneDeviceStrategy("/cpu:0")
    return train_model(task, model, settings(), replicas, folder, began=0.0)


def test_a_model_that_begins_with_weights_warms_up_and_changes_only_what_is_not_frozen(pretrained):
    prepared = prepare_here(make_task(make_photos()), pretrained, settings())
    loop, batches = prepared.loop(settings(epochs=10)), iter(prepared.batches_of(range(10), 0))
    rates, weights = [], [prepared.model.get_weights()]
    for _ in range(10 * prepared.steps):
        rates.append(loop.learning_rate)
        loop.run(batches, 1)
        weights.append(prepared.model.get_weights())

    assert rates == pytest.approx([0, RATE / 3, RATE * 2 / 3, *list_cosine(27)], rel=1e-4)
    assert loop.learning_rate == pytest.approx(0, abs=1e-9)
    assert_same(weights[1], weights[0])
    assert_same(weights[-1][:-2], weights[0][:-2])
    assert np.abs(weights[-1][-2] - weights[0][-2]).max() > RATE / 10


def test_a_model_that_begins_with_weights_ends_with_the_mean_of_the_last_half_of_the_epochs(
    pretrained, tmp_path
):
    trained = train_whole(pretrained, tmp_path)
    kernels = []
    for epoch in (4, 5, 6):
        _, trainable = front.split_model(backbones.build_classifier(pretrained, 3))
        assert checkpoint.load_epoch(trainable, epoch, tmp_path) is not None
        kernels.append(trainable.get_weights()[-2])
    assert trained.outcome.averaged == 3
    assert np.abs(kernels[0] - kernels[-1]).max() > 1e-4
    np.testing.assert_allclose(trained.model.get_weights()[-2], np.mean(kernels, axis=0), rtol=1e-6)


def list_batches(training: Split, **changes: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the images, labels and weights of one epoch's batches, in the order of the split."""
    prepared = prepare_here(make_task(training), COMPACT, settings(**changes))
    batches = [[np.array(part) for part in batch] for batch in prepared.batches_of(range(1), 0)]
    images, labels, weights = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return images, labels, weights


def weigh_examples(training: Split, **changes: Any) -> np.ndarray:
    """Returns the weight of each example in an epoch's batches, in the order of the split."""
    images, _, weights = list_batches(training, **changes)
    weight_of = {image.tobytes(): weight for image, weight in zip(images, weights, strict=True)}
    return np.array([weight_of[image.tobytes()] for image in training.inputs.numpy()])


def test_batches_weigh_classes_and_groups_as_the_settings_say():
    training = make_photos((12, 8, 4), groups=np.repeat(np.arange(6), (3, 9, 2, 6, 1, 3)))
    labels, groups = training.labels, training.groups

    np.testing.assert_allclose(weigh_examples(training), np.ones(24))
    doubled = weigh_examples(training, class_weights={"damaged": 2.0})
    np.testing.assert_allclose(doubled, np.where(labels == LABELS.index("damaged"), 2, 1))
    balanced = weigh_examples(training, balanced=True)
    np.testing.assert_allclose(np.bincount(labels, balanced), [8, 8, 8], rtol=1e-5)
    by_group = weigh_examples(training, balanced_groups=True)
    np.testing.assert_allclose(np.bincount(groups, by_group), [6, 6, 4, 4, 2, 2], rtol=1e-5)


def test_training_photos_are_varied_and_those_of_eval_are_not():
    training = make_photos()
    originals = {image.tobytes() for image in training.inputs.numpy()}
    mirrored = {image[:, ::-1].tobytes() for image in training.inputs.numpy()}
    shown = {image.tobytes() for image in list_batches(training, flip=True)[0]}
    assert shown <= originals | mirrored and shown & originals and shown & mirrored
    plain, darker = list_batches(training)[0], list_batches(training, brightness=0.5)[0]
    assert {image.tobytes() for image in plain} == originals
    assert np.ptp(np.mean(darker - plain, axis=(1, 2, 3))) > 10

    prepared = prepare_here(make_task(training), COMPACT, settings(flip=True, brightness=0.5))
    measured = np.concatenate([images for images, _ in prepared.evaluation.as_numpy_iterator()])
    np.testing.assert_array_equal(measured, training.inputs)


def make_transform(channels: int, readings: int = 1) -> Any:
    """Makes the part of Transform's output that a model of rows needs."""
    return SimpleNamespace(transformed_feature_spec=lambda: {"row": tf.TensorSpec((readings, channels))})


def test_rows_of_a_table_enter_a_step_as_they_are():
    rows = np.random.default_rng(2).normal(size=(24, 1, 5)).astype(np.float32)
    split = Split((), (24,), 64, np.arange(24) % 2, tf.constant(rows), lambda records: records, np.arange(24))
    sensor = with_features(find_workload("sensor"))
    varied = settings(flip=True, brightness=0.5, crop=0.5, contrast=0.5)
    prepared = prepare_here(Task(sensor, make_transform(5), split, split, 20), ModelSettings(), varied)
    shown = np.concatenate([batch[0] for batch in prepared.batches_of(range(1), 0)])
    assert {row.tobytes() for row in shown} == {row.tobytes() for row in rows}


@pytest.mark.parametrize(("workers", "batches"), [(1, 20), (2, 10)])
def test_replicas_are_told_how_many_batches_there_are(workers, batches):
    """Two epochs of three batches, of which one is skipped, make five for each of four replicas."""
    context = tf.distribute.InputContext(workers, 0, 4)
    training, weights = make_photos(), np.ones(24)
    dataset = input_pipeline.make_train_batches(training, 8, range(2), 1, None, weights, 1, context)
    assert dataset.cardinality() == batches == len(list(dataset))


def move_by_short_gradient(settings: TrainerSettings) -> np.ndarray:
    """Returns how far a step moves weights whose gradients float16 can hold only if they are scaled."""
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    fit.compile_model(model, RATE, CONSTANT_RATE)
    before = model.get_weights()[0]
    Loop(model, ONE_DEVICE, settings).run(iter([make_batch(1e-5)]), 1)
    return np.asarray(model.get_weights()[0] - before)


def test_half_precision_computes_in_float16_and_keeps_weights_and_short_gradients():
    half = settings(precision="mixed_float16", batch_size=24)
    with devices.set_precision(half):
        model = prepare_here(make_task(make_photos()), COMPACT, half).model
        moves = move_by_short_gradient(half)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert {layer.compute_dtype for layer in convolutions} == {"float16"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    expected = move_by_short_gradient(settings(batch_size=24))
    assert np.abs(expected).max() > RATE / 10
    np.testing.assert_allclose(moves, expected, atol=RATE / 20)


# TensorFlow accepts the number of devices only before any other call.
_TWO_DEVICES = """
import sys
import tensorflow as tf

two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
from tests.trainer_module.training import test_recipe

test_recipe.measure_on_two_devices(sys.argv[1])
"""


def build_linear() -> keras.Model:
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, "softmax")])


def build_table() -> keras.Model:
    return tables.build_model(["a", "b", "c"], ModelSettings(hidden=8), make_transform(6))


def build_readings() -> keras.Model:
    return tables.build_model(["a", "b", "c"], ModelSettings(hidden=8), make_transform(6, readings=8))


def take_two_steps(build: Callable[[], keras.Model], replicas: tf.distribute.Strategy) -> list[np.ndarray]:
    """Takes a step with long gradients and one with short ones; returns averages of batches, or weights."""
    count = replicas.num_replicas_in_sync
    keras.utils.set_random_seed(3)
    with replicas.scope():
        model = build()
        fit.compile_model(model, RATE, CONSTANT_RATE, replicas=count)
    inputs = np.random.default_rng(1).normal(0, 1, (8, *model.input_shape[1:])).astype(np.float32)
    inputs[4:] *= 5  # the half of the second device varies more
    loop = Loop(model, replicas, settings(batch_size=8 // count))
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    # The averages of a second step would depend on the dropout of the first.
    for weight in (100.0,) if norms else (100.0, 0.1):
        batch = (inputs, np.arange(8) % 3, np.full(8, weight, np.float32))
        whole = tf.data.Dataset.from_tensor_slices(batch).batch(8)
        loop.run(iter(replicas.experimental_distribute_dataset(whole)), 1)
    return [weight.numpy() for weight in (norms[0].non_trainable_variables if norms else model.weights)]


def is_unseeded_randomness_refused(deterministic: bool) -> bool:
    devices.make_strategy(TrainerSettings(strategy="one_device", deterministic=deterministic))
    try:
        tf.random.uniform([1])
    except RuntimeError:
        return True
    return False


def measure_on_two_devices(path: str) -> None:
    """Writes what one device and two compute, and whether randomness without a seed is refused."""
    results = {
        f"refused {deterministic}": np.array(is_unseeded_randomness_refused(deterministic))
        for deterministic in (False, True)
    }
    for strategy in ("one_device", "mirrored"):
        replicas = devices.make_strategy(TrainerSettings(strategy=strategy))
        for build in (build_linear, build_table, build_readings):
            for index, array in enumerate(take_two_steps(build, replicas)):
                results[f"{build.__name__} {strategy} {index}"] = array
        with replicas.scope():
            model = build_linear()
            fit.compile_model(model, RATE, CONSTANT_RATE, falls=False)
        model.optimizer.learning_rate = RATE / 10
        results[f"rate {strategy}"] = np.array(Loop(model, replicas, settings()).learning_rate)
    np.savez(path, **results)


@pytest.fixture(scope="module")
def on_two_devices(tmp_path_factory) -> Mapping[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("two_devices")
    path, log = folder / "results.npz", folder / "log"
    code = WarmRun([_TWO_DEVICES, str(path)], ROOT, log, log, job="python").wait()
    assert code == 0, log.read_text()
    return dict(np.load(path))


@pytest.mark.parametrize("build", [build_linear, build_table, build_readings])
def test_two_devices_shorten_the_gradient_of_the_whole_batch_and_average_all_of_it(on_two_devices, build):
    ones = [on_two_devices[f"{build.__name__} one_device {index}"] for index in range(2)]
    twos = [on_two_devices[f"{build.__name__} mirrored {index}"] for index in range(2)]
    for one, two in zip(ones, twos, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_a_constant_rate_can_be_lowered_on_all_devices(on_two_devices, strategy):
    assert on_two_devices[f"rate {strategy}"] == pytest.approx(RATE / 10)


def test_a_deterministic_training_refuses_randomness_without_a_seed(on_two_devices):
    assert not on_two_devices["refused False"] and on_two_devices["refused True"]
