"""Permutation importance: how much worse the model is when one column of the eval examples is shuffled.

This is measured on the SavedModel with its preprocessing, column by column (Breiman, 2001: Random Forests,
section 10). Columns that say the same stand in for one another, and each of them then looks unimportant.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.serving import ServedModel
from components.transformed_examples import open_records, read_label
from edgeline.records.evaluation import Importance
from edgeline.records.workload import Workload

# Shuffles of each column, and limits that keep this to seconds.
_SHUFFLES, _MOST_EXAMPLES, _MOST_COLUMNS = 3, 1_000, 200
_SEED = 20


def measure_importance(saved_model: str, folder: str, workload: Workload) -> tuple[Importance, ...]:
    """Measures each column that a table's model reads, on a sample of the split in `folder`.

    Args:
        saved_model: The folder of the SavedModel.
        folder: The folder of the split; the first 1,000 examples, a random sample, are measured on.
        workload: Its columns, but those that the model does not read or that are `unmeasured`.

    Returns:
        The importance of each column, the largest first; nothing for fewer than two columns, or over 200.
    """
    columns = [name for name in (*workload.numbers, *workload.categories) if name in workload.reads]
    columns = [name for name in columns if name not in workload.unmeasured]
    if not 2 <= len(columns) <= _MOST_COLUMNS:
        return ()
    model = ServedModel(saved_model)

    def predict(examples: Sequence[Any]) -> NDArray[np.float32]:
        return model.predict([example.SerializeToString() for example in examples])

    records = islice(open_records(folder).as_numpy_iterator(), _MOST_EXAMPLES)
    examples = [tf.train.Example.FromString(record) for record in records]
    features = [example.features.feature for example in examples]
    labels = np.array([read_label(feature, workload) for feature in features])
    before = predict(examples)
    answers = before.argmax(1)
    importances = []
    random = np.random.default_rng(_SEED)
    for column in columns:
        values = [tf.train.Feature.FromString(feature[column].SerializeToString()) for feature in features]
        predicted = []
        for _ in range(_SHUFFLES):
            for feature, number in zip(features, random.permutation(len(values)), strict=True):
                feature[column].CopyFrom(values[number])
            predicted.append(predict(examples))
        for feature, value in zip(features, values, strict=True):
            feature[column].CopyFrom(value)
        shuffled = np.stack(predicted)
        drop = (answers == labels).mean() - (shuffled.argmax(2) == labels).mean()
        changed = (shuffled.argmax(2) != answers).mean()
        # NaN differs from any number, and a record has no place for it.
        largest = np.nan_to_num(np.abs(shuffled - before), nan=1.0).max()
        importances.append(Importance(column, float(drop), float(changed), float(largest)))
    return tuple(sorted(importances, key=lambda item: (-item.drop, -item.changed)))
