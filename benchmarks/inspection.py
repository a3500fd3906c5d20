"""Rendered photos of machined surfaces: `python -m benchmarks.inspection DIR [--seed N]`.

They stand in for a real task of visual inspection: 1,051 grey photos of 203 magnetic tiles, some five
exposures of each, of which 741 photos show no defect and 25 to 99 each of five small ones. No photo is
real: an accuracy measured here says how two ways to train compare, not how well either does in a factory.

Writes `DIR/<train|test>/<class>/exp<E>_num_<N>.jpg`, N being the object, and `DIR/<train|test>.csv` with the
columns path, label and session. All photos of an object are in one part, and each class has objects in both.
The same seed gives the same files. Seams, scratches and stains are on tiles of every class: they look like
defects and are none.
"""

import argparse
import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Number of photos and of objects in each class.
CLASSES = {
    "free": (741, 143),
    "blowhole": (99, 17),
    "break": (61, 12),
    "crack": (45, 9),
    "fray": (25, 8),
    "uneven": (80, 14),
}
TEST_FRACTION = 0.2
EXPOSURES = 6
# Pixels rendered around a photo: the largest shift of the object in an exposure.
MARGIN = 10
_FINE = 4

Grey = Any  # float32 [height, width], about 0 to 1
Points = list[tuple[float, float]]


def generate(folder: Path, seed: int = 1) -> int:
    """Writes all photos and both manifests below `folder`; returns the number of photos."""
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(np.arange(1, 1 + sum(objects for _, objects in CLASSES.values())))
    rows: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
    for label, (photos, objects) in CLASSES.items():
        test_objects = max(1, round(objects * TEST_FRACTION))
        for index in range(objects):
            number, numbers = int(numbers[0]), numbers[1:]
            part = "test" if index < test_objects else "train"
            count = photos // objects + (index < photos % objects)
            (folder / part / label).mkdir(parents=True, exist_ok=True)
            for exposure, photo in _render_photos(label, np.random.default_rng([seed, number]), count):
                path = f"{part}/{label}/exp{exposure}_num_{number:06}.jpg"
                photo.save(folder / path, quality=90)
                rows[part].append((path, label, f"object-{number:03}"))
    for part, listed in rows.items():
        with (folder / f"{part}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label", "session"), *sorted(listed)])
    return sum(map(len, rows.values()))


def _render_photos(label: str, rng: np.random.Generator, count: int) -> Iterator[tuple[int, Image.Image]]:
    """Renders exposures of one object, with their numbers from 1 (dark) to 6 (bright)."""
    height, width = (int(rng.integers(200, 401)) + 2 * MARGIN for _ in range(2))
    sides = rng.random(4) < 0.45  # the visible ends of the tile: left, top, right, bottom
    if label == "break":
        sides[rng.integers(4)] = True
    surface = _render_surface(rng, height, width)
    _DEFECTS[label](surface, sides, rng)
    surface = _add_ends(surface, sides, rng)
    for exposure in np.sort(rng.choice(EXPOSURES, count, replace=False)):
        yield int(exposure) + 1, _expose(surface, int(exposure), rng)


def _render_surface(rng: np.random.Generator, height: int, width: int) -> Grey:
    """Renders a tile without defect: light, grain, marks of machining, and marks that look like defects."""
    grain = rng.standard_normal((height, width)) * rng.uniform(0.008, 0.025)
    grain += _smooth(rng, height, width, rng.uniform(2, 5)) * rng.uniform(0.008, 0.025)
    stretch = rng.uniform(6, 30)
    lines = _smooth(rng, height, width, *((1.5, stretch) if rng.random() < 0.5 else (stretch, 1.5)))
    light = _smooth(rng, height, width, rng.uniform(120, 260)) * rng.uniform(0.02, 0.06)
    surface = rng.uniform(0.38, 0.55) + light + grain + lines * rng.uniform(0.005, 0.03)
    for _ in range(rng.poisson(0.5)):
        _add_seam(surface, rng)
    for _ in range(rng.poisson(0.8)):
        _add_scratch(surface, rng)
    for _ in range(rng.poisson(1.0)):
        center, size = rng.uniform((0, 0), (width, height)), width * rng.uniform(0.02, 0.12)
        surface += _blob(rng, surface, center, size, 0.8) * rng.uniform(-0.08, 0.04)
    return surface


def _add_seam(surface: Grey, rng: np.random.Generator) -> None:
    """Adds a straight, even line from end to end."""
    height, width = surface.shape
    a, b = rng.uniform(0.05, 0.95) + np.array([0, rng.normal(0, 0.03)])
    across = [(0, a * height), (width, b * height)]
    ends = across if rng.random() < 0.5 else [(a * width, 0), (b * width, height)]
    surface -= _stroke(surface, [ends], rng.uniform(0.8, 2.2)) * rng.uniform(0.06, 0.22)


def _add_scratch(surface: Grey, rng: np.random.Generator) -> None:
    """Adds a short, straight, faint line, dark or bright."""
    height, width = surface.shape
    x, y, angle = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, math.pi)
    length = width * rng.uniform(0.08, 0.35)
    ends = [(x, y), (x + length * math.cos(angle), y + length * math.sin(angle))]
    surface += _stroke(surface, [ends], rng.uniform(0.6, 1.2)) * rng.uniform(-0.1, 0.08)


def _add_nothing(surface: Grey, sides: Grey, rng: np.random.Generator) -> None:
    pass


def _add_blowhole(surface: Grey, sides: Grey, rng: np.random.Generator) -> None:
    """Adds one or two dark pores, often with a bright rim towards the light."""
    height, width = surface.shape
    for _ in range(1 + (rng.random() < 0.25)):
        center = rng.uniform((0.12 * width, 0.12 * height), (0.88 * width, 0.88 * height))
        size = width * rng.uniform(0.02, 0.06)
        surface += _blob(rng, surface, center - size * 0.25, size * 1.15, 0.3) * rng.uniform(0.0, 0.07)
        surface -= _blob(rng, surface, center, size, 0.3) * rng.uniform(0.09, 0.26)


def _add_break(surface: Grey, sides: Grey, rng: np.random.Generator) -> None:
    """Chips off a visible end: a rough bite, a little darker or brighter than the surface."""
    height, width = surface.shape
    side = rng.choice(np.flatnonzero(sides))
    along, across = (height, width) if side % 2 == 0 else (width, height)
    middle, half = rng.uniform(0.15, 0.85) * along, rng.uniform(0.04, 0.13) * along
    depth = MARGIN + rng.uniform(0.05, 0.13) * across
    steps = np.linspace(-1, 1, 11)
    reach = depth * np.sqrt(1 - 0.95 * steps**2) * rng.uniform(0.75, 1.0, steps.size)
    outline = [(0.0, middle - half), *zip(reach, middle + steps * half, strict=True), (0.0, middle + half)]
    if side >= 2:
        outline = [(across - a, b) for a, b in outline]
    points = [(float(a), float(b)) if side % 2 == 0 else (float(b), float(a)) for a, b in outline]
    bite = _mask(surface, lambda draw, scale: draw.polygon([(x * scale, y * scale) for x, y in points], 255))
    tone = rng.choice((-1, 1)) * rng.uniform(0.05, 0.16)
    surface += bite * (tone + 0.06 * _smooth(rng, height, width, 3))


def _add_crack(surface: Grey, sides: Grey, rng: np.random.Generator) -> None:
    """Adds a thin dark line that wanders, sometimes forks, and fades in places."""
    height, width = surface.shape
    x, y = rng.uniform((0.2 * width, 0.2 * height), (0.8 * width, 0.8 * height))
    strokes = [_walk(rng, x, y, width)]
    if rng.random() < 0.4:
        strokes.append(_walk(rng, *strokes[0][len(strokes[0]) // 2], width * 0.4))
    fading = np.clip(0.75 + 0.35 * _smooth(rng, height, width, 25), 0.15, 1)
    thickness = rng.uniform(1.0, 2.0) * width / 256
    surface -= _stroke(surface, strokes, thickness) * fading * rng.uniform(0.1, 0.24)


def _add_fray(surface: Grey, sides: Grey, rng: np.random.Generator) -> None:
    """Adds a seam that is frayed in a stretch: short threads stand off it."""
    height, width = surface.shape
    y, start = rng.uniform(0.15, 0.85) * height, rng.uniform(0.05, 0.5) * width
    xs = start + np.sort(rng.uniform(0, rng.uniform(0.25, 0.45) * width, rng.integers(40, 80)))
    reach = rng.normal(0, 0.03 * width, xs.size)
    threads = [[(x, y), (x + rng.normal(0, 3), y + r)] for x, r in zip(xs, reach, strict=True)]
    strokes: list[Points] = [[(0, y), (width, y)], *threads]
    if rng.random() < 0.5:
        strokes = [[(b * width / height, a * height / width) for a, b in stroke] for stroke in strokes]
    surface -= _stroke(surface, strokes, rng.uniform(0.9, 1.6)) * rng.uniform(0.1, 0.22)


def _add_uneven(surface: Grey, sides: Grey, rng: np.random.Generator) -> None:
    """Adds an area that is raised or ground differently, and so lit differently from its surroundings."""
    height, width = surface.shape
    center = rng.uniform((0.2 * width, 0.2 * height), (0.8 * width, 0.8 * height))
    area = _blob(rng, surface, center, width * rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.6))
    patches = 1 + 0.25 * _smooth(rng, height, width, rng.uniform(15, 60))
    surface += area * patches * rng.choice((-1, 1)) * rng.uniform(0.06, 0.14)


_DEFECTS = {
    "free": _add_nothing,
    "blowhole": _add_blowhole,
    "break": _add_break,
    "crack": _add_crack,
    "fray": _add_fray,
    "uneven": _add_uneven,
}


def _add_ends(surface: Grey, sides: Grey, rng: np.random.Generator) -> Grey:
    """Adds the visible ends of the tile: a dark or bright strip beyond a nearly straight line."""
    for side in np.flatnonzero(sides):
        turned = np.rot90(surface, int(side))  # a view with that end on the left
        rows, columns = turned.shape
        end = MARGIN + columns * rng.uniform(0.01, 0.05) + np.linspace(-1, 1, rows) * rng.normal(0, 2)
        beyond = np.clip(end[:, None] - np.arange(columns) + 0.4 * rng.standard_normal((rows, 1)), 0, 1)
        turned += beyond * (rng.uniform(0.05, 0.3) - turned)
    return surface


def _expose(surface: Grey, exposure: int, rng: np.random.Generator) -> Image.Image:
    """Renders one photo of the surface with its own light and gain, a small shift, and noise."""
    top, left = rng.integers(0, 2 * MARGIN + 1, 2)
    height, width = (side - 2 * MARGIN for side in surface.shape)
    seen = surface[top : top + height, left : left + width]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    gain = 0.55 * 1.16**exposure * rng.uniform(0.93, 1.07)
    lit = seen * gain * (1 + rng.normal(0, 0.05) * x + rng.normal(0, 0.05) * y) + rng.normal(0, 0.02)
    lit = lit + rng.standard_normal(lit.shape) * rng.uniform(0.006, 0.02)
    photo = Image.fromarray(np.clip(np.rint(lit * 255), 0, 255).astype(np.uint8))
    return photo.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.7)))


def _smooth(rng: np.random.Generator, height: int, width: int, across: float, along: float = 0.0) -> Grey:
    """Draws random values with a standard deviation of about 1 that keep their sign over so many pixels."""
    small = (max(3, round(width / (along or across))), max(3, round(height / across)))
    values = Image.fromarray(rng.standard_normal(small[::-1]).astype(np.float32))
    return np.asarray(values.resize((width, height), Image.Resampling.BICUBIC)) * 1.3


def _blob(rng: np.random.Generator, surface: Grey, center: Grey, size: float, softness: float) -> Grey:
    """Renders a roundish area about `size` across, 1 in it, 0 outside; the edge is `softness` radii wide."""
    height, width = surface.shape
    turn, flat = rng.uniform(0, math.pi), rng.uniform(0.55, 1.0)
    y, x = np.arange(height)[:, None] - center[1], np.arange(width) - center[0]
    u, v = x * math.cos(turn) + y * math.sin(turn), (y * math.cos(turn) - x * math.sin(turn)) / flat
    angle = np.arctan2(v, u)
    bumps = sum(rng.normal(0, 0.3 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 5))
    radius = np.hypot(u, v) / (size / 2 * np.maximum(0.4, 1 + bumps))
    return 1 / (1 + np.exp(np.clip((radius - 1) * 4 / softness, -30, 30)))


def _walk(rng: np.random.Generator, x: float, y: float, width: float) -> Points:
    """Draws a jagged line from (x, y), 25 to 60 % of `width` long."""
    length, step = width * rng.uniform(0.25, 0.6), width * rng.uniform(0.012, 0.03)
    turns = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.15, int(length / step)))
    turns += rng.normal(0, 0.4, turns.size)
    xs, ys = x + np.cumsum(step * np.cos(turns)), y + np.cumsum(step * np.sin(turns))
    return [(x, y), *zip(xs, ys, strict=True)]


def _stroke(surface: Grey, strokes: list[Points], thickness: float) -> Grey:
    """Renders lines `thickness` pixels wide: 1 on them, 0 elsewhere."""

    def draw_all(draw: ImageDraw.ImageDraw, scale: int) -> None:
        for stroke in strokes:
            draw.line([(x * scale, y * scale) for x, y in stroke], 255, max(1, round(thickness * scale)))

    return _mask(surface, draw_all)


def _mask(surface: Grey, draw_on: Any) -> Grey:
    height, width = surface.shape
    mask = Image.new("L", (width * _FINE, height * _FINE))
    draw_on(ImageDraw.Draw(mask), _FINE)
    return np.asarray(mask.reduce(_FINE), np.float32) / 255


def main() -> None:
    """Renders the set and prints its number of photos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the photos are written")
    parser.add_argument("--seed", type=int, default=1, help="seed of the photos (1)")
    arguments = parser.parse_args()
    print(f"{generate(arguments.folder, arguments.seed)} photos below {arguments.folder}")


if __name__ == "__main__":
    main()
