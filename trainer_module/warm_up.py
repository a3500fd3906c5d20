"""The requests with which TF Serving warms up a SavedModel before others reach it: one for each signature.

TF Serving sends them to every version that it loads (TensorFlow's guide to serving, "SavedModel Warmup"; at
most 1,000). They are made of neutral values, never of anybody's data, and are the same bytes each time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from trainer_module.workload_module import load

REQUESTS = "assets.extra/tf_serving_warmup_requests"

_LOG = logging.getLogger(__name__)


def neutral_features(
    module: str, specs: Mapping[str, tf.TensorSpec], values: Mapping[str, Any]
) -> dict[str, tf.TensorProto]:
    """One example of raw features: of `values`, of what the workload's module has, or of words and zeros."""
    values = {**getattr(load(module), "neutral_features", dict)(), **values}
    return {name: neutral(spec, values.get(name)) for name, spec in specs.items()}


def neutral(spec: tf.TensorSpec, value: Any = None) -> tf.TensorProto:
    """A batch of one, of which every element is `value`; a word or zero where there is none."""
    if value is None:
        value = "neutral" if spec.dtype == tf.string else 0
    # One value stands for all: zeros of a photo's size would take 600 kB in each release.
    return tf.make_tensor_proto(value, spec.dtype, [size or 1 for size in spec.shape])


def serialized(features: Mapping[str, tf.TensorProto]) -> tf.TensorProto:
    """The raw features of one example as a serialized tf.Example, string [1]."""
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

    TF Serving does not load a model of which a request fails, so each is tried; one that fails is left out,
    and logged, since then the workload's module has to name values that suit it.

    Args:
        folder: The SavedModel's.
        model: Its name on a server.
        requests: By signature, what answers it, and its arguments.
    """
    path = Path(folder, REQUESTS)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as records:
        for signature, (endpoint, arguments) in requests.items():
            try:
                endpoint(**{name: tf.constant(tf.make_ndarray(value)) for name, value in arguments.items()})
            except Exception as error:  # of somebody's own module; a training is not to be lost for it
                _LOG.warning(
                    "No warm-up request for the signature %s, which refuses neutral values (%s): the first "
                    "caller of a server waits. `neutral_features` of the workload's module can name others.",
                    signature,
                    str(error)[:300],
                )
                continue
            request = predict_pb2.PredictRequest(inputs=arguments)
            request.model_spec.name, request.model_spec.signature_name = model, signature
            log = prediction_log_pb2.PredictionLog(predict_log={"request": request})
            records.write(log.SerializeToString(deterministic=True))
