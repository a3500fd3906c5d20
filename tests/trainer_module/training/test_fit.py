import keras
import numpy as np
import pytest
import tensorflow as tf

from edgeline.errors import UsageError
from tests.trainer_module.samples import assert_same, die_after, drop_times
from trainer_module.settings import TrainerSettings
from trainer_module.training import checkpoint, fit
from trainer_module.training.loop import Loop, Tally

pytestmark = pytest.mark.e2e

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(24) % 3


def settings(**changes) -> TrainerSettings:
    return TrainerSettings(**{"epochs": 3, "batch_size": 8, **changes})


def linear_model(learning_rate: float = 0.01) -> keras.Model:
    """Builds the smallest model, which compiles quickly."""
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 1))
    features = keras.layers.Dropout(0.2)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(features))
    fit.compile_model(model, learning_rate, 1000)
    return model


def test_weight_decay_applies_to_kernels_only():
    model = linear_model()
    fit.compile_model(model, 0.01, 10**6, weight_decay=0.5)
    kernel, bias = model.trainable_variables
    bias.assign(np.ones(3))
    before = kernel.numpy()
    model.optimizer.apply([tf.zeros_like(variable) for variable in (kernel, bias)])
    np.testing.assert_allclose(kernel.numpy(), before * (1 - 0.01 * 0.5), rtol=1e-5)
    np.testing.assert_array_equal(bias.numpy(), np.ones(3))


def batches(epochs: range) -> tf.data.Dataset:
    """Returns epochs of one batch each; each epoch has images of its own."""
    batch = tf.data.Dataset.from_tensors((IMAGES, LABELS, np.ones(len(LABELS), np.float32)))
    return tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(
        lambda epoch: batch.map(
            lambda image, label, weight: (image + tf.cast(epoch, tf.float32), label, weight)
        )
    )


def train(model, config, folder, **options) -> fit.Outcome:
    evaluation = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(10)
    return fit.train(
        loop(model), lambda epochs, skip: batches(epochs).skip(skip), 1, evaluation, config, folder, **options
    )


def loop(model) -> Loop:
    return Loop(model, tf.distribute.get_strategy(), settings(batch_size=len(LABELS)))


def train_with_selection(folder, **changes):
    """Trains with a selection split of other labels; returns outcome, predictions and these labels."""
    labels = np.array([0] * 12 + [1] * 9 + [2] * 3)
    selection = tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(10)
    model, config = linear_model(0.3), settings(epochs=12, early_stopping_patience=12, **changes)
    outcome = train(model, config, folder, selection=selection)
    return outcome, model.predict(IMAGES, verbose=0), labels


def test_held_out_examples_select_the_epoch_whose_weights_are_kept(tmp_path):
    outcome, probabilities, labels = train_with_selection(tmp_path)
    losses = [logs["held_out_loss"] for logs in outcome.history]
    assert outcome.best_epoch == int(np.argmin(losses)) < 11
    measured = -np.log(probabilities[np.arange(24), labels]).mean()
    assert measured == pytest.approx(min(losses), rel=1e-4)


def test_with_balanced_classes_the_epoch_with_the_best_mean_recall_is_kept(tmp_path):
    outcome, probabilities, labels = train_with_selection(tmp_path, balanced=True)
    recalls = [logs["held_out_recall"] for logs in outcome.history]
    assert recalls[outcome.best_epoch] == max(recalls)
    right = probabilities.argmax(1) == labels
    assert np.mean([right[labels == n].mean() for n in range(3)]) == pytest.approx(max(recalls))
    losses = [logs["held_out_loss"] for logs in outcome.history]
    assert outcome.best_epoch != int(np.argmin(losses))


def test_training_stops_if_held_out_examples_do_not_improve_for_the_patience(tmp_path):
    model, selection = linear_model(learning_rate=0.5), tf.data.Dataset.from_tensors((IMAGES, LABELS))
    config = settings(epochs=40, early_stopping_patience=2)
    outcome = train(model, config, tmp_path, selection=selection)
    assert len(outcome.history) == outcome.best_epoch + 3 < 40


@pytest.mark.drawn(3)
@pytest.mark.parametrize("name", ["loss", "held_out_loss"])
@pytest.mark.parametrize(
    ("losses", "reductions"),
    [
        ([1.0, 0.9, 0.8, 0.7], 0),
        ([1.0, 1.1, 0.99995], 1),  # Keras takes no gain below 0.0001 for one
        ([1.0, 1.1, 0.9, 0.95, 0.96, 1.0, 1.0], 2),
        ([1.0, 1.1, 0.9, 0.95], 0),
    ],
)
def test_the_rate_falls_to_a_tenth_where_the_loss_has_not_fallen_for_the_patience(
    tmp_path, losses, reductions, name
):
    model = linear_model()
    fit.compile_model(model, 0.02, 100, falls=False)
    config = settings(epochs=9, learning_rate=0.02, schedule="plateau", plateau_patience=2)
    # Where examples are held out, the loss of train, which falls on and on, tells nothing.
    history = [{"loss": -float(n), "val_loss": 0.0, name: loss} for n, loss in enumerate(losses)]
    checkpoint.save(checkpoint.Checkpoint(history, checkpoint.read_state(model), (), Tally()), tmp_path)
    # A training that was killed after these epochs goes on with the rate of the next one.
    rates = []
    original = Loop.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Loop, "run", lambda self, *rest: rates.append(self.learning_rate) or original(self, *rest)
        )
        train(model, config, tmp_path)
    assert rates[0] == pytest.approx(0.02 * 0.1**reductions)
    assert len(rates) == 9 - len(losses)


def test_weights_are_in_label_order_and_balanced_classes_have_equal_total_weight():
    labels, counts = ["ok", "misplaced", "damaged"], [60, 0, 20]
    assert settings(class_weights={"damaged": 2}).sample_weights(labels, counts) == [1, 1, 2]
    ok, _, doubled = settings(balanced=True, class_weights={"damaged": 2}).sample_weights(labels, counts)
    assert 2 * ok * 60 == pytest.approx(doubled * 20) == pytest.approx(80)


@pytest.mark.parametrize(
    ("limits", "steps", "epochs", "limit"),
    [
        ({}, 5, 12, ""),
        ({"min_steps": 600}, 20, 30, "min_steps"),
        ({"min_steps": 600}, 7, 36, "min_steps"),
        ({"min_steps": 600, "max_steps": 100}, 20, 5, "max_steps"),
        ({"max_steps": 100}, 500, 1, "max_steps"),
        ({"max_steps": 100, "max_steps_a_group": 8}, 20, 4, "max_steps_a_group"),
        ({"max_steps": 60, "max_steps_a_group": 8}, 20, 3, "max_steps"),
        ({"max_steps_a_group": 24}, 20, 12, ""),
    ],
)
def test_short_epochs_are_more_in_number_and_long_ones_fewer(limits, steps, epochs, limit):
    assert settings(epochs=12, **limits).count_epochs(steps, groups=10) == (epochs, limit)


def test_the_last_epochs_are_averaged(tmp_path, monkeypatch):
    model, weights = linear_model(learning_rate=0.3), []
    monkeypatch.setattr(checkpoint, "save", lambda *_: weights.append(model.get_weights()))
    outcome = train(model, settings(epochs=9), tmp_path, averaged=3)
    kernels, biases = zip(*weights[-3:], strict=True)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(kernel, np.mean(kernels, axis=0), rtol=1e-4)  # float32, in another order
    np.testing.assert_allclose(bias, np.mean(biases, axis=0), rtol=1e-4)
    # The metrics of the last epoch on eval are those of the averaged weights.
    assert outcome.averaged == 3
    measured = -np.log(model.predict(IMAGES, verbose=0)[np.arange(24), LABELS]).mean()
    assert outcome.history[-1]["val_loss"] == pytest.approx(measured, rel=1e-4)


def test_an_interrupted_training_ends_as_an_unbroken_one(tmp_path):
    """The training is interrupted within the epochs that are averaged."""
    unbroken = linear_model()
    whole = train(unbroken, settings(epochs=6), tmp_path / "whole", averaged=4)
    with die_after(epochs=3):
        train(linear_model(), settings(epochs=6), tmp_path / "cut", averaged=4)
    resumed = linear_model()
    resumed.set_weights([np.zeros_like(weight) for weight in resumed.get_weights()])
    outcome = train(resumed, settings(epochs=6), tmp_path / "cut", averaged=4)

    assert outcome.resumed_from_epoch == 3
    assert drop_times(outcome.history) == drop_times(whole.history)
    assert_same(resumed.get_weights(), unbroken.get_weights())


def test_the_last_three_epochs_are_kept_and_one_is_taken_without_training(tmp_path):
    whole = train(linear_model(), settings(epochs=6), tmp_path / "whole")
    shorter = linear_model()
    train(shorter, settings(epochs=6, checkpoint=5), tmp_path / "trained")
    checkpoint.keep_results(tmp_path / "whole", tmp_path)

    taken = linear_model()
    outcome = train(taken, settings(epochs=6, checkpoint=5), tmp_path / "checkpoints" / "whole")

    assert sorted(path.name for path in tmp_path.glob("whole/epoch-*")) == [
        *("epoch-00004.npz", "epoch-00005.npz", "epoch-00006.npz")
    ]
    assert (outcome.steps, outcome.best_epoch, len(outcome.history)) == (0, 4, 5)
    assert drop_times(outcome.history) == drop_times(whole.history[:5])
    assert_same(taken.get_weights(), shorter.get_weights())


def test_an_epoch_that_is_not_kept_is_refused_and_a_killed_training_does_not_end_at_a_chosen_one(tmp_path):
    with die_after(epochs=3):
        train(linear_model(), settings(epochs=6, checkpoint=3), tmp_path)
    with pytest.raises(UsageError, match=r"trainer\.checkpoint is 3, and the training had 6 epochs"):
        train(linear_model(), settings(epochs=6, checkpoint=3), tmp_path)


def test_an_interrupted_long_epoch_goes_on_from_its_last_checkpoint(tmp_path, monkeypatch):
    """A checkpoint is written after every three steps."""
    monkeypatch.setattr(fit, "_STEPS_AT_ONCE", 3)
    monkeypatch.setattr(fit, "CHECKPOINT_S", 0.0)
    images = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS, np.ones(24, np.float32)))
    evaluation = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(10)
    requests = []

    def train_in_steps(model, folder):
        def batches_of(epochs: range, skip: int) -> tf.data.Dataset:
            requests.append((epochs.start, skip))
            return images.batch(2).repeat(len(epochs)).skip(skip)

        steps = Loop(model, tf.distribute.get_strategy(), settings(batch_size=2))
        return fit.train(steps, batches_of, 12, evaluation, settings(epochs=2), folder)

    unbroken = linear_model()
    whole = train_in_steps(unbroken, tmp_path / "whole")
    with die_after(epochs=1, steps=6):
        train_in_steps(linear_model(), tmp_path / "cut")
    resumed = linear_model()
    outcome = train_in_steps(resumed, tmp_path / "cut")
    assert requests == [(0, 0), (0, 0), (1, 6)]
    assert drop_times(outcome.history) == drop_times(whole.history)
    assert_same(resumed.get_weights(), unbroken.get_weights())
