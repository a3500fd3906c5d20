"""The warehouse that the sample photos show: lanes, their shelf geometry and the products planned for them.

A lane depends on its number alone, so every seed photographs the same warehouse. Lengths are in scene
pixels: the picture of a bay before the camera (`shelf_scene.py`).
"""

import colorsys
import random
from dataclasses import dataclass
from functools import cache

LANES = 40
SHAPES = ("box", "carton", "bottle", "can", "jar", "bag")
TONES = (60.0, 175.0)  # Luma of the packages in even and in odd lanes: dark goods, light goods.
PATTERNS = ("plain", "band", "stripes", "hoops", "disc", "chevron", "checks", "split")

Color = tuple[int, int, int]


def luma(color: Color) -> float:
    """Rec. 601 luma of an RGB colour, 0 to 255: what a grayscale model sees of it."""
    red, green, blue = color
    return (299 * red + 587 * green + 114 * blue) / 1000


@dataclass(frozen=True)
class Product:
    """What one package looks like from the front."""

    shape: str
    width: int
    height: int
    body: Color
    label: Color
    pattern: str


@dataclass(frozen=True)
class Lane:
    """One aisle of shelving: its steel, and which products stand on which shelf.

    Attributes:
        number: From 1; photos carry it as `lane-07`.
        pitch: Distance between two shelf boards.
        lip: Height of a board's front edge, which carries the price tags.
        post_spacing: Distance between two uprights.
        shelves: From the top: the run of (product, facings) that repeats along each shelf.
    """

    number: int
    pitch: int
    lip: int
    post_spacing: int
    wall: Color
    steel: Color
    products: tuple[Product, ...]
    shelves: tuple[tuple[tuple[Product, int], ...], ...]

    @property
    def id(self) -> str:
        """The lane as labels name it."""
        return f"lane-{self.number:02d}"


def _color(rng: random.Random, tone: float, saturation: float = 0.6) -> Color:
    """Some colour whose luma is about `tone`, from 0 to 255."""
    parts = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, saturation), 1.0)
    scale = tone / (0.299 * parts[0] + 0.587 * parts[1] + 0.114 * parts[2])
    red, green, blue = (min(255, round(part * scale)) for part in parts)
    return red, green, blue


def _product(rng: random.Random, shape: str, height: int, tone: float) -> Product:
    body = _color(rng, tone + rng.uniform(-18, 18))
    label = _color(rng, max(15.0, luma(body) + rng.choice((-1, 1)) * rng.uniform(22, 45)))
    slim = 0.66 if shape == "bottle" else 0.8 if shape in ("can", "carton") else 0.95
    width = round(slim * rng.uniform(42, 54))
    return Product(shape, width, height, body, label, rng.choice(PATTERNS))


@cache
def lane(number: int) -> Lane:
    """The lane with this number: 1 to 40 exist from the start, higher ones are new."""
    rng = random.Random(f"shelf lane {number}")
    pitch = rng.randint(82, 94)
    usual_height = rng.randint(44, pitch - 27)
    shapes = rng.sample(SHAPES, 2)
    tone = TONES[number % 2]
    products = tuple(
        _product(rng, shapes[index % 2], usual_height + rng.randint(-5, 5), tone)
        for index in range(rng.randint(4, 6))
    )
    runs = [rng.sample(products, 3) for _ in range(3)]
    return Lane(
        number=number,
        pitch=pitch,
        lip=rng.randint(8, 14),
        post_spacing=rng.randint(170, 300),
        wall=_color(rng, rng.uniform(90, 150), saturation=0.2),
        steel=_color(rng, rng.uniform(115, 215), saturation=0.1),
        products=products,
        shelves=tuple(tuple((product, rng.randint(3, 5)) for product in run) for run in runs),
    )


def difference(one: Product, other: Product) -> float:
    """How easily a person tells two packages apart in a gray picture; 0 for the same one."""
    return (
        abs(one.height - other.height) / 25
        + abs(one.width - other.width) / 25
        + abs(luma(one.body) - luma(other.body)) / 40
        + 0.4 * (one.shape != other.shape)
        + 0.2 * (one.pattern != other.pattern)
    )


def stray(home: Lane, beside: Product, least: float, rng: random.Random) -> Product:
    """A product of another lane that fits the shelf and differs from `beside` and from all that is planned.

    Args:
        home: The lane that the product does not belong to.
        beside: The planned product whose place it takes.
        least: The least `difference` from `beside`.
        rng: Chooses among all that qualify.
    """
    others = [p for number in range(1, LANES + 1) if number != home.number for p in lane(number).products]
    fitting = [p for p in others if p.height <= home.pitch - home.lip - 8]
    strange = [p for p in fitting if min(difference(p, planned) for planned in home.products) > 0.5]
    return rng.choice([p for p in strange if difference(p, beside) >= least] or strange)
