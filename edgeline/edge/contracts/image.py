"""Decodes a photo, turns it upright and resizes it, as `trainer_module/workloads/photos.py` does."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from edgeline.edge.contracts import find_mismatches, make_contract_error
from edgeline.edge.photo_pixels import READER_ERRORS, decode_upright, open_photo, read_orientation
from edgeline.errors import EdgelineError

_KNOWN = {
    "resize": "bilinear-antialias",
    "rounding": "nearest-uint8",
    "orientation": "upright",
    "luma": [0.299, 0.587, 0.114],
    "transparency": "on-white",
}
_COLORS = {"luma": ("L", 1), "rgb": ("RGB", 3)}


def preprocess(image_bytes: bytes, contract: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Turns a photo's bytes into the model's input.

    The contract works on uint8 RGB unless a step says otherwise:

    1. Decode with the accurate integer DCT, lay transparent parts on white, turn upright by EXIF. A grey
       photo of 16 bits loses its lower 8. With `levels` [low, high] in the contract, which has version 4
       then, its level becomes `(2 * 255 * (level - low) + high - low) // (2 * (high - low))`, of 0 to 255.
    2. If the longer side is above `max_side`, resize the photo so that it is `max_side`, and the other one
       `(2 * side * max_side + longer) // (2 * longer)`, at least 1. Round to whole levels.
    3. For the color `luma`, take the sum of R, G and B by the weights of `luma`, without rounding.
    4. Resize to a square of `image_size`. Round once more.

    Both resize with an antialiased bilinear filter. The model's own graph, which TF Serving runs, also does
    steps 2 to 4; the two differ by at most one level.

    Returns uint8 [1, image_size, image_size, channels].

    Raises:
        EdgelineError: This version does not support the contract, or the photo cannot be read.
    """
    return resize(decode(image_bytes, contract), contract)


def decode(image_bytes: bytes, contract: Mapping[str, Any]) -> Image.Image:
    """Returns the photo after steps 1 and 2 of `preprocess`; raises the same errors."""
    _, _, max_side = _read_color_and_sizes(contract)
    levels = contract.get("levels", ())
    try:
        with warnings.catch_warnings(), open_photo(image_bytes) as image:
            warnings.simplefilter("ignore")  # about odd metadata
            return decode_upright(image, read_orientation(image), max_side, levels)
    except READER_ERRORS as error:
        why = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise EdgelineError(
            f"The photo ({len(image_bytes):,} bytes) cannot be read: {why}.",
            "Its bytes are damaged or not an image.",
            "Take the photo again.",
        ) from error


def resize(photo: Image.Image, contract: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Returns the model's input after steps 3 and 4 of `preprocess`, of a photo that `decode` returned."""
    mode, size, _ = _read_color_and_sizes(contract)
    pixels = np.atleast_3d(np.asarray(photo, np.float32))
    if mode == "L" and pixels.shape[2] == 3:
        pixels = pixels @ np.array(contract["luma"], np.float32)[:, np.newaxis]
    # The planes are floats: in 8-bit images Pillow rounds between its two passes, which moves one pixel in 8.
    planes = [
        np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR))
        for plane in np.moveaxis(pixels, 2, 0)
    ]
    if mode == "RGB" and len(planes) == 1:
        planes *= 3  # a grey photo becomes RGB
    return np.rint(np.stack(planes, axis=-1)).clip(0, 255).astype(np.uint8)[np.newaxis]


def _read_color_and_sizes(contract: Mapping[str, Any]) -> tuple[str, int, int]:
    color, channels, size, max_side = map(contract.get, ("color", "channels", "image_size", "max_side"))
    version = 4 if "levels" in contract else 3
    mismatches = find_mismatches(contract, {"version": version, **_KNOWN})
    if color not in _COLORS or channels != _COLORS[color][1]:
        mismatches.append(f"color {color!r} with {channels!r} channels is neither luma with 1 nor rgb with 3")
    mismatches += [
        f"{key} is {side!r}, not a number of pixels"
        for key, side in (("image_size", size), ("max_side", max_side))
        if not isinstance(side, int) or side < 1
    ]
    if mismatches:
        raise make_contract_error("; ".join(mismatches))
    return _COLORS[color][0], size, max_side  # type: ignore[index, return-value]
