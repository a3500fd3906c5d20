"""Temperature scaling: makes the model's probabilities as high as it is right.

Guo and others (2017, arXiv:1706.04599) divide the logits by one number, which changes no answer.
"""

import keras
import numpy as np

from trainer_module.training import input_pipeline
from trainer_module.training.input_pipeline import Split

# Temperatures that are tried, and the deviation of their logarithm before any answer is seen: from few
# answers, all of them right, the best would be 0.
_LOG_TEMPERATURES = np.linspace(-2.0, 2.0, 201)
_LOG_DEVIATION = 0.7
_SMALLEST = 1e-9


def predict(model: keras.Model, split: Split, batch_size: int) -> np.ndarray:
    """Returns the probabilities for each example of a split on the first replica, float32 [N, classes].

    `model.predict` would share each batch among the replicas, also one that has fewer examples than there are
    replicas, and would wait for the other workers.

    Args:
        model: One that returns features, [N, features], gives these instead.
        split: The examples that are shown are answered, in the order of the files.
        batch_size: For speed and memory alone.
    """
    batches = input_pipeline.make_eval_batches(split, batch_size)
    return np.concatenate([model(inputs, training=False).numpy() for inputs, _ in batches])


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature by which the answers are most likely, 0.14 to 7.4.

    `probabilities` is float [N, classes], for examples that were not used to choose the model; `labels` are
    their label ids, [N].
    """
    costs = []
    for value in _LOG_TEMPERATURES:
        of_label = divide_logits(probabilities, np.exp(value))[np.arange(len(labels)), labels]
        costs.append((value / _LOG_DEVIATION) ** 2 / 2 - np.log(np.maximum(of_label, _SMALLEST)).sum())
    return float(np.exp(_LOG_TEMPERATURES[np.argmin(costs)]))


def divide_logits(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Returns the probabilities of the logits divided by a temperature, [N, classes]."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST)) / temperature
    scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)


def can_scale(model: keras.Model) -> bool:
    """Tells whether a model ends with a softmax, so that its logits can be divided by a temperature."""
    last = model.layers[-1]
    is_dense = isinstance(last, keras.layers.Dense) and last.activation is keras.activations.softmax
    return is_dense or isinstance(last, keras.layers.Softmax)


def set_temperature(model: keras.Model, temperature: float) -> keras.Model:
    """Returns the model, which `can_scale`, with its logits divided by a temperature."""
    last = model.layers[-1]
    if isinstance(last, keras.layers.Dense):
        last.set_weights([weights / temperature for weights in last.get_weights()])
        return model
    logits = keras.layers.Rescaling(1 / temperature, dtype="float32")(last.input)
    return keras.Model(model.input, keras.layers.Softmax(name=last.name, dtype="float32")(logits))
