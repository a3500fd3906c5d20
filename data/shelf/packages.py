"""RGBA pictures of single packages, sound or crushed, seen straight from the front."""

import random
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from data.shelf.layout import Product

# Polygons in a box of 1 x 1.
_OUTLINES: dict[str, list[tuple[float, float]]] = {
    "box": [(0, 0), (1, 0), (1, 1), (0, 1)],
    "bottle": [(0.33, 0), (0.67, 0), (0.67, 0.22), (1, 0.4), (1, 1), (0, 1), (0, 0.4), (0.33, 0.22)],
    "can": [(0.1, 0), (0.9, 0), (1, 0.07), (1, 0.94), (0.9, 1), (0.1, 1), (0, 0.94), (0, 0.07)],
    "bag": [
        *[(0, 0), (0.5, 0.05), (1, 0), (0.92, 0.12), (1, 0.6)],
        *[(0.94, 1), (0.06, 1), (0, 0.6), (0.08, 0.12)],
    ],
}


def _print_label(draw: ImageDraw.ImageDraw, product: Product, width: int, height: int) -> None:
    top = (0.45 if product.shape == "bottle" else 0.28) * height
    bottom = 0.88 * height
    match product.pattern:
        case "band":
            draw.rectangle((0, top, width, (top + bottom) / 2), product.label)
        case "stripes":
            for left in range(0, width, width // 4):
                draw.rectangle((left, top, left + width // 9, bottom), product.label)
        case "disc":
            draw.ellipse((0.15 * width, top, 0.85 * width, bottom), product.label)


@cache
def draw_package(product: Product) -> Image.Image:
    """Draws the RGBA picture of a package, shaded and lit from the front."""
    width, height = 2 * product.width, 2 * product.height
    face = Image.new("RGB", (width, height), product.body)
    _print_label(ImageDraw.Draw(face), product, width, height)
    mask = Image.new("L", (width, height), 0)
    outline = [(x * (width - 1), y * (height - 1)) for x, y in _OUTLINES[product.shape]]
    ImageDraw.Draw(mask).polygon(outline, 255)
    across = np.linspace(-1, 1, width, dtype=np.float32)
    curve = 0.5 if product.shape in ("bottle", "can") else 0.15
    lit = np.asarray(face, np.float32) * (1.05 - curve * across**2)[None, :, None]
    lit[-3:] *= 0.6
    shaded = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    shaded.putalpha(mask)
    return shaded.reduce(2)


def crush(sprite: Image.Image, severity: float, rng: random.Random) -> Image.Image:
    """Crushes a package: the top caves in around one point, the sides buckle, and facets catch the light.

    Args:
        sprite: The RGBA picture of a sound package; it is not changed.
        severity: From 0 for a dent to 1 for half the height.
        rng: Places the dent, the fold and the light.
    """
    pixels = np.asarray(sprite)
    height, width = pixels.shape[:2]
    pad = 4
    y, x = np.mgrid[0:height, 0 : width + 2 * pad].astype(np.float32)
    x -= pad
    dent = np.clip(1 - np.abs(x - rng.uniform(0.2, 0.8) * width) / (0.75 * width), 0, 1)
    top = height * (0.1 + 0.4 * severity) * (0.35 + 0.65 * dent)
    along = (y - top) / (height - top)
    fold = rng.uniform(0.35, 0.65)
    buckle = (3 + 4 * severity) * (1 - np.abs(along - fold) / max(fold, 1 - fold)) * rng.choice((-1, 1))
    from_x, from_y = np.rint(x + buckle).astype(int), np.rint(along * (height - 1)).astype(int)
    is_inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    bent = pixels[np.clip(from_y, 0, height - 1), np.clip(from_x, 0, width - 1)].astype(np.float32)
    crease = along + rng.choice((-0.5, 0.5)) * x / width
    facet = np.where((crease * 3.3).astype(int) % 2 == 0, 1 + 0.5 * severity, 1 - 0.65 * severity)
    bent[..., :3] *= facet[..., None]
    bent[..., 3] *= is_inside
    return Image.fromarray(np.clip(bent, 0, 255).astype(np.uint8))
