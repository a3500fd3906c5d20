"""What early stages of a network with weights of ImageNet see in a photo, by which its twins are told."""

from functools import cache
from typing import Any

import numpy as np


def describe_photo(pixels: bytes) -> bytes:
    """Computes the features of one photo, float16 [928], from its RGB pixels, uint8 [side, side, 3].

    Later stages than these tell kinds of things, and things no longer. Of each channel there are mean,
    deviation, largest and smallest value over the photo: those tell a small thing before any background.

    Raises:
        UsageError: The package with the weights is not installed, or damaged.
    """
    side = round((len(pixels) / 3) ** 0.5)
    photo = np.frombuffer(pixels, np.uint8).reshape(1, side, side, 3).astype(np.float32)
    features: bytes = np.concatenate(_network(side)(photo), axis=1).astype(np.float16).tobytes()
    return features


@cache
def _network(side: int) -> Any:
    import keras
    import tensorflow as tf

    from trainer_module import efficientnet_lite

    image = keras.Input((side, side, 3), batch_size=1)
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    loaded = keras.Model(image, efficientnet_lite.build(scaled, stages=5))
    efficientnet_lite.load_imagenet(loaded)
    network = keras.Model(image, efficientnet_lite.build(scaled, stages=5, folded=True))
    efficientnet_lite.fold(loaded, network)
    # What the stages 3, 4 and 5 give.
    stages = [network.get_layer(f"blocks.{block}.expand_conv").input for block in (5, 8)]
    tapped = keras.Model(image, [*stages, network.output])

    @tf.function(autograph=False)
    def describe(photo: Any) -> list[Any]:
        features = []
        for given in tapped(photo):
            mean, variance = tf.nn.moments(given, (1, 2))
            extremes = (tf.reduce_max(given, (1, 2)), tf.reduce_min(given, (1, 2)))
            features += [tf.math.l2_normalize(part, 1) for part in (mean, tf.sqrt(variance), *extremes)]
        return features

    return describe
