"""The workload of tables and sensors: the Transform step of a row or a window of rows, and the model.

Every number becomes two channels, its z-score and whether it is missing, and with `model.buckets` a third,
its rank among the training data; every category becomes a one-hot of its vocabulary. Means, deviations,
ranges, quantiles and vocabularies are those of the train split, and are part of the graph. Numbers outside of
the range are clipped to it, since no training has shown what they mean. A number with values far from all
others has the median and the deviation that its quartiles tell in place of its mean and deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from edgeline.errors import UsageError
from edgeline.records.columns import MISSING, Column
from trainer_module.raw_features import label_ids, one_string_each
from trainer_module.workload_module import LABEL
from trainer_module.workloads.teacher import teach as teach

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from edgeline.records.workload import Workload
    from trainer_module.settings import ModelSettings

ROW = "row"
# A spike must not use up the int8 steps of all other values: 256 steps cover 12 deviations.
CLIP = 6.0
# The quartiles of a normal distribution are 1.349 deviations apart. A deviation of more than eight times what
# they tell comes from values far from all others.
_QUARTERS, _QUARTILES_APART, _FAR = 4, 1.349, 8


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Turns raw features into the model's features, as `WorkloadModule` describes.

    Numbers are dense float32 [N, readings], NaN if missing; categories and `label` are strings. It returns
    `row`, float32 [N, readings, channels], `label`, and for `edge_contract` the statistics of the data, the
    same in every example: `_means`, `_deviations`, `_lows` and `_highs`, float32 [N, numbers], and
    `_boundaries`, float32 [N, numbers, buckets - 1].
    """
    import tensorflow as tf
    import tensorflow_transform as tft

    numbers, categories = custom_config["numbers"], custom_config["categories"]
    channels, learned = [], {}
    readings = 1
    if numbers:
        values = tf.stack([_shape_number(name, inputs[name]) for name in numbers], axis=-1)
        readings = values.shape[1]
        rows = tf.reshape(tf.cast(values, tf.float64), [-1, len(numbers)])  # analyzers leave NaN out
        # The analyzers return a scalar for a single number. A variance may be too large or small for float32.
        mean, deviation = (
            tf.reshape(_replace_nan(analyzed), [len(numbers)])
            for analyzed in (tft.mean(rows, False), tf.sqrt(tft.var(rows, False)))
        )
        buckets = custom_config["buckets"]
        boundaries = _compute_quantiles(rows, buckets or _QUARTERS)
        mean, deviation = _leave_out_far(mean, deviation, boundaries)
        missing = tf.math.is_nan(values)
        # The rows of a day to come may have numbers that no training example had. One analyzer finds both
        # ends: each takes seconds, however few the rows.
        both = tf.concat([-rows, rows], axis=1)
        ends = tft.max(tf.where(tf.math.is_nan(both), tf.constant(float("-inf"), tf.float64), both), False)
        low, high = (_replace_nan(end) for end in (-ends[: len(numbers)], ends[len(numbers) :]))
        # The analyzers read unclipped values: TFX 1.16 fails on analyzers that need results of others.
        clipped = tf.clip_by_value(values, low, high)
        scores = tf.clip_by_value((clipped - mean) / deviation, -CLIP, CLIP)
        channels += [tf.where(missing, 0.0, scores), tf.cast(missing, tf.float32)]
        learned = {"_means": mean, "_deviations": deviation, "_lows": low, "_highs": high}
        if buckets:
            above = tf.cast(clipped[..., tf.newaxis] >= boundaries, tf.float32)
            rank = tf.reduce_sum(above, axis=-1) * (2 / (buckets - 1)) - 1
            channels.append(tf.where(missing, 0.0, rank))
            learned["_boundaries"] = boundaries
        # The batch size is that of the numbers, so that edge_contract can do without categories.
        batch_size = tf.shape(values)[0]
        learned = {name: tf.repeat(value[tf.newaxis], batch_size, axis=0) for name, value in learned.items()}
    for index, name in enumerate(categories):
        size = custom_config["vocabulary"]
        ids = tft.compute_and_apply_vocabulary(
            one_string_each(inputs[name]), top_k=size, vocab_filename=_name_vocabulary_file(index)
        )
        one_hot = tf.one_hot(ids + 1, size + 1)  # the first is for values outside the vocabulary
        channels.append(tf.repeat(one_hot[:, tf.newaxis], readings, axis=1))
    row = tf.concat(channels, axis=-1)
    labels = label_ids(one_string_each(inputs[LABEL]), custom_config["labels"])
    return {ROW: row, LABEL: labels, **learned}


def build_model(
    labels: Sequence[str], settings: ModelSettings, transform: tft.TFTransformOutput
) -> keras.Model:
    """Builds the classifier: float32 [N, readings, channels] to probabilities, float32 [N, labels].

    Three dense layers read a single row, three convolutions along the time read a window: integers throughout
    once quantised, and only operations that TensorFlow Lite Micro has.

    A row is read by `model.members` networks that share the weights of these layers and differ in what each
    multiplies their inputs and outputs by (TabM: Gorishniy, Kotelnikov and Babenko, 2025, arXiv:2410.24210).
    In training each member answers by itself, [N, members, labels], and otherwise their mean.

    Args:
        labels: Only their number counts.
        settings: Have the width, and the members that read a row.
        transform: Has the numbers of readings and channels.
    """
    import keras
    from keras import layers

    readings, channels = transform.transformed_feature_spec()[ROW].shape
    row = keras.Input((readings, channels), name=ROW)
    normalized = partial(layers.BatchNormalization, momentum=0.9, synchronized=True)  # across replicas
    last = partial(layers.Dense, len(labels), activation="softmax", dtype="float32")
    if readings == 1:
        return keras.Model(row, _ask_members(row, settings, normalized, last))
    x = layers.Reshape((readings, 1, channels))(row)
    for filters, stride in ((settings.hidden // 2, 1), (settings.hidden // 2, 2), (settings.hidden, 2)):
        x = layers.Conv2D(filters, (3, 1), strides=(stride, 1), padding="same", use_bias=False)(x)
        x = layers.ReLU()(normalized()(x))
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    x = layers.Dense(settings.hidden // 2, activation="relu")(x)
    return keras.Model(row, last(name="probabilities")(x))


def _ask_members(
    row: keras.KerasTensor,
    settings: ModelSettings,
    normalized: Callable[..., keras.Layer],
    last: Callable[..., keras.Layer],
) -> keras.KerasTensor:
    """Returns the members' answers to a row, [N, 1, channels]."""
    from keras import layers

    from trainer_module.networks.members import MeanOfMembers, Scale

    x = Scale(settings.members, signs=True)(row)
    for _ in range(3):
        x = layers.Dense(settings.hidden, use_bias=False)(x)
        x = layers.Reshape((settings.members * settings.hidden,))(x)
        x = layers.Dropout(0.2)(layers.ReLU()(normalized()(x)))  # each member has its own statistics
        x = layers.Reshape((settings.members, settings.hidden))(x)
    return MeanOfMembers(name="probabilities", dtype="float32")(last()(Scale(settings.members)(x)))


def _describe_column(column: Column) -> dict[str, Any]:
    """Returns a column as a contract has it, with its own texts for missing numbers if there are any."""
    described = asdict(column)
    if not column.missing:
        del described["missing"]
    return described


def edge_contract(
    transform: tft.TFTransformOutput, settings: ModelSettings, workload: Workload
) -> dict[str, Any]:
    """Returns preprocessing.json, by which `edgeline/edge/contracts/row.py` makes `row` on a device.

    Args:
        transform: Has the statistics and the vocabularies of the train split.
        settings: Have the largest size of a vocabulary.
        workload: Has the columns, and how their cells are read.
    """
    import tensorflow as tf

    readings, channels = transform.transformed_feature_spec()[ROW].shape
    raw = {name: tf.zeros([1, readings]) for name in workload.numbers}
    learned = transform.transform_features_layer()(raw) if raw else {}
    constants = {name: value.numpy()[0] for name, value in learned.items() if name.startswith("_")}
    keys = ("mean", "deviation", "low", "high")
    statistics = {key: constants.get(f"_{key}s", ()) for key in keys}
    numbers: list[dict[str, Any]] = [
        {"name": name, "column": _describe_column(workload.column(name))}
        | dict(zip(statistics, map(float, values), strict=True))
        for name, *values in zip(workload.numbers, *statistics.values(), strict=True)
    ]
    for number, boundaries in zip(numbers, constants.get("_boundaries", ()), strict=False):
        number["boundaries"] = boundaries.tolist()
    categories = []
    for index, name in enumerate(workload.categories):
        values = transform.vocabulary_by_name(_name_vocabulary_file(index))
        categories.append({"name": name, "vocabulary": [value.decode() for value in values]})
    # A reader that knows no texts for a missing number of a column would take them for readings.
    version = 4 if any("missing" in number["column"] for number in numbers) else 3
    return {
        "version": version,
        "kind": "row",
        "readings": readings,
        "channels": channels,
        "clip": CLIP,
        "missing": sorted(MISSING),
        "numbers": numbers,
        "categories": categories,
        "vocabulary_size": settings.vocabulary,
        "input_dtype": "float32",
    }


def _shape_number(name: str, feature: Any) -> tf.Tensor:
    """Returns a number as [N, readings]."""
    import tensorflow as tf

    if isinstance(feature, tf.SparseTensor):
        raise UsageError(
            f"The schema gives the feature {name} no fixed shape.",
            "The model needs a fixed number of readings in each row.",
            "Give it `shape { dim { size: N } }` for N readings, and `presence { min_fraction: 1 }`.",
        )
    return feature if feature.shape.rank == 2 else feature[:, tf.newaxis]


def _replace_nan(value: tf.Tensor) -> tf.Tensor:
    """Returns a statistic as float32; 0 if there were no numbers to compute it from."""
    import tensorflow as tf

    return tf.where(tf.math.is_finite(value), tf.cast(value, tf.float32), 0.0)


def _compute_quantiles(rows: tf.Tensor, buckets: int) -> tf.Tensor:
    """Returns quantiles without NaN, float32 [numbers, buckets - 1]; one analyzer finds those of all."""
    import tensorflow as tf
    import tensorflow_transform as tft

    # A zero of no weight is added, since the analyzer finds no quantiles of a number that is always missing.
    numbers = rows.shape[1]
    weights = tf.concat([tf.ones(tf.shape(rows)[:1]), [1e-6]], 0)
    rows = tf.concat([rows, tf.zeros([1, numbers], rows.dtype)], 0)
    quantiles = tft.quantiles(rows, buckets, epsilon=0.01, weights=weights, reduce_instance_dims=False)
    return tf.reshape(_replace_nan(quantiles), [numbers, buckets - 1])


def _leave_out_far(
    mean: tf.Tensor, deviation: tf.Tensor, quantiles: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns means and deviations, float32 [numbers], by quartiles where values are far from all others.

    By a deviation that is made by the -9999 which a logger writes for no reading, all readings are alike.
    """
    import tensorflow as tf

    quarter = (quantiles.shape[1] + 1) // 4
    low, median, high = (quantiles[:, part * quarter - 1] for part in (1, 2, 3))
    spread = (high - low) / _QUARTILES_APART
    has_far = (deviation > _FAR * spread) & (spread > 0)
    deviation = tf.where(has_far, spread, deviation)
    return tf.where(has_far, median, mean), tf.where(deviation > 0, deviation, tf.ones_like(deviation))


def _name_vocabulary_file(index: int) -> str:
    """Returns the file name of a category's vocabulary, as a column's name may not be a valid file name."""
    return f"category_{index}"
