"""Photos of a split as the model sees them: read from Examples, through the Transform graph."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tfx.types import artifact_utils

_BATCH = 64


@dataclass(frozen=True)
class TransformedPhotos:
    """Photos of a split.

    Attributes:
        images: uint8 [n, H, W, C].
        labels: int64 [n], positions in the schema's domain.
        groups: For each of `label`, `lane_id` and `photo_id` the n values.
        spans: The number of the span that each photo came with, n values.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: dict[str, list[str]]
    spans: list[int]


def read_photos(examples: Any, transform_graph_uri: str, split: str, limit: int) -> TransformedPhotos:
    """Reads the first `limit` photos of a split, in file order, which is by digest of their pixels.

    Args:
        examples: The Examples artifact.
        transform_graph_uri: Folder of the TransformGraph artifact.
        split: `train` or `eval`.
        limit: Most photos to read.
    """
    import tensorflow as tf
    import tensorflow_transform as tft

    transform = tft.TFTransformOutput(transform_graph_uri)
    layer, spec = transform.transform_features_layer(), transform.raw_feature_spec()
    records = _records(examples, split).take(limit).batch(_BATCH)
    images, labels = [], []
    spans: list[int] = []
    groups: dict[str, list[str]] = {"label": [], "lane_id": [], "photo_id": []}
    for batch in records:
        transformed = layer(tf.io.parse_example(batch, spec))
        images.append(transformed["image"].numpy().astype(np.uint8))
        labels.append(transformed["label"].numpy())
        for example in map(tf.train.Example.FromString, batch.numpy()):
            for name, values in groups.items():
                values.append(example.features.feature[name].bytes_list.value[0].decode())
            spans.append(example.features.feature["span"].int64_list.value[0])
    return TransformedPhotos(np.concatenate(images), np.concatenate(labels), groups, spans)


def read_jpegs(examples: Any, split: str, photo_ids: Collection[str]) -> dict[str, bytes]:
    """The JPEG bytes of a few photos of a split, by `photo_id`, as ingest kept them."""
    import tensorflow as tf

    found: dict[str, bytes] = {}
    for record in _records(examples, split).as_numpy_iterator():
        if len(found) == len(photo_ids):
            break
        features = tf.train.Example.FromString(record).features.feature
        photo_id = features["photo_id"].bytes_list.value[0].decode()
        if photo_id in photo_ids:
            found[photo_id] = features["photo"].bytes_list.value[0]
    return found


def _records(examples: Any, split: str) -> Any:
    """The serialized examples of a split, in file order, as a `tf.data.Dataset`."""
    import tensorflow as tf

    folder = artifact_utils.get_split_uri([examples], split)
    files = sorted(str(path) for path in Path(folder).glob("data_tfrecord-*"))
    return tf.data.TFRecordDataset(files, compression_type="GZIP")
