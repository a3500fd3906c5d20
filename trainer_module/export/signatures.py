"""The SavedModel that is shipped: the model, the Transform graph, and a signature for each kind of caller.

| signature          | argument                                            | result              |
|--------------------|-----------------------------------------------------|---------------------|
| serving_default    | examples: string [N], serialized tf.Examples        | probabilities       |
| serve_raw          | raw features by name (photos: serve_jpeg, `jpeg`)   | probabilities       |
| serve_tensors      | the model's input (photos: serve_image, `image`)    | the same, `unlike`  |
| transform_features | examples: string [N], serialized tf.Examples        | input, label int64  |

TFMA feeds serialized examples to `serving_default`, and takes the label from `transform_features`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from edgeline.records.edge import UNLIKE
from edgeline.records.training import MODEL_IDENTITY
from edgeline.records.workload import Workload
from trainer_module.export import warm_up
from trainer_module.export.identity import compute_identity
from trainer_module.workload_module import LABEL, find, find_input, find_raw_signature, name_tensor_signature

PROBABILITIES = "probabilities"


# A signature's function, the specs of its arguments, and a warm-up request of TensorProtos.
Endpoint = tuple[Callable[..., Any], dict[str, tf.TensorSpec], dict[str, Any]]


def export(
    model: keras.Model,
    transform: tft.TFTransformOutput,
    folder: str,
    workload: Workload,
    doubting: keras.Model | None = None,
) -> None:
    """Writes the SavedModel and its warm-up requests. Call it outside the scope of a strategy.

    A signature raises an error when its input has another shape or a value that is not finite. Keras's
    ExportArchive writes the model, as a Keras 3 model saved as a tf.Module makes the TFLite converter write
    wrong weights.

    Args:
        model: Goes from float32 or int32 [N, ...] to probabilities, float32 [N, classes].
        transform: Its graph becomes part of the SavedModel.
        folder: Gets the SavedModel.
        workload: Has the raw features that signatures take, and the module that names these.
        doubting: The model with the output `unlike`, which then serves tensors; None if there is none.
    """
    layer = transform.transform_features_layer()
    endpoints = _make_endpoints(model, transform, layer, workload, doubting or model)
    archive = keras.export.ExportArchive()
    archive.track(doubting or model)
    archive.track(layer)
    for name, (endpoint, specs, _) in endpoints.items():
        named = {key: tf.TensorSpec(spec.shape, spec.dtype, name=key) for key, spec in specs.items()}
        traced = tf.function(endpoint, autograph=False)
        traced.get_concrete_function(**named)
        archive.add_endpoint(name, traced)
    archive.write_out(folder, verbose=False)
    requests = {name: (endpoint, request) for name, (endpoint, _, request) in endpoints.items()}
    warm_up.write(folder, workload.name, requests)
    Path(folder, MODEL_IDENTITY).write_text(compute_identity(Path(folder)))


def _make_endpoints(
    model: keras.Model,
    transform: tft.TFTransformOutput,
    layer: keras.layers.Layer,
    workload: Workload,
    serving: keras.Model,
) -> dict[str, Endpoint]:
    """Returns each signature's endpoint by its name; `layer` is Transform's, `serving` answers tensors."""
    spec = transform.raw_feature_spec()
    feature = find_input(transform)
    stored = find(workload.module, "STORED_AS", {}).get(feature)
    shape = model.input_shape
    dtype = tf.as_dtype(model.inputs[0].dtype)
    raw_name, arguments = find_raw_signature(workload.module, workload.reads)

    def predict(inputs: tf.Tensor, network: keras.Model = model) -> dict[str, tf.Tensor]:
        inputs = tf.ensure_shape(tf.cast(inputs, dtype), shape)  # Transform has no int32
        if dtype.is_floating:
            inputs = tf.debugging.assert_all_finite(inputs, f"{feature} is not finite")
        probabilities, *unlike = tf.nest.flatten(network(inputs, training=False))
        probabilities = tf.ensure_shape(probabilities, model.output_shape)
        finite = tf.debugging.assert_all_finite(probabilities, "the probabilities are not finite")
        return {PROBABILITIES: finite, **dict(zip([UNLIKE], unlike, strict=False))}

    def transform_examples(examples: tf.Tensor, *features: str) -> dict[str, tf.Tensor]:
        return layer(tf.io.parse_example(examples, {name: spec[name] for name in features}))

    def serving_default(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return predict(transform_examples(examples, *workload.reads)[feature])

    def serve_raw(**values: tf.Tensor) -> dict[str, tf.Tensor]:
        features = {name: values[argument] for argument, name in arguments.items()}
        for name, value in features.items():
            if isinstance(spec[name], tf.io.VarLenFeature):
                features[name] = tf.sparse.from_dense(value[:, tf.newaxis])
        return predict(layer(features)[feature])

    def serve_tensors(**values: tf.Tensor) -> dict[str, tf.Tensor]:
        return predict(values[feature], serving)

    def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = transform_examples(examples, *workload.reads, LABEL)
        inputs = features[feature]
        return {feature: tf.cast(inputs, stored) if stored else inputs, LABEL: features[LABEL]}

    def make_spec(name: str) -> tf.TensorSpec:
        raw = spec[name]
        inner = () if isinstance(raw, tf.io.VarLenFeature) else raw.shape
        return tf.TensorSpec((None, *inner), raw.dtype)

    raw = {name: make_spec(name) for name in (*workload.reads, LABEL)}
    neutral = warm_up.make_neutral_features(workload.module, raw, {LABEL: workload.labels[0]})
    neutral_inputs = {name: neutral[name] for name in workload.reads}
    examples = {"examples": tf.TensorSpec((None,), tf.string)}
    tensors = tf.TensorSpec(shape, dtype)
    return {
        "serving_default": (serving_default, examples, {"examples": warm_up.serialize(neutral_inputs)}),
        raw_name: (
            serve_raw,
            {argument: raw[name] for argument, name in arguments.items()},
            {argument: neutral[name] for argument, name in arguments.items()},
        ),
        name_tensor_signature(workload.module): (
            serve_tensors,
            {feature: tensors},
            {feature: warm_up.make_neutral_tensor(tensors)},
        ),
        "transform_features": (transform_features, examples, {"examples": warm_up.serialize(neutral)}),
    }
