"""The warehouse of the sample photos: lanes, their shelf geometry and the products planned for them.

A lane depends on its number alone, so every seed photographs the same warehouse. Lengths are in pixels of the
scene, which is the picture of a bay before the camera (`scene.py`).
"""

import colorsys
import random
from dataclasses import dataclass
from functools import cache

LANES = 40
SHAPES = ("box", "bottle", "can", "bag")
PATTERNS = ("band", "stripes", "disc")
TONES = (60.0, 175.0)  # Luma of the packages in even and in odd lanes: dark goods, light goods.

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Product:
    """The front view of a package."""

    shape: str
    width: int
    height: int
    body: Color
    label: Color
    pattern: str


@dataclass(frozen=True)
class Lane:
    """An aisle of shelving: its steel, and the products on each shelf."""

    number: int  # from 1; photos carry it as `lane-07`
    pitch: int  # distance between two shelf boards
    lip: int  # height of a board's front edge
    post_spacing: int  # distance between two uprights
    wall: Color
    steel: Color
    products: tuple[Product, ...]
    shelves: tuple[tuple[Product, ...], ...]  # from the top: the packages that repeat along each shelf

    @property
    def id(self) -> str:
        """Returns the name of the lane in labels."""
        return f"lane-{self.number:02d}"


def _choose_color(rng: random.Random, tone: float, saturation: float = 0.6) -> Color:
    """Returns a random colour whose luma is about `tone`, from 0 to 255."""
    parts = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, saturation), 1.0)
    scale = tone / (0.299 * parts[0] + 0.587 * parts[1] + 0.114 * parts[2])
    red, green, blue = (min(255, round(part * scale)) for part in parts)
    return red, green, blue


def _design_product(rng: random.Random, shape: str, height: int, tone: float) -> Product:
    body = _choose_color(rng, tone + rng.uniform(-18, 18))
    red, green, blue = body
    luma = (299 * red + 587 * green + 114 * blue) / 1000  # Rec. 601, as a grayscale model sees it
    label = _choose_color(rng, max(15.0, luma + rng.choice((-1, 1)) * rng.uniform(22, 45)))
    width = round({"bottle": 0.66, "can": 0.8}.get(shape, 0.95) * rng.uniform(42, 54))
    return Product(shape, width, height, body, label, rng.choice(PATTERNS))


@cache
def make_lane(number: int) -> Lane:
    """Returns the lane with this number: 1 to 40 exist from the start, higher ones are new."""
    rng = random.Random(f"shelf lane {number}")
    pitch = rng.randint(82, 94)
    height = rng.randint(44, pitch - 27)
    shapes = rng.sample(SHAPES, 2)
    products = tuple(
        _design_product(rng, shapes[index % 2], height + rng.randint(-5, 5), TONES[number % 2])
        for index in range(rng.randint(4, 6))
    )
    runs = [rng.sample(products, 3) for _ in range(3)]

    return Lane(
        number=number,
        pitch=pitch,
        lip=rng.randint(8, 14),
        post_spacing=rng.randint(170, 300),
        wall=_choose_color(rng, rng.uniform(90, 150), saturation=0.2),
        steel=_choose_color(rng, rng.uniform(115, 215), saturation=0.1),
        products=products,
        shelves=tuple(tuple(product for product in run for _ in range(rng.randint(3, 5))) for run in runs),
    )


def choose_stray(home: Lane, rng: random.Random) -> Product:
    """Chooses a product that fits the shelves of a lane, from the lanes with goods of the other tone."""
    numbers = range(1 + home.number % 2, LANES + 1, 2)
    others = (product for number in numbers for product in make_lane(number).products)
    return rng.choice([product for product in others if product.height <= home.pitch - home.lip - 8])
