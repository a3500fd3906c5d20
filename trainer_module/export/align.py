"""Gives a SavedModel the label ids of another schema, so that it can be compared with one of today."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from trainer_module.export.signatures import PROBABILITIES
from trainer_module.raw_features import label_ids, one_string_each
from trainer_module.workload_module import LABEL


def align_labels(folder: Path, own: Sequence[str], labels: Sequence[str]) -> None:
    """Rewrites a SavedModel of `export`, whose labels are `own`, as one with `labels`, matched by name.

    A label that it does not know has the probability 0. Those that are gone come after `labels`: an answer
    that is one of them is wrong, and not another's.
    The signatures that an evaluation calls stay, `serving_default` and `transform_features`.

    Args:
        folder: The SavedModel, which is replaced.
        own: In the order of the model's probabilities.
        labels: Those of today, in the order of their ids.
    """
    module = tf.Module()
    module.model = tf.saved_model.load(str(folder))
    signatures = module.model.signatures
    # After the model's own probabilities comes a 0.
    positions = [own.index(label) if label in own else len(own) for label in labels]
    positions += [position for position, label in enumerate(own) if label not in labels]
    spec = [tf.TensorSpec((None,), tf.string, name="examples")]

    @tf.function(input_signature=spec, autograph=False)
    def serve(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = signatures["serving_default"](examples=examples)[PROBABILITIES]
        return {PROBABILITIES: tf.gather(tf.pad(probabilities, [[0, 0], [0, 1]]), positions, axis=1)}

    @tf.function(input_signature=spec, autograph=False)
    def transform(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        raw = tf.io.parse_example(examples, {LABEL: tf.io.VarLenFeature(tf.string)})[LABEL]
        features = signatures["transform_features"](examples=examples)
        return {**features, LABEL: label_ids(one_string_each(raw), labels)}

    aligned = folder.with_name(f"{folder.name}-aligned")
    tf.saved_model.save(module, str(aligned), {"serving_default": serve, "transform_features": transform})
    shutil.rmtree(folder)
    aligned.rename(folder)
