"""Explains a photo's prediction by the parts of the photo that it depends on."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgeline.edge.photo_pixels import decode_upright, find_levels, open_photo, read_orientation

# Share of the photo's side. Patches overlap by half, so that a detail on the edge of one lies inside another.
_PATCH = 1 / 6
_PANEL = 320


def measure_occlusion(
    predict: Callable[[NDArray[Any]], NDArray[np.float32]], image: NDArray[np.uint8], of_class: int
) -> NDArray[np.float32]:
    """Measures how much covering each patch with the photo's mean colour lowers the class's probability.

    Zeiler and Fergus, 2014, arXiv:1311.2901.

    Args:
        predict: Returns the probabilities, [1, classes], of an image like `image`, once for each patch.
        image: The model's input, [1, H, W, C].
        of_class: The index of the class, mostly the one that was predicted.

    Returns:
        float32 [rows, columns] in -1..1, one per patch from the top left.
    """
    _, height, width, _ = image.shape
    patch = max(2, round(min(height, width) * _PATCH))
    tops, lefts = (range(0, max(1, side - patch // 2), patch // 2) for side in (height, width))
    probability = predict(image)[0, of_class]
    mean = image.mean(axis=(1, 2)).astype(image.dtype)
    drops = np.empty((len(tops), len(lefts)), np.float32)
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            covered = image.copy()
            covered[:, top : top + patch, left : left + patch] = mean
            drops[row, column] = probability - predict(covered)[0, of_class]
    return drops


def draw_picture(photo: bytes, image: NDArray[np.uint8], drops: NDArray[np.float32]) -> bytes:
    """Draws a PNG of three panels: the photo, the model's input, and that with its important parts red.

    Args:
        photo: The content of its file, in any format that the model's contract takes.
        image: The model's input made of it, [1, H, W, C].
        drops: What `measure_occlusion` returned for it; negative ones are drawn as 0, the largest one as red.
    """
    side = (_PANEL, _PANEL)
    with open_photo(photo) as opened:
        whole = ImageOps.pad(
            decode_upright(opened, read_orientation(opened), 2 * _PANEL, find_levels(opened)).convert("RGB"),
            side,
        )
    view = Image.fromarray(image[0].squeeze()).convert("RGB").resize(side, Image.Resampling.NEAREST)
    strength = np.clip(drops / max(float(drops.max()), 1e-6), 0, 1) * 200
    mask = Image.fromarray(strength.astype(np.uint8)).resize(side, Image.Resampling.BILINEAR)
    panels = Image.new("RGB", (3 * _PANEL, _PANEL))
    for number, panel in enumerate((whole, view, Image.composite(Image.new("RGB", side, "red"), view, mask))):
        panels.paste(panel, (number * _PANEL, 0))
    png = io.BytesIO()
    panels.save(png, "PNG")
    return png.getvalue()
