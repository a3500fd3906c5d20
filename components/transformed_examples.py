"""A reader of the examples of a split as the model sees them, through the Transform graph."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tfx.types import artifact_utils

from data.spans.tfrecords import format_value, list_values
from edgeline.records.shards import find_shards
from edgeline.records.workload import Workload
from trainer_module.workload_module import LABEL, input_feature, stored_dtype

_BATCH = 64
# Records that are looked through for examples of rare labels.
_MOST_READ = 20_000


@dataclass(frozen=True)
class TransformedExamples:
    """The n examples of a split."""

    inputs: NDArray[Any]  # inputs of the model, [n, ...]
    labels: NDArray[np.int64]  # [n], positions in the schema's domain
    ids: list[str]  # names of the examples
    groups: Mapping[str, Sequence[str]]  # by kind of slice, the n values
    spans: list[int]  # number of the span of each example
    group_of: list[str]  # session, machine or author of each example; empty if it has none


def read_examples(
    examples: Any,
    transform_graph_uri: str,
    split: str,
    limit: int,
    workload: Workload,
    each_label: bool = False,
) -> TransformedExamples:
    """Reads the first `limit` examples of a split, in file order, which is by digest of their content.

    With `each_label`, reads as many of each label as there are of each, as far as `_MOST_READ` records go.
    """
    import tensorflow as tf
    import tensorflow_transform as tft

    transform = tft.TFTransformOutput(transform_graph_uri)
    layer, spec = transform.transform_features_layer(), transform.raw_feature_spec()
    name = input_feature(transform)
    dtype = stored_dtype(workload.module, name)
    features = {kind: feature for kind, feature in workload.slice_features.items() if kind != "span"}
    groups: dict[str, list[str]] = {kind: [] for kind in features}
    inputs, labels, ids, spans, group_of = [], [], [], [], []
    records = open_records(artifact_utils.get_split_uri([examples], split))
    if each_label:
        chosen = _choose_of_each_label(records.take(_MOST_READ).as_numpy_iterator(), limit, workload.labels)
        records = tf.data.Dataset.from_tensor_slices(chosen)
    for batch in records.take(limit).batch(_BATCH):
        transformed = layer(tf.io.parse_example(batch, spec))
        tensor = transformed[name].numpy()
        inputs.append(tensor.astype(dtype) if dtype else tensor)
        labels.append(transformed[LABEL].numpy())
        for record in batch.numpy():
            raw = tf.train.Example.FromString(record).features.feature
            ids.append(raw[workload.id].bytes_list.value[0].decode())
            spans.append(raw["span"].int64_list.value[0])
            group_of.append(format_value(next(iter(list_values(raw[workload.group])), "")))
            for kind, feature in features.items():
                groups[kind].append(format_value(next(iter(list_values(raw[feature])), "")))
    stacked = np.concatenate(inputs), np.concatenate(labels)
    return TransformedExamples(*stacked, ids, groups, spans, group_of)


def _choose_of_each_label(records: Iterable[bytes], limit: int, labels: Sequence[str]) -> list[bytes]:
    """Returns `limit` records, or all: as many of each label, filled up with others, in file order."""
    from tensorflow.core.example.example_pb2 import Example

    share, counts = -(-limit // len(labels)), dict.fromkeys(labels, 0)
    early: list[tuple[int, int, bytes]] = []  # with the count of their label so far
    late: list[tuple[int, int, bytes]] = []
    for number, record in enumerate(records):
        label = format_value(
            next(iter(list_values(Example.FromString(record).features.feature["label"])), "")
        )
        counts[label] = counts.get(label, 0) + 1
        if counts[label] <= share:
            early.append((counts[label], number, record))
        elif len(late) < limit:
            late.append((counts[label], number, record))
        if min(counts.values()) >= share:
            break
    # The first of each label come first, so that the cut takes the last of the labels that have most.
    chosen = (sorted(early) + late)[:limit]
    return [record for _, _, record in sorted(chosen, key=lambda each: each[1])]


def read_raw(
    examples: Any, split: str, ids: Collection[str], workload: Workload
) -> dict[str, dict[str, Any]]:
    """Reads the raw features of a few examples of a split by id, each feature as a list of its values."""
    import tensorflow as tf

    by_id: dict[str, dict[str, Any]] = {}
    for record in open_records(artifact_utils.get_split_uri([examples], split)).as_numpy_iterator():
        if len(by_id) == len(ids):
            break
        features = tf.train.Example.FromString(record).features.feature
        id = features[workload.id].bytes_list.value[0].decode()
        if id in ids:
            by_id[id] = {name: list_values(feature) for name, feature in features.items()}
    return by_id


def open_records(folder: str) -> Any:
    """Returns the serialized examples in the folder of a split, in file order, as a `tf.data.Dataset`."""
    from trainer_module.training.input_pipeline import read_records

    return read_records(find_shards([f"{folder}/*"]))


def read_label(features: Mapping[str, Any], workload: Workload) -> int:
    """Returns the position of an example's label in the schema's domain, from its raw features."""
    return workload.labels.index(format_value(list_values(features["label"])[0]))
