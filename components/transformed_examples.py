"""A reader of the examples of a split as the model sees them, through the Transform graph."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from numpy.typing import NDArray
from tfx.types import artifact_utils

from edgeline.records.features import list_values
from edgeline.records.shards import find_shards
from edgeline.records.workload import Workload
from trainer_module.raw_features import first_text
from trainer_module.training.input_pipeline import read_records
from trainer_module.workload_module import LABEL, find, find_input

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

    def get_slices(self, number: int) -> dict[str, str]:
        """Returns the slices of an example by kind, but for its class."""
        return {kind: names[number] for kind, names in self.groups.items() if kind != "class"}


def read_examples(
    examples: Any,
    transform_graph_uri: str,
    split: str,
    limit: int,
    workload: Workload,
    each_label: bool = False,
) -> TransformedExamples:
    """Reads the first `limit` examples of a split, in file order, which is by digest of their content.

    Args:
        examples: The artifact, written by ExampleGen.
        transform_graph_uri: The folder of the graph, written by Transform.
        split: Its name, `train` or `eval`.
        limit: The most examples, for a bound on memory; fewer if the split has fewer.
        workload: Names the features of id, group and slices.
        each_label: Reads as many of each label as there are of each, as far as `_MOST_READ` records go.
    """
    transform = tft.TFTransformOutput(transform_graph_uri)
    layer = transform.transform_features_layer()
    spec = transform.raw_feature_spec()
    name = find_input(transform)
    dtype = find(workload.module, "STORED_AS", {}).get(name)
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
            ids.append(first_text(raw[workload.id]))
            spans.append(raw["span"].int64_list.value[0])
            group_of.append(first_text(raw[workload.group]))
            for kind, feature in features.items():
                groups[kind].append(first_text(raw[feature]))
    stacked = np.concatenate(inputs), np.concatenate(labels)
    return TransformedExamples(*stacked, ids, groups, spans, group_of)


def _choose_of_each_label(records: Iterable[bytes], limit: int, labels: Sequence[str]) -> list[bytes]:
    """Returns `limit` records, or all: as many of each label, filled up with others, in file order."""
    share = -(-limit // len(labels))
    counts = dict.fromkeys(labels, 0)
    early: list[tuple[int, int, bytes]] = []  # with the count of their label so far
    late: list[tuple[int, int, bytes]] = []
    for number, record in enumerate(records):
        label = first_text(tf.train.Example.FromString(record).features.feature["label"])
        counts[label] = counts.get(label, 0) + 1
        if counts[label] <= share:
            early.append((counts[label], number, record))
        elif len(late) < limit:
            late.append((counts[label], number, record))
        if min(counts.values()) >= share:
            break
    # The first of each label come first, so that the cut takes the last of the labels that have most.
    chosen = (sorted(early) + late)[:limit]
    return [record for _, _, record in sorted(chosen, key=lambda item: item[1])]


def read_raw(
    examples: Any, split: str, ids: Collection[str], workload: Workload
) -> dict[str, dict[str, Any]]:
    """Reads the raw features of a few examples of a split by id, each feature as a list of its values.

    Args:
        examples: The artifact, written by ExampleGen.
        split: The name of the split that all of them are in.
        ids: The split is read up to the last of them; one that it lacks is left out.
        workload: Names the feature of the id.
    """
    by_id: dict[str, dict[str, Any]] = {}
    for features in read_raw_features(artifact_utils.get_split_uri([examples], split)):
        if len(by_id) == len(ids):
            break
        id = first_text(features[workload.id])
        if id in ids:
            by_id[id] = {name: list_values(feature) for name, feature in features.items()}
    return by_id


def read_raw_features(folder: str) -> Iterator[Mapping[str, Any]]:
    """Yields the raw features of each example in the folder of a split, in file order.

    The order is by digest, so the first ones are a random sample.
    """
    for record in open_records(folder).as_numpy_iterator():
        yield tf.train.Example.FromString(record).features.feature


def open_records(folder: str) -> Any:
    """Returns the serialized examples in the folder of a split, in file order, as a `tf.data.Dataset`."""
    return read_records(find_shards([f"{folder}/*"]))


def read_label(features: Mapping[str, Any], workload: Workload) -> int:
    """Returns the position of an example's label in the schema's domain, from its raw features."""
    return workload.labels.index(first_text(features["label"]))
