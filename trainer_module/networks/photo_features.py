"""Photo features from the early stages of an ImageNet network, to recognise near-duplicates."""

from functools import cache
from typing import Any

import numpy as np

from edgeline.records.photo_features import pack


def describe_photo(pixels: bytes) -> bytes:
    """Describes 8 x 8 cells of one photo, packed, from its RGB pixels, uint8 [128, 128, 3].

    Later stages than these tell kinds of objects apart, but no longer single objects. Raises UsageError if
    the package with the weights is not installed, or is damaged.
    """
    side = round((len(pixels) / 3) ** 0.5)
    photo = np.frombuffer(pixels, np.uint8).reshape(1, side, side, 3).astype(np.float32)
    return pack(np.asarray(_load_network(side)(photo)))


@cache
def _load_network(side: int) -> Any:
    import keras
    import tensorflow as tf

    from trainer_module.networks import efficientnet_lite

    image = keras.Input((side, side, 3), batch_size=1)
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    loaded = keras.Model(image, efficientnet_lite.build(scaled, stages=5))
    efficientnet_lite.load_imagenet(loaded, efficientnet_lite.LITE0)
    network = keras.Model(image, efficientnet_lite.build(scaled, stages=5, folded=True))
    efficientnet_lite.fold(loaded, network)
    # The outputs of stages 3, 4 and 5 are used; the third is twice as fine.
    stages = [network.get_layer(f"blocks.{block}.expand_conv").input for block in (5, 8)]
    tapped = keras.Model(image, [*stages, network.output])

    @tf.function(autograph=False)
    def describe(photo: Any) -> Any:
        finest, *stages = tapped(photo)
        cells = tf.concat([tf.nn.avg_pool2d(finest, 2, 2, "VALID"), *stages], 3)
        return tf.reshape(cells, (-1, cells.shape[3]))

    return describe
