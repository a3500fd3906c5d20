"""Warm-up requests, which TF Serving runs on a SavedModel before it serves clients: one per signature.

TF Serving sends them to every version that it loads (TensorFlow's guide to serving, "SavedModel Warmup"; at
most 1,000). They have neutral values, never anybody's data, and are the same bytes each time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from trainer_module.workload_module import find

REQUESTS = "assets.extra/tf_serving_warmup_requests"

_LOG = logging.getLogger(__name__)


def make_neutral_features(
    module: str, specs: Mapping[str, tf.TensorSpec], values: Mapping[str, Any]
) -> dict[str, tf.TensorProto]:
    """Makes raw features of one example from `values`, the workload's module, or else words and zeros.

    Args:
        module: May define `neutral_features`.
        specs: Shape, [None, ...], and dtype of each feature to make.
        values: Go before those of the module; a label has to be one of the schema's.
    """
    values = {**find(module, "neutral_features", dict)(), **values}
    return {name: make_neutral_tensor(spec, values.get(name)) for name, spec in specs.items()}


def make_neutral_tensor(spec: tf.TensorSpec, value: Any = None) -> tf.TensorProto:
    """Makes a batch of one in which every element is `value`, by default a word or zero."""
    if value is None:
        value = "neutral" if spec.dtype == tf.string else 0
    # The proto stores a single value: zeros of a photo's size would take 600 kB in each release.
    return tf.make_tensor_proto(value, spec.dtype, [size or 1 for size in spec.shape])


def serialize(features: Mapping[str, tf.TensorProto]) -> tf.TensorProto:
    """Serializes the raw features of one example as a tf.Example, string [1]."""
    lists = {tf.string: "bytes_list", tf.float32: "float_list", tf.int64: "int64_list"}
    example = tf.train.Example()
    for name, tensor in features.items():
        values = getattr(example.features.feature[name], lists[tf.as_dtype(tensor.dtype)]).value
        values.extend(tf.make_ndarray(tensor).ravel().tolist())
    return tf.make_tensor_proto([example.SerializeToString(deterministic=True)])


def write(
    folder: str, model: str, requests: Mapping[str, tuple[Callable[..., Any], Mapping[str, tf.TensorProto]]]
) -> None:
    """Writes the requests into a SavedModel.

    TF Serving does not load a model if one of its requests fails, so each is tried first; one that fails is
    left out and logged, as the workload's module then has to name suitable values.

    Args:
        folder: The SavedModel.
        model: Its name on a server.
        requests: The function and the arguments of each signature, by its name.
    """
    path = Path(folder, REQUESTS)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as records:
        for signature, (endpoint, arguments) in requests.items():
            try:
                endpoint(**{name: tf.constant(tf.make_ndarray(value)) for name, value in arguments.items()})
            except Exception as error:  # raised by a user's own module, which must not cost a training
                _LOG.warning(
                    "No warm-up request for the signature %s, which refuses neutral values (%s): a server's "
                    "first answer is slow. Return other values from `neutral_features` of the module.",
                    signature,
                    str(error)[:300],
                )
                continue
            request = predict_pb2.PredictRequest(inputs=arguments)
            request.model_spec.name, request.model_spec.signature_name = model, signature
            log = prediction_log_pb2.PredictionLog(predict_log={"request": request})
            records.write(log.SerializeToString(deterministic=True))
