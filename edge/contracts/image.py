"""A photo: decoded, turned upright, resized. Equal to the graph of `trainer_module/photos.py`."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from edge.contracts import refused, wrong_in
from errors import EdgelineError

_KNOWN = {
    "version": 1,
    "resize": "bilinear-antialias",
    "rounding": "nearest-uint8",
    "orientation": "upright",
}
_COLORS = {"luma": ("L", 1), "rgb": ("RGB", 3)}


def preprocess(image_bytes: bytes, contract: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Turns a photo's bytes into what the model looks at.

    Decodes with the accurate integer DCT, turns upright by EXIF, takes the luma or RGB, resizes to a
    square with an antialiased bilinear filter and rounds once, at the end, to whole grey levels. Equal to
    `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")` with `tf.image.resize(antialias=True)`, except that
    sums on the edge between two levels may round to the other one.

    Args:
        image_bytes: A JPEG, or another 8-bit format that Pillow reads.
        contract: What preprocessing.json holds.

    Returns:
        uint8 [1, image_size, image_size, channels].

    Raises:
        EdgelineError: The contract asks for what this version does not do, or the photo cannot be read.
    """
    mode, size = _color_and_size(contract)
    try:
        image: Image.Image = Image.open(io.BytesIO(image_bytes))
        if image.mode.startswith("I") or image.mode == "F":
            raise EdgelineError(
                f"The photo has more than 8 bits a channel (mode {image.mode}).",
                "The model has seen 8-bit photos only, and there is no one right way to scale it down.",
                "Save it as an 8-bit JPEG.",
            )
        if mode == "L":
            # Takes the stored Y plane itself; converting from RGB would round twice.
            image.draft("L", None)
        image = ImageOps.exif_transpose(image).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        why = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise EdgelineError(
            f"The photo ({len(image_bytes):,} bytes) cannot be read: {why}.",
            "Its bytes are damaged or are no image.",
            "Take the photo again.",
        ) from error
    # In mode F, because on 8-bit images Pillow rounds between its two passes, which moves one pixel in eight.
    planes = [
        np.asarray(plane.convert("F").resize((size, size), Image.Resampling.BILINEAR))
        for plane in image.split()
    ]
    return np.rint(np.stack(planes, axis=-1)).clip(0, 255).astype(np.uint8)[np.newaxis]


def _color_and_size(contract: Mapping[str, Any]) -> tuple[str, int]:
    wrong = wrong_in(contract, _KNOWN)
    color, channels, size = contract.get("color"), contract.get("channels"), contract.get("image_size")
    if color not in _COLORS or channels != _COLORS[color][1]:
        wrong.append(f"color {color!r} with {channels!r} channels is neither luma with 1 nor rgb with 3")
    if not isinstance(size, int) or size < 1:
        wrong.append(f"image_size is {size!r}, not a number of pixels")
    if wrong:
        raise refused("; ".join(wrong))
    return _COLORS[color][0], size  # type: ignore[index, return-value]
