"""The SavedModel that is shipped: the model, the Transform graph, and a signature for each kind of caller.

| signature          | argument                                     | result                    |
|--------------------|----------------------------------------------|---------------------------|
| serving_default    | examples: string [N], serialized tf.Examples | probabilities             |
| serve_jpeg         | jpeg: string [N], JPEG files                 | probabilities             |
| serve_image        | image: float32 [N, H, W, C] in 0..255        | probabilities             |
| transform_features | examples: string [N], serialized tf.Examples | image uint8, label int64  |

TFMA feeds serialized examples to `serving_default`, and takes the label from `transform_features`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer_module import photos

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

PROBABILITIES = "probabilities"


def export(model: keras.Model, transform: tft.TFTransformOutput, folder: str) -> None:
    """Writes the SavedModel. To be called outside the scope of a distribution strategy.

    A signature fails rather than answers when its input has another shape or a value that is not finite.
    Written with Keras's ExportArchive: a Keras 3 model saved as a tf.Module makes the TFLite converter write
    wrong weights.

    Args:
        model: float32 [N, H, W, C] in 0..255 to probabilities float32 [N, classes].
        transform: The output of Transform; its graph becomes part of the SavedModel.
        folder: Where the SavedModel is written.
    """
    import keras
    import tensorflow as tf

    raw_spec = transform.raw_feature_spec()
    layer = transform.transform_features_layer()
    shape = model.input_shape

    def predict(image: tf.Tensor) -> dict[str, tf.Tensor]:
        image = tf.debugging.assert_all_finite(tf.ensure_shape(image, shape), "the image is not finite")
        probabilities = tf.ensure_shape(model(image, training=False), model.output_shape)
        finite = tf.debugging.assert_all_finite(probabilities, "the probabilities are not finite")
        return {PROBABILITIES: finite}

    def transformed(examples: tf.Tensor, *features: str) -> dict[str, tf.Tensor]:
        return layer(tf.io.parse_example(examples, {name: raw_spec[name] for name in features}))

    def serving_default(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return predict(transformed(examples, photos.PHOTO)[photos.IMAGE])

    def serve_jpeg(jpeg: tf.Tensor) -> dict[str, tf.Tensor]:
        feature = jpeg
        if isinstance(raw_spec[photos.PHOTO], tf.io.VarLenFeature):
            feature = tf.sparse.from_dense(jpeg[:, tf.newaxis])
        return predict(layer({photos.PHOTO: feature})[photos.IMAGE])

    def serve_image(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return predict(image)

    def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = transformed(examples, photos.PHOTO, photos.LABEL)
        return {photos.IMAGE: tf.cast(features[photos.IMAGE], tf.uint8), photos.LABEL: features[photos.LABEL]}

    strings = (None,)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.transform = layer
    for endpoint, argument, argument_shape, dtype in (
        (serving_default, "examples", strings, tf.string),
        (serve_jpeg, "jpeg", strings, tf.string),
        (serve_image, photos.IMAGE, shape, tf.float32),
        (transform_features, "examples", strings, tf.string),
    ):
        signature = [tf.TensorSpec(argument_shape, dtype, name=argument)]
        archive.add_endpoint(endpoint.__name__, endpoint, input_signature=signature)
    archive.write_out(folder, verbose=False)
