import keras
import numpy as np
import pytest

from trainer_module.training.calibration import can_scale, divide_logits, fit_temperature, set_temperature


def make_overconfident(factor, examples=4000, classes=4, seed=0):
    """Returns probabilities whose logits are too large by a factor, and labels drawn from the right ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (examples, classes))
    right = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(classes, p=p) for p in right])
    return divide_logits(right, 1 / factor), labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_the_temperature_corrects_answers_that_are_too_sure_or_too_unsure_and_changes_none(factor):
    probabilities, labels = make_overconfident(factor)
    # With 4,000 answers the logarithm of the temperature has a standard error of about 0.03.
    assert fit_temperature(probabilities, labels) == pytest.approx(factor, rel=0.1)
    softened = divide_logits(probabilities, factor)
    assert (softened.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    np.testing.assert_allclose(softened.sum(axis=1), 1.0)


def test_few_answers_that_are_all_right_do_not_become_certain():
    probabilities = np.array([[0.7, 0.3]] * 5)
    assert 0.3 < fit_temperature(probabilities, np.zeros(5, int)) < 1.0


@pytest.mark.parametrize("last", ["dense", "softmax"])
def test_a_model_divides_its_logits(last):
    inputs = keras.Input((3,))
    if last == "dense":
        outputs = keras.layers.Dense(4, "softmax")(inputs)
    else:
        outputs = keras.layers.Softmax()(keras.layers.Dense(4)(inputs))
    model, rows = keras.Model(inputs, outputs), np.random.default_rng(0).normal(0, 3, (50, 3))
    assert can_scale(model)
    before = model.predict(rows, verbose=0)
    after = set_temperature(model, 2.0).predict(rows, verbose=0)
    np.testing.assert_allclose(after, divide_logits(before, 2.0), atol=1e-6)  # float32


def test_a_model_without_a_softmax_has_no_logits_to_divide():
    inputs = keras.Input((3,))
    assert not can_scale(keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(inputs)))
