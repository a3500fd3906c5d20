"""One bay of a lane as a flat picture: boards, facings, and what is wrong with one of them.

Numbers below are scene pixels and shares that were tuned by eye and by training, so that the `compact`
model at 128x128 luma gets most photos right and not all.
"""

import random

from PIL import Image, ImageDraw

from data.shelf.layout import Color, Lane, Product, stray
from data.shelf.packages import crushed, package, row_behind, torn_open

MARGIN = 26
DAMAGES = ("crushed", "torn", "leaking", "tilted")
_NEAT_STRAYS = 0.22
_SOLD_OUT = 0.015

Box = tuple[float, float, float, float]


def _leak(draw: ImageDraw.ImageDraw, home: Lane, box: Box, severity: float, rng: random.Random) -> None:
    """Liquid runs out of a package, over the board's lip, and drips into the shelf below."""
    left, top, right, bottom = box
    liquid: Color = rng.choice(((30, 18, 12), (18, 20, 30), (36, 14, 14)))
    seam, spread = rng.uniform(left + 6, right - 6), (0.05 + 0.35 * severity) * (right - left)
    middle = top + 0.45 * (bottom - top)
    draw.polygon([(seam - 2, middle), (seam + 2, middle), (seam + 8, bottom), (seam - 8, bottom)], liquid)
    draw.ellipse((left - spread, bottom - 4, right + spread, bottom + 0.5 * home.lip), liquid)
    for _ in range(4 + round(3 * severity)):
        x, wide = rng.uniform(left - 0.7 * spread, right + 0.7 * spread), rng.uniform(1.5, 4.5)
        end = bottom + home.lip + rng.uniform(-4, 8 + 16 * severity)
        draw.rectangle((x - wide, bottom, x + wide, end), liquid)
        draw.ellipse((x - 1.3 * wide, end - 3, x + 1.3 * wide, end + 4), liquid)


def _put(scene: Image.Image, sprite: Image.Image, middle: float, bottom: float) -> Box:
    left, top = round(middle - sprite.width / 2), round(bottom - sprite.height)
    scene.paste(sprite, (left, top), sprite)
    return left, top, left + sprite.width, top + sprite.height


def _put_in_front(scene: Image.Image, sprite: Image.Image, middle: float, bottom: float) -> Box:
    """Puts a package before the row, which it darkens around itself."""
    shadow = sprite.getchannel("A").resize((sprite.width + 10, sprite.height + 6))
    corner = round(middle - shadow.width / 2), round(bottom - shadow.height)
    scene.paste((8, 8, 10), corner, shadow.point(lambda alpha: 2 * alpha // 3))
    return _put(scene, sprite, middle, bottom)


def _misplace(
    scene: Image.Image, home: Lane, beside: Product, middle: float, board: float, rng: random.Random
) -> Box:
    """Sets down a product of another lane: mostly in front of the row, sometimes neatly in a free place."""
    strange = package(stray(home, beside, 3.0, rng))
    if rng.random() < _NEAT_STRAYS:
        return _put(scene, strange, middle, board + rng.uniform(0, 3))
    scale = rng.uniform(1.2, 1.4)
    strange = strange.resize((round(scale * strange.width), round(scale * strange.height)))
    lying = rng.choice((90, 270)) if rng.random() < 0.3 else 0
    strange = strange.rotate(lying + rng.uniform(-5, 5), Image.Resampling.BILINEAR, expand=True)
    return _put_in_front(scene, strange, middle, board + rng.uniform(0.5, 1.0) * home.lip)


def _damage(
    scene: Image.Image, home: Lane, product: Product, middle: float, board: float, rng: random.Random
) -> Box:
    """Puts down a planned product that somebody or something has spoilt."""
    kind, severity = rng.choice(DAMAGES), rng.uniform(0.5, 1)
    sprite = package(product)
    if kind == "tilted":
        turn = rng.choice((-1, 1)) * (16 + 28 * severity)
        sprite = sprite.rotate(turn, Image.Resampling.BILINEAR, expand=True)
        return _put_in_front(scene, sprite, middle, board + rng.uniform(0, 3))
    if kind == "crushed":
        return _put_in_front(scene, crushed(sprite, severity, rng), middle, board + 1)
    if kind == "torn":
        return _put(scene, torn_open(sprite, severity, rng), middle, board + 1)
    box = _put(scene, sprite, middle, board + 1)
    _leak(ImageDraw.Draw(scene), home, box, severity, rng)
    return box


def _facings(
    home: Lane, shelf: int, start: float, end: float, rng: random.Random
) -> list[tuple[float, Product]]:
    """(middle, product) of the packages on a shelf, from one edge of the scene to the other."""
    run = [product for product, count in home.shelves[shelf % 3] for _ in range(count)]
    index, x, placed = rng.randrange(len(run)), start - rng.uniform(0, 30), []
    while x < end:
        product = run[index % len(run)]
        placed.append((x + product.width / 2, product))
        x += product.width + rng.choice((1, 1, 2, 3))
        index += 1
    return placed


def _occlude(scene: Image.Image, spare: Box | None, rng: random.Random) -> None:
    """An arm, a trolley or a pillar in front of the shelf; never over more than a part of the `spare` box."""
    width, height = scene.size
    for _ in range(8):
        x = rng.uniform(0.1, 0.9) * width
        if spare is None or abs(x - (spare[0] + spare[2]) / 2) > 55:
            break
    draw = ImageDraw.Draw(scene)
    tone = rng.randint(25, 190)
    color = (tone, round(tone * 0.9), round(tone * 0.8))
    kind = rng.choice(("arm", "trolley", "pillar"))
    if kind == "arm":
        reach = rng.uniform(0.45, 0.75) * height
        elbow = (x + rng.uniform(-60, 60), height + 10)
        draw.line([elbow, (x, reach)], color, width=rng.randint(18, 28))
        draw.ellipse((x - 14, reach - 14, x + 14, reach + 14), (198, 150, 120))
    elif kind == "trolley":
        rail = rng.uniform(0.78, 0.9) * height
        draw.line([(0, rail), (width, rail + rng.uniform(-12, 12))], color, width=6)
        for post in range(rng.randint(0, 30), width, 34):
            draw.line([(post, rail), (post + 4, height)], color, width=3)
    else:
        side = rng.choice((0.0, 1.0)) * width
        reach = MARGIN + rng.uniform(5, 30)
        draw.rectangle((side - reach, 0, side + reach, height), color)


def draw_bay(home: Lane, size: tuple[int, int], label: str, rng: random.Random) -> Image.Image:
    """Draws one bay of a lane.

    Args:
        home: The lane.
        size: Width and height of the scene, a margin of `MARGIN` around what the camera frames included.
        label: ok, misplaced or damaged: what is there to be seen.
        rng: Decides everything that differs between two photos of one lane.

    Returns:
        An RGB picture, flat and evenly lit.
    """
    width, height = size
    scene = Image.new("RGB", size, home.wall)
    draw = ImageDraw.Draw(scene)
    # One row at least is in the picture from top to bottom.
    highest = MARGIN + 4 + max(product.height for product in home.products)
    lowest = height - MARGIN - 8
    whole = rng.uniform(highest, min(lowest, highest + home.pitch))
    boards = [y for y in (whole + row * home.pitch for row in range(-3, 4)) if 0 < y < height + home.pitch]
    rows = [_facings(home, shelf, 0, width, rng) for shelf in range(len(boards))]
    framed = [
        (shelf, index)
        for shelf, (board, row) in enumerate(zip(boards, rows, strict=True))
        for index, (middle, product) in enumerate(row)
        if MARGIN + 24 < middle < width - MARGIN - 24 and board - product.height > MARGIN and board <= lowest
    ]
    target = rng.choice(framed) if label != "ok" else None
    post = rng.uniform(0, home.post_spacing)
    for shelf, (board, row) in enumerate(zip(boards, rows, strict=True)):
        deep = tuple(int(0.62 * part) for part in home.wall)
        draw.rectangle((0, board - home.pitch + home.lip, width, board), (deep[0], deep[1], deep[2]))
        for index, (middle, product) in enumerate(row):
            here = (shelf, index) == target
            if rng.random() < _SOLD_OUT and not here:
                continue
            _put(scene, row_behind(product), middle, board - 4)
            if here:
                continue
            sprite = package(product)
            if rng.random() < 0.05:
                sprite = sprite.rotate(rng.uniform(-4, 4), Image.Resampling.BILINEAR, expand=True)
            _put(scene, sprite, middle + rng.choice((-1, 0, 0, 1)), board + rng.choice((-1, 0, 0, 1)))
        for x in range(round(post) - home.post_spacing, width, home.post_spacing):
            draw.rectangle((x, board - home.pitch, x + 5, board), home.steel)
        draw.rectangle((0, board, width, board + home.lip), home.steel)
        draw.line([(0, board + home.lip), (width, board + home.lip)], (20, 20, 22), width=2)
        for middle, _ in row[:: rng.choice((3, 4))]:
            draw.rectangle((middle - 9, board + 2, middle + 9, board + home.lip - 2), (240, 238, 226))
    spare: Box | None = None
    if target is not None:
        shelf, index = target
        middle, product = rows[shelf][index]
        put = _misplace if label == "misplaced" else _damage
        spare = put(scene, home, product, middle, boards[shelf], rng)
    if rng.random() < 0.1:
        _occlude(scene, spare, rng)
    return scene
