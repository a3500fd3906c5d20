import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainer_module.samples import assert_same, die_after, drop_times
from trainer_module.settings import TrainerSettings
from trainer_module.training import checkpoint, fit
from trainer_module.training.loop import Loop

pytestmark = pytest.mark.e2e

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1)).astype(np.float32)


def settings(**changes) -> TrainerSettings:
    return TrainerSettings(**{"epochs": 3, "batch_size": 8, **changes})


def linear(learning_rate: float = 0.01) -> keras.Model:
    """The quickest model there is: it compiles in no time."""
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 1))
    features = keras.layers.Dropout(0.2)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(features))
    fit.compile_model(model, learning_rate, 1000)
    return model


def test_weight_decay_is_of_kernels_alone():
    model = linear()
    fit.compile_model(model, 0.01, 10**6, weight_decay=0.5)
    kernel, bias = model.trainable_variables
    bias.assign(np.ones(3))
    before = kernel.numpy()
    model.optimizer.apply([tf.zeros_like(variable) for variable in (kernel, bias)])
    np.testing.assert_allclose(kernel.numpy(), before * (1 - 0.01 * 0.5), rtol=1e-5)
    np.testing.assert_array_equal(bias.numpy(), np.ones(3))


def batches(epochs: range) -> tf.data.Dataset:
    """Epochs of one batch each; the images of an epoch are its own."""
    one = tf.data.Dataset.from_tensors((IMAGES, LABELS, np.ones(len(LABELS), np.float32)))
    return tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(
        lambda epoch: one.map(
            lambda image, label, weight: (image + tf.cast(epoch, tf.float32), label, weight)
        )
    )


LABELS = np.arange(24) % 3


def train(model, chosen, folder, **options) -> fit.Outcome:
    evaluation = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(10)
    return fit.train(
        loop(model), lambda epochs, skip: batches(epochs).skip(skip), 1, evaluation, chosen, folder, **options
    )


def loop(model) -> Loop:
    return Loop(model, tf.distribute.get_strategy(), settings(batch_size=len(LABELS)))


def kept_by_choice(folder, **changes):
    """A training whose labels have nothing to do with what chooses its epoch, and that choice's answers."""
    labels = np.array([0] * 12 + [1] * 9 + [2] * 3)
    choosing = tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(10)
    model, chosen = linear(learning_rate=0.3), settings(epochs=12, early_stopping_patience=12, **changes)
    outcome = train(model, chosen, folder, selection=choosing)
    return outcome, model.predict(IMAGES, verbose=0), labels


def test_nothing_is_chosen_by_eval_and_the_model_ends_with_the_weights_of_its_last_epoch(tmp_path):
    """With a rate as high as this the last epoch is not the one with the lowest eval loss."""
    model = linear(learning_rate=0.5)
    outcome = train(model, settings(epochs=12), tmp_path)
    losses = [logs["val_loss"] for logs in outcome.history]
    assert outcome.best_epoch == 11 != int(np.argmin(losses))
    probabilities = model.predict(IMAGES, verbose=0)
    measured = -np.log(probabilities[np.arange(24), LABELS]).mean()
    assert measured == pytest.approx(losses[-1], rel=1e-4)  # float32, summed in another order


def test_what_is_held_out_chooses_the_epoch_whose_weights_are_kept(tmp_path):
    outcome, probabilities, labels = kept_by_choice(tmp_path)
    losses = [logs["held_out_loss"] for logs in outcome.history]
    assert outcome.best_epoch == int(np.argmin(losses)) < 11
    measured = -np.log(probabilities[np.arange(24), labels]).mean()
    assert measured == pytest.approx(min(losses), rel=1e-4)


def test_of_balanced_classes_the_epoch_with_the_best_mean_recall_is_kept(tmp_path):
    outcome, probabilities, labels = kept_by_choice(tmp_path, balanced=True)
    recalls = [logs["held_out_recall"] for logs in outcome.history]
    assert recalls[outcome.best_epoch] == max(recalls)
    right = probabilities.argmax(1) == labels
    assert np.mean([right[labels == n].mean() for n in range(3)]) == pytest.approx(max(recalls))
    losses = [logs["held_out_loss"] for logs in outcome.history]
    assert outcome.best_epoch != int(np.argmin(losses))


def test_training_stops_when_what_is_held_out_has_not_improved_for_the_patience(tmp_path):
    model, choosing = linear(learning_rate=0.5), tf.data.Dataset.from_tensors((IMAGES, LABELS))
    chosen = settings(epochs=40, early_stopping_patience=2)
    outcome = train(model, chosen, tmp_path, selection=choosing)
    assert len(outcome.history) == outcome.best_epoch + 3 < 40


def test_weights_are_in_label_order_and_balanced_classes_count_as_much_in_all_as_one_another():
    labels, counts = ["ok", "misplaced", "damaged"], [60, 0, 20]
    assert settings(class_weights={"damaged": 2}).sample_weights(labels, counts) == [1, 1, 2]
    ok, _, doubled = settings(balanced=True, class_weights={"damaged": 2}).sample_weights(labels, counts)
    assert 2 * ok * 60 == pytest.approx(doubled * 20) == pytest.approx(80)


@pytest.mark.parametrize(
    ("limits", "steps", "epochs"),
    [
        ({}, 5, 12),
        ({"min_steps": 600}, 20, 30),
        ({"min_steps": 600}, 7, 36),
        ({"min_steps": 600, "max_steps": 100}, 20, 5),
        ({"max_steps": 100}, 500, 1),
    ],
)
def test_few_steps_an_epoch_make_more_epochs_and_many_fewer(limits, steps, epochs):
    assert settings(epochs=12, **limits).count_epochs(steps) == epochs


def test_the_last_epochs_are_averaged(tmp_path, monkeypatch):
    model, after_each = linear(learning_rate=0.3), []
    monkeypatch.setattr(checkpoint, "save", lambda *_: after_each.append(model.get_weights()))
    outcome = train(model, settings(epochs=9), tmp_path, averaged=3)
    kernels, biases = zip(*after_each[-3:], strict=True)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(kernel, np.mean(kernels, axis=0), rtol=1e-4)  # float32, in another order
    np.testing.assert_allclose(bias, np.mean(biases, axis=0), rtol=1e-4)
    # The last epoch's figures on eval are those of the mean.
    assert outcome.averaged == 3
    measured = -np.log(model.predict(IMAGES, verbose=0)[np.arange(24), LABELS]).mean()
    assert outcome.history[-1]["val_loss"] == pytest.approx(measured, rel=1e-4)


def test_a_training_that_was_cut_off_ends_as_an_unbroken_one(tmp_path):
    """Cut off within the epochs that are averaged."""
    unbroken = linear()
    whole = train(unbroken, settings(epochs=6), tmp_path / "whole", averaged=4)
    with die_after(epochs=3):
        train(linear(), settings(epochs=6), tmp_path / "cut", averaged=4)
    resumed = linear()
    resumed.set_weights([np.zeros_like(weight) for weight in resumed.get_weights()])
    outcome = train(resumed, settings(epochs=6), tmp_path / "cut", averaged=4)

    assert outcome.resumed_from_epoch == 3
    assert drop_times(outcome.history) == drop_times(whole.history)
    assert_same(resumed.get_weights(), unbroken.get_weights())


def test_a_long_epoch_that_was_cut_off_goes_on_in_its_middle(tmp_path, monkeypatch):
    """A step is a batch; a checkpoint is due after each of the three that are taken at once."""
    monkeypatch.setattr(fit, "_STEPS_AT_ONCE", 3)
    monkeypatch.setattr(fit, "CHECKPOINT_S", 0.0)
    images = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS, np.ones(24, np.float32)))
    evaluation = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(10)
    taken = []

    def train_in_steps(model, folder):
        def batches_of(epochs: range, skip: int) -> tf.data.Dataset:
            taken.append((epochs.start, skip))
            return images.batch(2).repeat(len(epochs)).skip(skip)

        steps = Loop(model, tf.distribute.get_strategy(), settings(batch_size=2))
        return fit.train(steps, batches_of, 12, evaluation, settings(epochs=2), folder)

    unbroken = linear()
    whole = train_in_steps(unbroken, tmp_path / "whole")
    with die_after(epochs=1, steps=6):
        train_in_steps(linear(), tmp_path / "cut")
    resumed = linear()
    outcome = train_in_steps(resumed, tmp_path / "cut")
    assert taken == [(0, 0), (0, 0), (1, 6)]
    assert drop_times(outcome.history) == drop_times(whole.history)
    assert_same(resumed.get_weights(), unbroken.get_weights())
