"""The answers of a SavedModel by one of its signatures."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

_BATCH = 64


class ServedModel:
    """A SavedModel, served by its signature for raw examples, or by another one with a single input."""

    def __init__(self, folder: str, signature: str = "serving_default") -> None:
        self._loaded = tf.saved_model.load(folder)  # the signatures alone do not keep the variables alive
        self._serve = self._loaded.signatures[signature]

    def answer(self, inputs: NDArray[Any] | Sequence[bytes]) -> dict[str, NDArray[np.float32]]:
        """Returns the model's outputs by name, float32 [n, ...], for tensors or for serialized examples."""
        ((name, spec),) = self._serve.structured_input_signature[1].items()
        batches = (inputs[start : start + _BATCH] for start in range(0, len(inputs), _BATCH))
        answers = [self._serve(**{name: tf.cast(batch, spec.dtype)}) for batch in batches]
        return {key: np.concatenate([answer[key].numpy() for answer in answers]) for key in answers[0]}

    def predict(self, inputs: NDArray[Any] | Sequence[bytes]) -> NDArray[np.float32]:
        """Returns the probabilities of `answer`, float32 [n, classes]."""
        return self.answer(inputs)["probabilities"]


def explain_mismatch(error: Exception) -> str:
    """Returns why a SavedModel cannot read an example: a feature that it lacks, or the first line."""
    text = str(error).strip()
    # TensorFlow names them after the lines of the code that reads them.
    if lacking := re.search(r"Feature: (.+) \(data type: (\w+)\) is required", text):
        return f"It reads the feature {lacking[1]} ({lacking[2]}), which these examples do not have."
    if other := re.search(r"Key: (.+?)\.\s+Data types don't match.*?Expected type: (\w+)", text, re.DOTALL):
        return f"It reads the feature {other[1]} as {other[2]}, and these examples have another type."
    feature = re.search("(?:Feature|Key): .*", text)
    return feature.group() if feature else text.partition("\n")[0]
