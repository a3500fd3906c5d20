"""Pictures of single packages, sound and spoilt: RGBA, seen straight from the front.

Shares and severities were tuned by eye and by training, see `shelf_scene.py`.
"""

import random
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from data.shelf.layout import Product

_ROUND = ("bottle", "can", "jar")


def _silhouette(product: Product, width: int, height: int) -> list[tuple[float, float]]:
    """The outline of a package as a polygon in a box of width x height."""
    outlines: dict[str, list[tuple[float, float]]] = {
        "box": [(0, 0), (1, 0), (1, 1), (0, 1)],
        "carton": [(0.5, 0), (1, 0.18), (1, 1), (0, 1), (0, 0.18)],
        "bottle": [(0.33, 0), (0.67, 0), (0.67, 0.22), (1, 0.4), (1, 1), (0, 1), (0, 0.4), (0.33, 0.22)],
        "can": [(0.1, 0), (0.9, 0), (1, 0.07), (1, 0.94), (0.9, 1), (0.1, 1), (0, 0.94), (0, 0.07)],
        "jar": [(0.12, 0), (0.88, 0), (0.88, 0.15), (1, 0.24), (1, 1), (0, 1), (0, 0.24), (0.12, 0.15)],
        "bag": [(0, 0), (0.25, 0.05), (0.5, 0), (0.75, 0.05), (1, 0), (0.92, 0.12), (1, 0.6), (0.94, 1),
                (0.06, 1), (0, 0.6), (0.08, 0.12)],
    }  # fmt: skip
    return [(x * (width - 1), y * (height - 1)) for x, y in outlines[product.shape]]


def _print_label(draw: ImageDraw.ImageDraw, product: Product, width: int, height: int) -> None:
    top, bottom = (0.45 if product.shape == "bottle" else 0.28) * height, 0.88 * height
    middle, tall = (top + bottom) / 2, bottom - top
    ink = product.label
    match product.pattern:
        case "band":
            draw.rectangle((0, top + 0.2 * tall, width, bottom - 0.2 * tall), ink)
        case "stripes":
            for left in range(0, width, width // 4):
                draw.rectangle((left, top, left + width // 9, bottom), ink)
        case "hoops":
            for step in range(3):
                draw.rectangle((0, top + step * tall / 3, width, top + (step + 0.45) * tall / 3), ink)
        case "disc":
            radius = min(0.38 * width, tall / 2)
            draw.ellipse((width / 2 - radius, middle - radius, width / 2 + radius, middle + radius), ink)
        case "chevron":
            draw.polygon([(0, top), (width / 2, middle), (width, top), (width, middle), (width / 2, bottom),
                          (0, middle)], ink)  # fmt: skip
        case "checks":
            side = width // 4
            for row in range(int(tall // side)):
                for column in range(row % 2, 4, 2):
                    y = top + row * side
                    draw.rectangle((column * side, y, (column + 1) * side - 1, y + side - 1), ink)
        case "split":
            draw.polygon([(0, bottom), (width, top), (width, bottom)], ink)
        case _:
            draw.rectangle((0.2 * width, top, 0.8 * width, top + 0.25 * tall), ink)
    if product.shape in ("bottle", "jar", "carton"):
        draw.rectangle((0, 0, width, (0.12 if product.shape != "carton" else 0.18) * height), ink)


@cache
def package(product: Product) -> Image.Image:
    """The RGBA picture of one package, shaded and lit from the front."""
    width, height = 2 * product.width, 2 * product.height
    face = Image.new("RGB", (width, height), product.body)
    _print_label(ImageDraw.Draw(face), product, width, height)
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).polygon(_silhouette(product, width, height), 255)
    across = np.linspace(-1, 1, width, dtype=np.float32)
    if product.shape in _ROUND:
        shade = 1.05 - 0.55 * across**2 + 0.35 * (np.abs(across + 0.35) < 0.12)
    else:
        shade = 1.0 - 0.08 * across - 0.3 * (np.abs(across) > 0.93)
    lit = np.asarray(face, np.float32) * shade[None, :, None]
    lit[-3:] *= 0.6
    shaded = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    shaded.putalpha(mask)
    return shaded.reduce(2)


@cache
def row_behind(product: Product) -> Image.Image:
    """The same package one row further back, in the shelf's shadow."""
    front = package(product)
    dim = Image.fromarray((np.asarray(front.convert("RGB"), np.float32) * 0.4).astype(np.uint8))
    dim.putalpha(front.getchannel("A"))
    return dim


def crushed(sprite: Image.Image, severity: float, rng: random.Random) -> Image.Image:
    """The top caves in around one point, the sides buckle, and facets catch the light."""
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
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    bent = pixels[np.clip(from_y, 0, height - 1), np.clip(from_x, 0, width - 1)].astype(np.float32)
    crease = along + rng.choice((-0.5, 0.5)) * x / width
    facet = np.where((crease * 3.3).astype(int) % 2 == 0, 1 + 0.5 * severity, 1 - 0.65 * severity)
    bent[..., :3] *= facet[..., None]
    bent[..., 3] *= inside
    return Image.fromarray(np.clip(bent, 0, 255).astype(np.uint8))


def torn_open(sprite: Image.Image, severity: float, rng: random.Random) -> Image.Image:
    """A ragged hole with a pale rim of paper, dark inside."""
    torn = sprite.copy()
    width, height = torn.size
    reach = (0.38 + 0.25 * severity) * width
    middle = rng.uniform(0.15, 0.85) * width, rng.uniform(0.3, 0.75) * height
    ring = [
        (-1, -0.4),
        (-0.4, -1.1),
        (0.3, -0.6),
        (0.9, -1.0),
        (1, 0.1),
        (0.5, 1.2),
        (-0.1, 0.6),
        (-0.8, 1.0),
    ]
    ragged = [(x * rng.uniform(0.6, 1.2), y * rng.uniform(0.6, 1.2)) for x, y in ring]
    draw = ImageDraw.Draw(torn)
    for scale, color in ((1.0, (236, 230, 218)), (0.68, (28, 24, 22))):
        draw.polygon(
            [(middle[0] + scale * reach * x, middle[1] + scale * reach * y) for x, y in ragged], color
        )
    torn.putalpha(sprite.getchannel("A"))
    return torn
