import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge.contracts.image import preprocess
from errors import EdgelineError


def contract(**changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "kind": "image",
        "image_size": 128,
        "channels": 1,
        "color": "luma",
        "resize": "bilinear-antialias",
        "rounding": "nearest-uint8",
        "orientation": "upright",
        "input_dtype": "float32",
        "input_range": [0, 255],
        **changes,
    }


def jpeg(width: int, height: int, mode: str = "RGB", **options: Any) -> bytes:
    """A noisy photo with edges and gradients in every direction, as JPEG."""
    rng = np.random.default_rng(width * 10_000 + height)
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 80 * np.sin(x / 7 + y / 31), 127 + 90 * np.cos(x / 23 - y / 5), (2 * x + y) % 256]
    pixels = np.stack(planes, axis=-1) + rng.normal(0, 12, (height, width, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def as_trained(photo: bytes, size: int, channels: int) -> np.ndarray[Any, Any]:
    """The same in TensorFlow, as models are trained and served."""
    import tensorflow as tf

    image = tf.io.decode_jpeg(photo, channels=channels, dct_method="INTEGER_ACCURATE")
    image = tf.image.resize(image, (size, size), method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8).numpy()[np.newaxis]


@pytest.mark.parametrize("size", [64, 128, 224])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "photo",
    [
        pytest.param(jpeg(640, 480), id="640x480"),
        pytest.param(jpeg(480, 640, quality=95, subsampling=0), id="480x640 without subsampling"),
        pytest.param(jpeg(1600, 1200, progressive=True), id="1600x1200 progressive"),
        pytest.param(jpeg(128, 128), id="128x128"),
        pytest.param(jpeg(97, 61), id="97x61"),
        pytest.param(jpeg(33, 17, quality=60), id="33x17"),
        pytest.param(jpeg(1000, 31), id="1000x31"),
        pytest.param(jpeg(300, 200, mode="L"), id="300x200 grey"),
    ],
)
def test_a_phone_sees_what_the_model_was_trained_on(photo: bytes, channels: int, size: int):
    seen = preprocess(
        photo, contract(image_size=size, channels=channels, color={1: "luma", 3: "rgb"}[channels])
    )
    difference = np.abs(seen.astype(int) - as_trained(photo, size, channels))

    # Both decode with libjpeg-turbo's accurate DCT, to the same bit. Both filter in float32 but sum in
    # another order, so only a sum that lies within 1e-5 of the middle between two levels can round to
    # the other one. Measured: 0.01 levels in the mean at worst, where the weights are round numbers
    # (128 to 224: such middles are then frequent), 0.001 elsewhere.
    assert seen.dtype == np.uint8 and seen.shape == (1, size, size, channels)
    assert difference.max() <= 1
    assert difference.mean() < 0.02


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photo_taken_sideways_is_turned_upright(orientation: int):
    upright = Image.open(io.BytesIO(jpeg(128, 128, quality=100)))
    # What a phone does: the sensor's rows are stored as they come, with a note how to turn them back.
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "PNG", exif=exif)

    # PNG, so that nothing but the turning can differ.
    seen = preprocess(file.getvalue(), contract(channels=3, color="rgb"))

    np.testing.assert_array_equal(seen[0], np.asarray(upright))


def test_other_8_bit_formats_give_the_same_picture():
    photo, png = jpeg(200, 150), io.BytesIO()
    Image.open(io.BytesIO(photo)).save(png, "PNG")
    color = contract(channels=3, color="rgb")

    np.testing.assert_array_equal(preprocess(png.getvalue(), color), preprocess(photo, color))


@pytest.mark.parametrize("photo", [b"", b"<html></html>", jpeg(64, 64)[:500]], ids=["empty", "text", "cut"])
def test_a_damaged_photo_is_an_error_that_says_so(photo: bytes):
    with pytest.raises(EdgelineError, match="cannot be read"):
        preprocess(photo, contract())


def test_more_than_8_bits_are_refused():
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(file, "PNG")

    with pytest.raises(EdgelineError, match="8 bits"):
        preprocess(file.getvalue(), contract())


def test_a_contract_that_this_runtime_does_not_know_is_refused_with_every_reason():
    with pytest.raises(EdgelineError, match=r"version is 2.*resize is 'area'.*color 'luma' with 3"):
        preprocess(jpeg(64, 64), contract(version=2, resize="area", channels=3))
