"""A flat picture of one bay of a lane: boards, facings, and a fault in one of them.

The numbers below are scene pixels and shares. They were tuned by eye and by training, so that the `compact`
model at 128x128 luma gets most photos right, but not all.
"""

import random

from PIL import Image, ImageDraw

from data.shelf.layout import Lane, Product, choose_stray
from data.shelf.packages import crush, draw_package

MARGIN = 26
_NEAT_STRAYS = 0.22


def _put(scene: Image.Image, sprite: Image.Image, middle: float, bottom: float) -> None:
    scene.paste(sprite, (round(middle - sprite.width / 2), round(bottom - sprite.height)), sprite)


def _put_in_front(scene: Image.Image, sprite: Image.Image, middle: float, bottom: float) -> None:
    """Puts a package in front of the row, with a shadow around it."""
    shadow = sprite.getchannel("A").resize((sprite.width + 10, sprite.height + 6))
    corner = round(middle - shadow.width / 2), round(bottom - shadow.height)
    scene.paste((8, 8, 10), corner, shadow.point(lambda alpha: 2 * alpha // 3))
    _put(scene, sprite, middle, bottom)


def _misplace(scene: Image.Image, home: Lane, middle: float, board: float, rng: random.Random) -> None:
    """Puts a product of another lane mostly in front of the row, sometimes neatly into it."""
    strange = draw_package(choose_stray(home, rng))
    if rng.random() < _NEAT_STRAYS:
        _put(scene, strange, middle, board + rng.uniform(0, 3))
        return
    scale = rng.uniform(1.2, 1.4)
    strange = strange.resize((round(scale * strange.width), round(scale * strange.height)))
    lying = rng.choice((90, 270)) if rng.random() < 0.3 else 0
    strange = strange.rotate(lying + rng.uniform(-5, 5), Image.Resampling.BILINEAR, expand=True)
    _put_in_front(scene, strange, middle, board + rng.uniform(0.5, 1.0) * home.lip)


def _damage(scene: Image.Image, product: Product, middle: float, board: float, rng: random.Random) -> None:
    """Puts a planned product, crushed or about to fall, in front of the row."""
    severity = rng.uniform(0.5, 1)
    sprite = draw_package(product)
    if rng.random() < 0.3:
        turn = rng.choice((-1, 1)) * (16 + 28 * severity)
        sprite = sprite.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    else:
        sprite = crush(sprite, severity, rng)
    _put_in_front(scene, sprite, middle, board + rng.uniform(0, 3))


def _place_packages(home: Lane, shelf: int, end: float, rng: random.Random) -> list[tuple[float, Product]]:
    """Returns (middle, product) of the packages on a shelf, from one edge of the scene to the other."""
    run = home.shelves[shelf % len(home.shelves)]
    index = rng.randrange(len(run))
    x = -rng.uniform(0, 30)
    placed = []
    while x < end:
        product = run[index % len(run)]
        placed.append((x + product.width / 2, product))
        x += product.width + rng.choice((1, 1, 2, 3))
        index += 1
    return placed


def draw_bay(home: Lane, size: tuple[int, int], label: str, rng: random.Random) -> Image.Image:
    """Draws one bay of a lane as a flat and evenly lit RGB picture of a label: ok, misplaced or damaged.

    Args:
        home: The lane, with its steel and the products planned for it.
        size: Width and height in scene pixels, with `MARGIN` around the camera's frame.
        label: What the picture shows: ok, misplaced or damaged.
        rng: Decides everything that differs between two photos of one lane.
    """
    width, height = size
    scene = Image.new("RGB", size, home.wall)
    draw = ImageDraw.Draw(scene)
    # At least one row is whole in the picture.
    highest = MARGIN + 4 + max(product.height for product in home.products)
    lowest = height - MARGIN - 8
    whole = rng.uniform(highest, min(lowest, highest + home.pitch))
    boards = [y for y in (whole + row * home.pitch for row in range(-3, 4)) if 0 < y < height + home.pitch]
    rows = [_place_packages(home, shelf, width, rng) for shelf in range(len(boards))]
    left = MARGIN + 24
    framed = []
    for board, row in zip(boards, rows, strict=True):
        for middle, product in row:
            if left < middle < width - left and board - product.height > MARGIN and board <= lowest:
                framed.append((middle, board, product))

    target = rng.choice(framed) if label != "ok" else None
    post = rng.uniform(0, home.post_spacing)
    red, green, blue = (int(0.62 * part) for part in home.wall)
    for board, row in zip(boards, rows, strict=True):
        draw.rectangle((0, board - home.pitch + home.lip, width, board), (red, green, blue))
        for middle, product in row:
            if (middle, board, product) != target:
                turn = rng.uniform(-4, 4) if rng.random() < 0.05 else 0
                sprite = draw_package(product).rotate(turn, Image.Resampling.BILINEAR, expand=True)
                _put(scene, sprite, middle + rng.choice((-1, 0, 0, 1)), board + rng.choice((-1, 0, 0, 1)))
        for x in range(round(post) - home.post_spacing, width, home.post_spacing):
            draw.rectangle((x, board - home.pitch, x + 5, board), home.steel)
        draw.rectangle((0, board, width, board + home.lip), home.steel)
        draw.line([(0, board + home.lip), (width, board + home.lip)], (20, 20, 22), width=2)
    if target is not None:
        middle, board, product = target
        if label == "misplaced":
            _misplace(scene, home, middle, board, rng)
        else:
            _damage(scene, product, middle, board, rng)
    return scene
