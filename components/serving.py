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


def explain_mismatch(error: Exception) -> str:
    """Returns the feature that an example lacks for a SavedModel that cannot read it, or the first line."""
    text = str(error).strip()
    # TensorFlow names it after the lines of the code that reads it.
    feature = re.search("(?:Feature|Key): .*", text)
    return feature.group() if feature else text.partition("\n")[0]
